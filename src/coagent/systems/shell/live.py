"""The shell of clients that run commands by themselves: each runs for its client, and becomes a call.

A command runs in a view of the tree, at its agent's place in the order, and otherwise on the machine as it
is, into the streams of the client. Where its call has to run again, it does so as commands of the tool `bash`
do: confined, without a network, and unheard.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from coagent.protocol.calls import Rank
from coagent.systems.git.references import agent_key
from coagent.systems.shell.background import Beside
from coagent.systems.shell.command_run import Command
from coagent.systems.shell.commands import CommandRunner
from coagent.systems.shell.live_runs import LiveRun
from coagent.systems.shell.streams import Streams
from coagent.systems.shell.views.confined import Confined
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State

NAME = "run_command"
BESIDE_NAME = "begin_command"
GIT_NAME = "take_over_git"
_SHELLS = ("bash", "zsh")


@dataclass(frozen=True)
class ClientCommand:
    """A command as a client would run it.

    Args:
        run: A name for this one run.
        command: What its agent has asked for.
        setup: What is run before it in the same shell, joined to it by "&&".
        after: What is run after it, for the client alone.
        shell: "bash" or "zsh".
        cwd: Where it starts, as an absolute path.
        environment: All of its variables.
    """

    run: str
    command: str
    setup: str
    after: str
    shell: str
    cwd: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def script(self) -> str:
        """What is run, without what is for the client alone."""
        return script(self.command, self.setup)

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments of its call."""
        names = ("command", "cwd", "setup", "shell", "run")
        return {name: getattr(self, name) for name in names}


def script(command: str, setup: str) -> str:
    """Return what is run for a command, as its call has it."""
    return f"{setup} && eval {shlex.quote(command)} < /dev/null" if setup else command


def _heard(given: ClientCommand, streams: Streams, at_start: Callable[[Confined], None]) -> Command:
    """Return a command as it runs for its client."""
    argv = (given.shell, "-c", f"{given.script}{given.after}")
    return Command(
        given.command,
        given.cwd,
        argv=argv,
        streams=streams,
        environment=given.environment,
        bare=True,
        at_start=at_start,
    )


@tool(name=GIT_NAME)
async def take_over_git(state: State, private: dict[str, Any]) -> None:
    """Go on with what an agent before had in git for itself.

    Args:
        private: Its index, stashes and settings.
    """
    await state.put(agent_key(state.rank), private, literal=True)


class LiveShell:
    """The shell of one workspace.

    Args:
        runner: Runs its commands.
    """

    def __init__(self, runner: CommandRunner) -> None:
        self.runner = runner
        self._live: dict[str, LiveRun] = {}
        self._beside: dict[str, Beside] = {}
        self._environments: dict[Rank, Mapping[str, str]] = {}
        self._work: dict[Rank, frozenset[str]] = {}
        runner.goes_on_from = lambda rank: self._work.get(rank, frozenset())
        self.tools = (self._tool(), self._beside_tool(), take_over_git)
        """What makes a command a call, and what a client goes on with as another agent."""

    async def prepare(self) -> None:
        """Do beforehand what the first command would have to wait for.

        Raises:
            TargetError: It cannot be done.
        """
        await self.runner.prepare()

    def live(self, given: ClientCommand, streams: Streams, at_start: Callable[[Confined], None]) -> LiveRun:
        """Return a command to be run for a client, for `waiting`; `over` is to be called in the end.

        Args:
            given: The command.
            streams: Where it writes.
            at_start: Called with its view, in whatever thread, before it begins.
        """
        again = Command(
            given.command,
            given.cwd,
            argv=(given.shell, "-c", given.script),
            environment=given.environment,
            bare=True,
        )
        return LiveRun(_heard(given, streams, at_start), again)

    @contextmanager
    def beside(
        self, given: ClientCommand, streams: Streams, at_start: Callable[[Confined], None]
    ) -> Iterator[Beside]:
        """Have a call of `begin_command` for a command, made within, give it its view.

        Args:
            given: The command.
            streams: Where it writes.
            at_start: As for `live`.
        """
        command = replace(_heard(given, streams, at_start), beside=True)
        beside = self._beside[given.run] = self.runner.beside(command)
        try:
            yield beside
        finally:
            del self._beside[given.run]

    @contextmanager
    def waiting(self, rank: Rank, given: ClientCommand, live: LiveRun) -> Iterator[None]:
        """Have calls with the arguments of a command, made within, run it for its client.

        Args:
            rank: The agent that makes them.
            given: The command.
            live: The same, to be run.
        """
        self._live[given.run] = live
        self._environments[rank] = given.environment
        try:
            yield
        finally:
            del self._live[given.run]

    def goes_on_from(self, rank: Rank, paths: Iterable[str]) -> None:
        """Have git take files for an agent's own that others have written: it goes on where they ended.

        Args:
            rank: The agent.
            paths: The files.
        """
        self._work[rank] = frozenset(paths)  # kept to the end: its commands may run again when it has left

    def over(self, live: LiveRun) -> None:
        """Say that no call waits for a command any more."""
        self.runner.end_live(live)

    def forget(self, rank: Rank) -> None:
        """Forget the variables of an agent that has ended."""
        self._environments.pop(rank, None)

    def _beside_tool(self) -> NativeTool:
        @tool(name=BESIDE_NAME)
        async def begin_command(state: State, command: str, run: str) -> None:
            """Begin a command that runs beside its agent's work.

            Args:
                command: The command.
                run: Names the run for which a client waits.
            """
            beside = self._beside.get(run)
            if beside is not None and beside.run is None:
                await self.runner.begin_beside(state, beside)

        return begin_command

    def _tool(self) -> NativeTool:
        @tool(name=NAME)
        async def run_command(
            state: State, command: str, cwd: str = ".", setup: str = "", shell: str = "bash", run: str = ""
        ) -> dict[str, Any]:
            """Run a command of a client's own shell.

            Args:
                command: The command.
                cwd: Where it starts.
                setup: What is run before it in the same shell.
                shell: "bash" or "zsh".
                run: Names the run for which a client waits.
            """
            live = self._live.get(run)
            if live is not None:
                return await self.runner.run_live(state, live)
            argv = (shell if shell in _SHELLS else "bash", "-c", script(command, setup))
            known = self._environments.get(state.rank)
            again = Command(command, cwd, argv=argv, environment=known or {}, bare=known is not None)
            return await self.runner.run(state, again)

        return run_command
