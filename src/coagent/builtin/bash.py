"""The shell as a governed tool: a command runs in a private view of the workspace, at its agent's place.

When an agent before it changes any of what it looked up, opened or listed, the command runs again, and its
agent is told only if it then gives something else (`commands.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coagent.builtin.commands import TIMEOUT_S_DEFAULT, Command, CommandRunner
from coagent.targets.workspace import Workspace
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State


def bash_tools(
    workspace: Workspace, *, network: bool = False, trace: bool = True, writable: Sequence[str] = ()
) -> tuple[NativeTool, ...]:
    """Return the tool `bash` for a workspace.

    Args:
        workspace: That of a target `Files` of the domain.
        network: Whether commands may use the network. What they do there cannot be undone.
        trace: Whether to follow what commands look up. Otherwise they are taken to have read everything: they
            start and run faster, and run again whenever an agent before theirs changes anything.
        writable: Folders outside the workspace that commands may write to, such as a compiler's cache. What
            they do there cannot be undone.

    Raises:
        ConfigurationError: Private views cannot be had here.
    """
    return (bash_tool(CommandRunner(workspace, network=network, trace=trace, writable=writable)),)


def bash_tool(runner: CommandRunner) -> NativeTool:
    """Return the tool `bash` whose commands a runner runs."""

    @tool(name="bash")
    async def bash(
        state: State, command: str, cwd: str = ".", timeout_s: float = TIMEOUT_S_DEFAULT
    ) -> dict[str, Any]:
        """Run a shell command in the workspace.

        It sees and changes the workspace as it is at your place in the order. It has no terminal and no
        network, and what it leaves in the background ends with it. In git you have an index, stashes and
        settings of your own; branches and tags are shared, and git leaves the uncommitted work of others
        alone. What would drop others' commits is refused. The result names what it made that cannot be kept.

        Args:
            command: The command, for bash.
            cwd: Where it starts, relative to the workspace.
            timeout_s: How long it may take, in seconds.
        """
        return await runner.run(state, Command(command, cwd, timeout_s))

    return bash
