"""Tables that govern existing MCP servers: what each tool reads and writes, and how it is undone."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from coagent.systems.base import Table


class StepTable(Table):
    """A call of a tool of the same server.

    Args:
        tool: Its name.
        arguments: Its arguments; texts may name the call's own in braces, and what was prepared or returned.
        absent: Of a step that prepares: a regular expression; an error that matches it means that there is
            nothing, which is prepared as such.
        when: Of a step that reverses: only if that was prepared and was there.
        unless: Only if that was prepared and was absent.
        each: Of a step that reverses: a path to a list, such as `result.items`: it is made for each `{item}`.
    """

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    absent: str | None = None
    when: str | None = None
    unless: str | None = None
    each: str | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> StepTable:
        if self.when is not None and self.unless is not None:
            raise ValueError(f"the step {self.tool!r} has both when and unless")
        if self.absent is not None:
            re.compile(self.absent)
        return self


class UpstreamToolTable(Table):
    """What one tool does.

    Args:
        effect: "read", "write" (it can be taken back), or "irreversible".
        reads: Templates of the keys that it reads; those that end in "/" or ":" are ranges.
        writes: Templates of the keys that it writes.
        prepare: Named steps that capture what the reverse needs.
        reverse: Steps that take it back, in order; an empty list says that there is nothing to take back.
        gate: Of an irreversible one: "stage" it until commit, or let it "wait" for those before.
        scratch: Arguments with which `coagent tools check` tries it.
    """

    effect: Literal["read", "write", "irreversible"]
    reads: list[str] = Field(default_factory=list)
    writes: list[str] = Field(default_factory=list)
    prepare: dict[str, StepTable] = Field(default_factory=dict)
    reverse: list[StepTable] | None = None
    gate: Literal["stage", "wait"] | None = None
    scratch: list[dict[str, Any]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> UpstreamToolTable:
        if self.effect == "read" and (self.writes or self.reverse is not None):
            raise ValueError('a tool with effect = "read" has no writes and no reverse')
        if self.effect == "write" and (not self.writes or self.reverse is None):
            raise ValueError(
                'a tool with effect = "write" needs writes and reverse (an empty list if there is nothing to '
                'take back); without a reverse it is "irreversible"'
            )
        if self.effect == "irreversible" and self.reverse is not None:
            raise ValueError('a tool with effect = "irreversible" has no reverse')
        for step in self.reverse or ():
            for name in (step.when, step.unless):
                if name is not None and name not in self.prepare:
                    raise ValueError(f"the step {step.tool!r} asks for {name!r}, which is not prepared")
        return self


class CheckTable(Table):
    """A scratch instance for `coagent tools check`.

    Args:
        command: Starts one; `{scratch}` is a temporary folder.
        files: Files to put there first: path to content.
        setup: Calls that make it ready.
        observe: Calls whose results tell its state.
    """

    command: list[str] | None = None
    files: dict[str, str] = Field(default_factory=dict)
    setup: list[StepTable] = Field(default_factory=list)
    observe: list[StepTable] = Field(default_factory=list)


class UpstreamTable(Table):
    """An existing MCP server.

    Args:
        name: The scheme of its keys where nothing else is declared, and its name in messages.
        command: Starts it; or
        url: Where it is served over streamable HTTP.
        env: Further environment of the command.
        cwd: Its working directory, relative to the domain file.
        root: A folder; absolute paths below it stand in keys as relative ones.
        prefix: Put in front of the names of its tools.
        undeclared: What becomes of tools without a table: "govern" them by their annotations, taking the
            worst for granted, or "hide" them.
        start_s: How long it may take to start.
        call_s: How long one call may take.
        tools: Its tools.
        resources: Templates of the keys that reading a resource reads, over `uri`; everything by default.
        check: How the declarations are tried.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    command: list[str] | None = None
    url: str | None = None
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str = "."
    root: str | None = None
    prefix: str = ""
    undeclared: Literal["govern", "hide"] = "govern"
    start_s: float = Field(default=60.0, gt=0)
    call_s: float = Field(default=300.0, gt=0)
    tools: dict[str, UpstreamToolTable] = Field(default_factory=dict)
    resources: list[str] = Field(default_factory=list)
    check: CheckTable = CheckTable()

    @model_validator(mode="after")
    def _one_server(self) -> UpstreamTable:
        if (self.command is None) == (self.url is None):
            raise ValueError(f"the upstream {self.name!r} needs either a command or a url")
        if self.command == []:
            raise ValueError(f"the command of upstream {self.name!r} is empty")
        return self
