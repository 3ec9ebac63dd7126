"""Commands of a session in the background: they run beside its work, and outlive its turns.

Each has a view that is kept up to date (`systems/shell/background.py`). What it writes becomes a call of its
session's agent: before and after each tool call of the session and at the end of its turn, about twice a
second where it has done writing, and when it ends. A private view, and not the tree itself, since it must see
what its session sees, and not the work of those after it; and so that what it writes is known for its
session's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from coagent.errors import AgentNotActive, CoAgentError
from coagent.protocol.calls import TOP
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.systems.files.changes import file_change, record_changes
from coagent.systems.shell.background import Beside, Written
from coagent.systems.shell.live import BESIDE_NAME, GIT_NAME, ClientCommand, LiveShell
from coagent.systems.shell.streams import Streams
from coagent.systems.shell.tree_values import SCHEMES, values
from coagent.systems.shell.views.confined import Confined
from coagent.wording.notices import listed

if TYPE_CHECKING:
    from coagent.gateways.claude.session import ClaudeSession

TICK_S = 0.5
RESTING_S = 5.0
"""How long nothing more is taken over where no turn is on: each time is a piece of work of its own."""
_LARGE_BYTES = 256 * 1024
_LARGE_S = 30.0
"""How long a large file that goes on growing, such as a log, waits for the next time."""
_LAST_S_MAX = 10.0


class InBackground:
    """One command in the background.

    Args:
        session: Whose it is.
        shell: In which it runs.
        next: Returns what the session goes on as when its agent has ended.
        what: How it is named for the session.
    """

    def __init__(
        self,
        session: ClaudeSession,
        shell: LiveShell,
        next: Callable[[], Awaitable[ClaudeSession]],
        what: str,
    ) -> None:
        self.session = session
        self._shell = shell
        self._next = next
        self._what = what
        self._beside: Beside | None = None
        self._lock = anyio.Lock()
        self._stamps: dict[str, int] = {}
        self._large_s: dict[str, float] = {}
        self._taken_s = 0.0
        self._failure = ""

    def interrupt(self) -> None:
        """End it; what it has done until then is taken over."""
        if self._beside is not None:
            self._beside.interrupt()

    async def run(
        self, asked: ClientCommand, to: Streams, at_start: Callable[[Confined], None]
    ) -> dict[str, Any]:
        """Run it to its end, and return what its client is to be told.

        Args:
            asked: The command.
            to: Where it writes.
            at_start: Called with its view before it begins.

        Raises:
            CoAgentError: It has not begun.
        """
        over = anyio.Event()
        with self._shell.beside(asked, to, at_start) as beside:
            await self._call(BESIDE_NAME, command=asked.command, run=asked.run)
        self._beside = beside
        failures: list[CoAgentError] = []
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tick, over)
                try:
                    await self._shell.runner.carry_beside(beside)
                except CoAgentError as failure:
                    failures.append(failure)
                finally:
                    over.set()
            if failures:
                raise failures[0]
            return {"exit_code": beside.begun.answer["exit_code"]}
        finally:
            with anyio.move_on_after(_LAST_S_MAX, shield=True):
                if not failures:
                    await self._last()
            self._shell.runner.end_beside(beside)

    async def exchange(self, session: ClaudeSession | None = None, *, settled: bool = False) -> None:
        """Take over what it has written, and show it what its session, and those before, have.

        Args:
            session: Whose it is by now, in a new turn.
            settled: Whether to leave what may be half written for the next time.
        """
        async with self._lock:
            self.session = session or self.session
            beside = self._beside
            if beside is None:
                return
            try:
                found = await anyio.to_thread.run_sync(lambda: beside.written(quickly=settled))
                if settled:
                    found = self._without_latest(beside, found)
                if not beside.ended:
                    found = self._not_too_often(found)
                if found:
                    await self._take_over(beside, found)
                await self._shell.runner.bring_up(beside, self._visible())
            except OSError as error:
                self._say_once(f"cannot be read: {error.strerror} ({error.filename})")
            except CoAgentError as failure:
                self._say_once(f"is not kept: {failure}")

    async def _tick(self, over: anyio.Event) -> None:
        while not over.is_set():
            with anyio.move_on_after(TICK_S):
                await over.wait()
                return
            await self.exchange(settled=True)

    async def _last(self) -> None:
        """Take over all that is left when it has ended."""
        await self.exchange()
        try:
            await self._take_over_git()
        except CoAgentError as failure:
            self._say_once(f"in git was not kept: {failure}")

    async def _take_over_git(self) -> None:
        beside = self._beside
        assert beside is not None
        before, moved = await self._shell.runner.git_of(beside)
        agent = self.session.agent
        for key, value in before.items():
            if not same(await agent.peek(key), value):
                self._say_once("in git was not kept: you have used git meanwhile")
                return
        changes = [
            file_change(key, before[key], value)
            for key, value in moved.items()
            if not isinstance(value, dict)
        ]
        if changes:
            await self._record(changes)
        for value in moved.values():
            if isinstance(value, dict) and not self.session.over:
                await self._call(GIT_NAME, private=value)

    def _without_latest(self, beside: Beside, found: Written) -> Written:
        """Leave out what has changed since the last look: it may be half written."""
        before, self._stamps = self._stamps, beside.stamps(found)
        resting = self.session.over or self.session.resting
        if resting and time.monotonic() < self._taken_s + RESTING_S:
            return {}
        return {path: both for path, both in found.items() if self._stamps[path] == before.get(path)}

    def _not_too_often(self, found: Written) -> Written:
        """Leave out large files that have been taken over just now."""
        now = time.monotonic()
        ready: Written = {}
        for path, (old, new) in found.items():
            if new is not None and len(new.data) > _LARGE_BYTES:
                if now < self._large_s.get(path, 0.0):
                    continue
                self._large_s[path] = now + _LARGE_S
            ready[path] = old, new
        return ready

    async def _take_over(self, beside: Beside, found: Written) -> None:
        if self.session.over:  # its turn has ended: this belongs to the next one
            self.session = await self._next()
        self._taken_s = time.monotonic()
        agent = self.session.agent
        changes: list[dict[str, Any]] = []
        clashing: list[str] = []
        for path, (before, after) in found.items():
            known = dict(values(path, None, before))
            changed = {key: (known.get(key), value) for key, value in values(path, before, after)}
            stands = [same(await agent.peek(key), old) for key, (old, _) in changed.items()]
            if all(stands):
                changes += [file_change(key, old, new) for key, (old, new) in changed.items()]
            else:
                clashing.append(path)
        beside.taken_over(found)
        if changes:
            await self._record(changes)
        if clashing:
            self.session.say(
                f"[coagent] {self._what} in the background wrote {listed(sorted(clashing))}, which you, or "
                "an agent before you, had changed meanwhile: that stands, and the command sees it."
            )

    async def _record(self, changes: list[dict[str, Any]]) -> None:
        try:
            await self._call(record_changes.name, what=self._what, changes=changes)
        except CoAgentError as failure:
            names = listed(sorted({str(change["key"]).partition(":")[2] for change in changes}))
            self.session.say(
                f"[coagent] What {self._what} in the background wrote to {names} was not kept: {failure}"
            )

    async def _call(self, tool: str, **arguments: Any) -> None:
        try:
            outcome = await self.session.agent.call(tool, **arguments)
        except AgentNotActive:  # its turn has ended just now
            self.session = await self._next()
            outcome = await self.session.agent.call(tool, **arguments)
        self.session.took(outcome.call_id, self._what, outcome.notifications)
        await self.session.rest()

    def _visible(self) -> Mapping[Key, Value]:
        """Return what agents have written, as it is for the session; without a turn, as it is in the end."""
        kernel = self.session.hub.domain.kernel
        position = TOP if self.session.over else self.session.agent.position
        return {
            key: value for scheme in SCHEMES for key, value in kernel.written_under(f"{scheme}:", position)
        }

    def _say_once(self, failure: str) -> None:
        if failure != self._failure:
            self._failure = failure
            self.session.say(f"[coagent] What {self._what} in the background has written {failure}")
