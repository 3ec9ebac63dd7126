"""Grown tools at work: native tools that run a command in a private view and change what they declare only.

They are undone, put in order and made again like every native tool: their inverse is the before-image of what
they wrote. A call that would change anything else is refused, whatever its arguments, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coagent.content import Content
from coagent.errors import FootprintViolation, ToolFailed
from coagent.systems.files.workspace import Workspace
from coagent.systems.shell.command_run import Changes, Command
from coagent.systems.shell.commands import CommandRunner
from coagent.tools.native import Arguments, NativeTool, signature_of
from coagent.tools.state import State
from coagent.toolsmith.arguments import check_arguments
from coagent.toolsmith.footprint import fill_templates, outside
from coagent.toolsmith.spec import ToolSpec
from coagent.toolsmith.trial import plain_environment

_OUTPUT_SHOWN_MAX = 2000
_TIMEOUT_S = 120.0


class SpecArguments(Arguments):
    """The parameters of a grown tool."""

    def __init__(self, spec: ToolSpec, workspace: Workspace) -> None:
        self._spec = spec
        self._workspace = workspace
        self.schema = schema_of(spec)

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return dict(check_arguments(self._spec, self._workspace, arguments))

    @property
    def signature(self) -> str:
        return signature_of(self.schema)


class GrownTool(NativeTool):
    """A tool that somebody has grown.

    Args:
        spec: It.
        workspace: Where it works.
        runner: Runs its command.
        used: Called with its name at each call.
    """

    def __init__(
        self, spec: ToolSpec, workspace: Workspace, runner: CommandRunner, used: Callable[[str], None]
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.description = spec.description
        self.effect = "irreversible" if spec.effect == "irreversible" else "inferred"
        self.gate = "stage" if spec.effect == "irreversible" else None
        self.arguments = SpecArguments(spec, workspace)
        self._runner = runner
        self._used = used

    async def run(self, state: State, arguments: Mapping[str, Any]) -> Any:
        self._used(self.name)
        return await run_grown(self.spec, self._runner, state, dict(arguments))


async def run_grown(spec: ToolSpec, runner: CommandRunner, state: State, values: dict[str, str]) -> str:
    """Run a grown tool as the call that `state` belongs to, and return what it prints.

    Args:
        spec: The tool.
        runner: Runs its command.
        state: The state at the call's position.
        values: As `arguments.check_arguments` returned them.

    Raises:
        FootprintViolation: It would change what it does not declare; nothing is kept.
        ToolFailed: Its command failed; nothing is kept.
    """
    keys = fill_templates(spec, spec.writes, values)

    def check(changes: Changes, before: Callable[[str], Content | None]) -> None:
        stray = outside(keys, changes, before)
        if stray:
            raise FootprintViolation(
                f"{spec.name} would change {', '.join(stray[:5])}, which it does not declare",
                "Pass other arguments; nothing of the call was kept.",
            )

    environment = {**plain_environment(), **values}
    command = Command(spec.command, timeout_s=_TIMEOUT_S, environment=environment, bare=True, check=check)
    answer = await runner.run(state, command)
    output = str(answer["output"])
    if answer["exit_code"] != 0:
        raise ToolFailed(
            f"{spec.name} ended with exit code {answer['exit_code']}: {output.strip()[-_OUTPUT_SHOWN_MAX:]}",
            "Pass other arguments; nothing of the call was kept.",
        )
    return output


def schema_of(spec: ToolSpec) -> dict[str, Any]:
    """Return the JSON Schema of a grown tool's arguments."""
    properties: dict[str, Any] = {}
    for name, parameter in spec.parameters.items():
        if parameter.type == "stages":
            words = {"type": "array", "items": {"type": "string"}}
            properties[name] = {"type": "array", "items": words, "description": parameter.description}
            continue
        kind = parameter.type if parameter.type in ("integer", "number") else "string"
        properties[name] = {"type": kind, "description": parameter.description}
        if parameter.pattern is not None and kind == "string":
            properties[name]["pattern"] = f"^(?:{parameter.pattern})$"
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
