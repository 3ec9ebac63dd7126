"""The shell as a governed tool: a command runs in a private view of the workspace, at its agent's place.

When an agent before it changes any of what it looked up, opened or listed, the command runs again, and its
agent is told only if it then gives something else (`commands.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from coagent.systems.files.workspace import Workspace
from coagent.systems.shell import installs, tmp_objects
from coagent.systems.shell.command_run import TIMEOUT_S_DEFAULT, Command
from coagent.systems.shell.commands import CommandRunner, View
from coagent.systems.shell.limits import Limits
from coagent.systems.shell.views.confined import Trace
from coagent.systems.shell.views.tmp_stack import BYTES_MAX_DEFAULT
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State

Network: TypeAlias = Literal["deny", "allow", "irreversible"]
"""Whether commands have a network: none, the machine's, or the machine's in a tool that waits its turn."""

_LIMITS = Limits()
_IN_A_COPY = (
    "On this machine it runs in a copy of the workspace: there is no localhost either, only the workspace "
    "and $TMPDIR can be written, and paths are best relative."
)
_SCHEMES = (tmp_objects.SCHEME, installs.SCHEME)
_NO_NETWORK = {
    "deny": "A person can allow one: `network` in [tools.bash].",
    "irreversible": "Use bash_network, which waits until all agents before you have committed.",
    "allow": "",
}


def bash_tools(
    workspace: Workspace,
    *,
    network: Network = "deny",
    trace: Trace = True,
    writable: Sequence[str] = (),
    view: View = "auto",
    tmp_mib_max: int = BYTES_MAX_DEFAULT // 1024**2,
    limits: Limits = _LIMITS,
    environment: Sequence[str] = (),
    devices: Sequence[str] = (),
) -> tuple[NativeTool, ...]:
    """Return the tool `bash` for a workspace, and `bash_network` where the network is irreversible.

    Args:
        workspace: That of a target `Files` of the domain.
        network: "deny": commands have none but their own machine's (localhost), and the result says so where
            one tried to reach another. "allow": they have it; what they do there is not undone.
            "irreversible": those of `bash` have none, those of `bash_network` do, and wait until all agents
            before have committed.
        trace: Whether to follow what commands look up. Otherwise they are taken to have read everything: they
            start and run faster, and run again whenever an agent before theirs changes anything. "strict":
            so are commands that have threads, or share memory that they write.
        writable: Folders outside the workspace that commands may write to, such as a compiler's cache. What
            they do there cannot be undone.
        view: "overlay", "copy" (slower; needs neither overlays nor namespaces), or the first that can be had.
        tmp_mib_max: How much each agent may leave in /tmp, /var/tmp and $TMPDIR, in MiB.
        limits: What each command may use.
        environment: Names of variables of this process that commands have beside those that all programs
            need, such as `["MY_*", "DATABASE_URL"]`.
        devices: Devices of the machine that commands may use beside those that every program needs, such as
            `["/dev/kvm"]`.

    Raises:
        ConfigurationError: Private views cannot be had here.
    """
    runner = CommandRunner(
        workspace,
        network=network == "allow",
        no_network=_NO_NETWORK[network],
        trace=trace,
        writable=writable,
        view=view,
        tmp_bytes_max=tmp_mib_max * 1024**2,
        limits=limits,
        environment=environment,
        devices=devices,
    )
    return (
        (bash_tool(runner), bash_network_tool(runner)) if network == "irreversible" else (bash_tool(runner),)
    )


def bash_network_tool(runner: CommandRunner) -> NativeTool:
    """Return the tool `bash_network`, whose commands have the network and cannot be taken back."""

    @tool(name="bash_network", effect="irreversible", gate="wait", schemes=_SCHEMES)
    async def bash_network(
        state: State, command: str, cwd: str = ".", timeout_s: float = TIMEOUT_S_DEFAULT
    ) -> dict[str, Any]:
        """Run a shell command that needs the network: as bash does, but it cannot be taken back.

        It waits until all agents before you have committed, so do all else with bash, and this last.

        Args:
            command: The command, for bash.
            cwd: Where it starts, relative to the workspace.
            timeout_s: How long it may take, in seconds.
        """
        return await runner.run(
            state, Command(command, cwd, timeout_s, network=True, own_tmp=True, installs=True)
        )

    return bash_network


def bash_tool(runner: CommandRunner) -> NativeTool:
    """Return the tool `bash` whose commands a runner runs."""

    @tool(name="bash", schemes=_SCHEMES)
    async def bash(
        state: State, command: str, cwd: str = ".", timeout_s: float = TIMEOUT_S_DEFAULT
    ) -> dict[str, Any]:
        """Run a shell command in the workspace.

        It sees and changes the workspace as it is at your place in the order. It has no terminal and mostly
        no network but localhost, and what it leaves in the background ends with it. What it leaves in /tmp or
        $TMPDIR is there for your later commands, and for nobody else. In git you have an index, stashes and
        settings of your own; branches and tags are shared, and git leaves the uncommitted work of others
        alone. What would drop others' commits is refused. The result names what it made that cannot be kept.

        Args:
            command: The command, for bash.
            cwd: Where it starts, relative to the workspace.
            timeout_s: How long it may take, in seconds.
        """
        return await runner.run(state, Command(command, cwd, timeout_s, own_tmp=True, installs=True))

    if runner.view == "copy":
        bash.description += f" {_IN_A_COPY}"
    return bash
