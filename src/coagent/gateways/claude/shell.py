"""The Bash commands of a session, as its shell prefix hands them over (`prefix.py`)."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from coagent.config.domain_file import IN_A_VIEW
from coagent.errors import AgentNotActive, CoAgentError
from coagent.gateways.claude.background import InBackground
from coagent.gateways.claude.commands import asks_coagent
from coagent.gateways.claude.in_tree import COMMAND_SHOWN_MAX
from coagent.runtime.domain import Domain
from coagent.runtime.outcomes import Outcome
from coagent.systems.shell.command_run import OUTPUT_LENGTH_MAX
from coagent.systems.shell.live import GIT_NAME, NAME, ClientCommand, LiveShell
from coagent.systems.shell.live_runs import LiveRun
from coagent.systems.shell.streams import Streams
from coagent.systems.shell.views.confined import Confined

if TYPE_CHECKING:
    from coagent.gateways.claude.session import ClaudeSession

_Result = TypeVar("_Result")
_AFTER = " && pwd -P >| "
_EVAL = " && eval "


def client_command(message: Mapping[str, Any]) -> ClientCommand:
    """Return the command that a message of the prefix holds.

    Claude Code gives `source SNAPSHOT … && eval 'COMMAND' < /dev/null && pwd -P >| FILE`; something else is
    taken as it is.
    """
    whole = str(message["command"])
    known = {name: str(value) for name, value in message.get("environment", {}).items()} | {IN_A_VIEW: "1"}
    shell = "zsh" if "/snapshot-zsh-" in whole else "bash"
    script, end, file = whole.rpartition(_AFTER)
    setup, _, rest = script.partition(_EVAL)
    try:
        command = shlex.split(rest)[0] if setup else ""
    except (ValueError, IndexError):
        command = ""
    run, cwd = str(message["run"]), str(message["cwd"])
    if not command:
        return ClientCommand(run, whole, "", "", shell, cwd, known)
    return ClientCommand(run, command, setup, f"{end}{file}", shell, cwd, known)


def streams(descriptors: list[int]) -> Streams:
    """Return the streams of a client."""
    return Streams(descriptors[0], descriptors[-1], OUTPUT_LENGTH_MAX)


async def beside(
    other: Callable[[], Coroutine[Any, Any, None]], work: Callable[[], Awaitable[_Result]]
) -> _Result:
    """Do some work and return what comes of it, and something else for as long as that takes."""
    results: list[_Result] = []
    failures: list[Exception] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        try:
            results.append(await work())
        except Exception as failure:  # kept from the group, which would wrap it
            failures.append(failure)
        tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return results[0]


class SessionShell:
    """The commands of one session.

    Args:
        session: The session.
        next: Returns what the session goes on as when its agent has ended.
    """

    def __init__(self, session: ClaudeSession, next: Callable[[], Awaitable[ClaudeSession]]) -> None:
        self._session = session
        self._next = next
        self._in_background: list[str] = []
        self._ending: set[anyio.Event] = set()
        self._running: list[LiveRun] = []

    def announced(self, command: str) -> None:
        """Note that the client is about to run a command in the background."""
        self._in_background.append(command)

    def settled(self) -> None:
        """Note that all commands of a batch have begun, or never will."""
        self._in_background.clear()

    def end(self) -> None:
        """End what still runs: the session has ended."""
        for live in (*self._running, *self._session.hub.in_background.get(self._session.id, ())):
            live.interrupt()

    async def run(self, asked: ClientCommand, to: Streams, gone: anyio.Event) -> dict[str, Any]:
        """Run a command, and return what its prefix is to be told.

        Args:
            asked: The command.
            to: Where it writes.
            gone: Set when the client has given up.

        Raises:
            CoAgentError: It has not been run.
        """
        session = self._session
        shell = session.hub.shell
        if shell is None or asks_coagent(asked.command):  # the domain is not in the view
            return {"plain": True}
        if asked.command in self._in_background:
            self._in_background.remove(asked.command)
            return await self._run_beside(shell, asked, to, gone)
        for ending in list(self._ending):  # of commands whose clients have gone: what they did comes first
            await ending.wait()
        rank, left = session.hub.git_left.pop(session.id, (session.agent.rank, {}))
        if left and rank != session.agent.rank:
            await session.loudly(GIT_NAME, "git: what you had for yourself", private=left)
        live = shell.live(asked, to, self._noting(asked))
        over = anyio.Event()
        self._running.append(live)

        async def interrupt() -> None:
            await gone.wait()
            self._ending.add(over)
            live.interrupt()

        try:
            return await beside(interrupt, lambda: self._call(shell, asked, to, live))
        finally:
            self._running.remove(live)
            shell.over(live)
            over.set()
            session.hub.notes.over(asked.run)
            self._ending.discard(over)

    def _noting(self, asked: ClientCommand) -> Callable[[Confined], None]:
        """Return what notes that a command begins."""
        session = self._session
        return lambda view: session.hub.notes.begun(asked.run, asked.command, session.agent.name, view)

    async def _run_beside(
        self, shell: LiveShell, asked: ClientCommand, to: Streams, gone: anyio.Event
    ) -> dict[str, Any]:
        """Run a command in the background."""
        session = self._session
        what = f"Bash {asked.command[:COMMAND_SHOWN_MAX]!r}"
        command = InBackground(session, shell, self._next, what)
        all_of_session = session.hub.in_background.setdefault(session.id, [])
        all_of_session.append(command)

        async def interrupt() -> None:
            await gone.wait()
            command.interrupt()

        try:
            return await beside(interrupt, lambda: command.run(asked, to, self._noting(asked)))
        finally:
            session.hub.notes.over(asked.run)
            all_of_session.remove(command)

    async def _call(
        self, shell: LiveShell, asked: ClientCommand, to: Streams, live: LiveRun
    ) -> dict[str, Any]:
        session = self._session
        what = f"Bash {asked.command[:COMMAND_SHOWN_MAX]!r}"
        try:
            try:
                outcome = await _call_of(shell, session, asked, live)
            except AgentNotActive:  # its turn has ended while the command ran: it belongs to the next one
                session = await self._next()
                outcome = await _call_of(shell, session, asked, live)
        except CoAgentError as failure:
            if live.run is None or not live.run.has_run:
                raise
            session.took(getattr(failure, "call_id", None), what, failure.notifications)
            return {
                "exit_code": 1,
                "says": f"coagent: nothing of what this command changed was kept: {failure}",
            }
        session.took(outcome.call_id, what, outcome.notifications)
        answer = dict(outcome.value)
        if live.ended is None or answer != live.ended.run.answer:
            to.say(
                "coagent: what this command reads was changed by an agent before you while it ran, so it ran "
                f"again, and this counts:\n{answer['output']}"
            )
        for line in _remarks(answer):
            session.say(line)
        if live.ended is not None:
            session.family.say_what_git_leaves(live.ended.run.left_alone, session)
        try:
            await session.rest()
        except CoAgentError as failure:
            session.say(f"[coagent] {failure}")
        return {"exit_code": answer["exit_code"]}


async def _call_of(shell: LiveShell, session: ClaudeSession, asked: ClientCommand, live: LiveRun) -> Outcome:
    agent = session.agent
    shell.goes_on_from(agent.rank, session.family.note_work())
    with shell.waiting(agent.rank, asked, live):
        return await agent.call(NAME, **asked.arguments)


def _remarks(answer: Mapping[str, Any]) -> list[str]:
    """Return what an agent is told of a command beside its output."""
    told: list[str] = []
    if answer.get("left_running"):
        told.append(
            "[coagent] What this command had left running was ended with it: use run_in_background for that."
        )
    if answer.get("not_kept"):
        told.append(f"[coagent] Made, and not kept: {', '.join(answer['not_kept'])}.")
    return told


def ended(domain: Domain, run: str) -> dict[str, Any]:
    """Return what has become of a command whose daemon has died: its exit code, if it is on the record."""
    for agent in domain.kernel.agents.values():
        for call in agent.calls.values():
            if call.tool == NAME and call.arguments.get("run") == run and isinstance(call.told.value, dict):
                return {"exit_code": call.told.value.get("exit_code")}
    return {}
