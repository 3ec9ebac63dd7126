"""Plays scenarios: each command is carried out in a real domain, and everything that comes of it is shown.

    open [x=1 ...] [--protocol=2pl] [--order=early] [--log=sqlite]   begin, with these objects
    join A [B ...] [rank=3]          agents join
    A get x                          agent A calls a tool, with arguments in order
    A amend A.1 value=3              it amends one of its calls
    A undo A.1
    A finish [wait]
    A abort [reason]
    A notices                        it takes its notices without calling
    outside x 7                      somebody outside writes an object (null: deletes it)
    look                             everybody looks whether somebody outside has written
    target refuses x | away | back   what the shelf does from now on
    sending hangs | ends             whether what is irreversible is begun and does not end
    resolve x retry | accept         a person decides about a stuck object
    reopen | crash                   the process ends, in order or not, and another one goes on
    agents                           how far agents and calls have come
    live                             the whole live state

A command that has to wait says so, and is heard of again with the command that lets it go on.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from scenario_file import options, words
from scenario_text import (
    agent_lines,
    difference_lines,
    error_lines,
    event_line,
    notice_lines,
    outcome_lines,
    shown,
)
from scenario_world import Killed, World

from coagent import AgentSession, CoAgentError, Domain, Settlement, open_domain
from coagent.protocol.events import Event
from coagent.runtime import work

GRACE_S = 3600.0
"""For how long a command waits for what follows from it, in seconds: what does follow takes no time."""
_TURNS = 200
"""For how many turns of the event loop a command may go on before it counts as waiting."""


class Player:
    """Plays one scenario.

    Args:
        directory: For its log.
        tasks: For calls that wait.
    """

    def __init__(self, directory: Path, tasks: TaskGroup) -> None:
        self._directory = directory
        self._tasks = tasks
        self._stack = AsyncExitStack()
        self._domain: Domain | None = None
        self._settings: dict[str, Any] = {}
        self._world = World({})
        self._sessions: dict[str, AgentSession] = {}
        self._events: list[str] = []
        self._scopes: list[anyio.CancelScope] = []
        self._waiting: dict[str, list[str]] = {}  # commands that wait, to what they have given in the end

    async def play(self, command: str) -> list[str]:
        """Carry a command out and return its output."""
        before = self._world.snapshot()
        sent = len(self._world.sent)
        verb, *given = words(command)
        act = getattr(self, f"_{verb}", None) if verb in _COMMANDS else None
        if act is None:
            lines = await self._of_agent(command, str(verb), given)
        else:
            lines = await act(given)
        await self._calm()
        lines += self._came_back()
        lines += difference_lines(before if verb != "open" else {}, self._world.snapshot())
        lines += [f"sent: {message}" for message in self._world.sent[sent:]]
        lines += self._events
        self._events.clear()
        if self._domain is not None and self._domain.kernel.notifies:
            self._domain.kernel.check_invariants()
        return lines

    async def close(self) -> None:
        """Give up what waits, and end the domain."""
        for scope in self._scopes:
            scope.cancel()
        self._scopes.clear()
        self._waiting.clear()
        self._world.killed.set()
        try:
            await self._stack.aclose()
        except BaseExceptionGroup as failures:
            _, others = failures.split(Killed)
            if others is not None:
                raise others from None
        self._world.killed = anyio.Event()

    # ---- the domain ----------------------------------------------------------------------------------------

    async def _open(self, given: list[Any]) -> list[str]:
        settings = options([word.removeprefix("--") for word in map(str, given) if word.startswith("--")])
        self._world = World(options([word for word in map(str, given) if not word.startswith("--")]))
        path = self._directory / "log"
        self._settings = {"url": f"sqlite:{path}" if settings.pop("log", "") == "sqlite" else "memory:"}
        self._settings |= {"patience_s": GRACE_S} | settings
        await self._enter()
        return []

    async def _enter(self) -> None:
        made = open_domain(targets=[self._world.shelf], tools=self._world.tools, **self._settings)
        domain = self._domain = await self._stack.enter_async_context(made)
        self._sessions = {}

        def observe(event: Event) -> None:
            self._events.append(event_line(event, domain.kernel))

        domain.observe(observe)

    async def _reopen(self, given: list[Any]) -> list[str]:
        await self.close()
        await self._enter()
        return []

    async def _crash(self, given: list[Any]) -> list[str]:
        self.domain.abandon()
        return await self._reopen(given)

    @property
    def domain(self) -> Domain:
        """The domain."""
        assert self._domain is not None, "a scenario begins with `open`"
        return self._domain

    async def _calm(self) -> None:
        """Let everything happen that follows from a command."""
        for _ in range(_TURNS):
            await anyio.lowlevel.checkpoint()
        if self._domain is not None and not self._world.shelf.away:
            await self._domain.settle()
            for _ in range(_TURNS):
                await anyio.lowlevel.checkpoint()

    def _came_back(self) -> list[str]:
        lines = []
        for command, output in list(self._waiting.items()):
            if output:
                del self._waiting[command]
                lines += [f"`{command}` goes on:", *output]
        return lines

    # ---- commands ------------------------------------------------------------------------------------------

    async def _join(self, given: list[Any]) -> list[str]:
        names = [str(word) for word in given if "=" not in str(word)]
        pinned = options([word for word in given if "=" in str(word)])
        try:
            for name in names:
                self._take(await self.domain.join(name, **pinned))
        except CoAgentError as error:
            return error_lines(error)
        return []

    async def _outside(self, given: list[Any]) -> list[str]:
        name, value = given
        self._world.shelf.outside(f"kv:{name}", value)
        return []

    async def _look(self, given: list[Any]) -> list[str]:
        found = await self.domain.look_around()
        return ["somebody has" if found else "nobody has"]

    async def _target(self, given: list[Any]) -> list[str]:
        shelf = self._world.shelf
        how, *name = given
        shelf.away = how == "away"
        work.GRACE_S = 0.0 if shelf.away else GRACE_S  # nobody waits for what is away
        shelf.refuses = f"kv:{name[0]}" if how == "refuses" else None
        return []

    async def _sending(self, given: list[Any]) -> list[str]:
        self._world.hangs = given == ["hangs"]
        return []

    async def _resolve(self, given: list[Any]) -> list[str]:
        name, how = given
        try:
            await self.domain.resolve(f"kv:{name}", how)
        except CoAgentError as error:
            return error_lines(error)
        return []

    async def _agents(self, given: list[Any]) -> list[str]:
        stuck = [f"stuck: {key}: {why}" for key, why in self.domain.kernel.stuck.items()]
        return agent_lines(self.domain.agents) + stuck

    async def _live(self, given: list[Any]) -> list[str]:
        return [f"{key} = {shown(value)}" for key, value in self._world.snapshot().items()]

    # ---- what agents do ------------------------------------------------------------------------------------

    def _take(self, session: AgentSession) -> AgentSession:
        session.quoting._key = session.name.encode()  # so that its markers are the same each time
        self._sessions[session.name] = session
        return session

    async def _of_agent(self, command: str, name: str, given: list[Any]) -> list[str]:
        output: list[str] = []

        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                await act()

        async def act() -> None:
            try:
                session = self._sessions.get(name) or self._take(await self.domain.attach(name, force=True))
                lines = await self._act(session, given)
            except CoAgentError as error:
                lines = error_lines(error)
            output.extend(lines or ["nothing"])

        self._scopes.append(scope)
        self._tasks.start_soon(run)
        for _ in range(_TURNS):
            await anyio.lowlevel.checkpoint()
            if output:
                return output
        self._waiting[command] = output
        return ["waits"]

    async def _act(self, session: AgentSession, given: list[Any]) -> list[str]:
        verb, *rest = given
        if verb == "finish":
            return settlement_lines(await session.finish(wait=rest == ["wait"]))
        if verb == "abort":
            kept = await session.abort(" ".join(map(str, rest)))
            return ["aborted" + (f"; what stands all the same: {' '.join(kept)}" if kept else "")]
        if verb == "notices":
            return notice_lines(await session.notifications())
        if verb == "undo":
            return outcome_lines(await session.undo(rest[0]))
        if verb == "amend":
            return outcome_lines(await session.amend(rest[0], **options(rest[1:])))
        made = self.domain.tools.get(verb)
        parameters = [] if made is None else list(made.schema["properties"])
        return outcome_lines(await session.call(verb, **dict(zip(parameters, rest, strict=True))))


def settlement_lines(settlement: Settlement) -> list[str]:
    """Return what `finish` gave."""
    waits = f" for {', '.join(settlement.waits_for)}" if settlement.waits_for else ""
    return [f"{settlement.state}{waits}", *notice_lines(settlement.notifications)]


@asynccontextmanager
async def playing(directory: Path) -> AsyncIterator[Callable[[str], Awaitable[list[str]]]]:
    """Yield what carries out the commands of one scenario."""
    async with anyio.create_task_group() as tasks:
        player = Player(directory, tasks)
        try:
            yield player.play
        finally:
            await player.close()


_COMMANDS = {
    name.removeprefix("_")
    for name, member in inspect.getmembers(Player, inspect.iscoroutinefunction)
    if name.startswith("_") and list(inspect.signature(member).parameters) == ["self", "given"]
}
