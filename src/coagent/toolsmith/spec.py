"""A grown tool as a readable file says it: parameters, command, footprint, and what was verified.

In the command, parameters are only ever shell variables (`"$file"`); no value becomes part of its text, so no
value can change what is run. What it may write is declared as key templates over the parameters and enforced
at every call.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCHEMA = "coagent-tool/1"
NAME_PATTERN = r"^[a-z][a-z0-9_]{1,47}$"
TEXT_LENGTH_MAX = 4096
"""The length of a value of a text parameter, in characters, where the parameter says nothing else."""

ParameterType: TypeAlias = Literal["path", "string", "integer", "number", "stages"]
_FIELD = re.compile(r"\{(\w+)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Parameter(_Strict):
    """One parameter of a grown tool.

    Args:
        type: "path" is one of the workspace, relative to it; "stages" a pipeline of programs that only read
            (`stages.py`); the others are plain values.
        description: What a model is told of it.
        pattern: A regular expression that the whole value must match; of stages, the text that is
            handed over.
        multiline: Whether a text may have line ends in it.
        option_safe: Whether the value may begin with a dash: the command passes it where no program takes it
            for an option.
        itself: Whether a path that ends in a symbolic link names the link, and not what it leads to.
    """

    type: ParameterType
    description: str = ""
    pattern: str | None = None
    multiline: bool = False
    option_safe: bool = False
    itself: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"no regular expression: {error}") from None
        return pattern


class Check(_Strict):
    """One thing that the verifier looked at."""

    name: str
    passed: bool
    why: str = ""


class Verified(_Strict):
    """What the verifier found.

    Args:
        digest: That of the definition it looked at; another one has not been verified.
        checks: What it looked at.
    """

    digest: str
    checks: list[Check] = Field(default_factory=list)


class ToolSpec(_Strict):
    """A grown tool.

    Args:
        schema: The version of this format.
        name: What agents call it.
        description: What models are told.
        parameters: By name, in the order in which they are shown.
        command: For bash; each parameter is a variable of it.
        effect: "read"; "write", which is undone by `reverse`; or "irreversible", with the reason.
        reason: Why it is irreversible.
        blind: Whether what it leaves does not depend on what was there; measured.
        reads: Key templates of what it reads; a template that ends in `/` stands for all below.
        writes: Key templates of what it may write; nothing else of it is kept.
        reverse: How it is undone: "before-image" puts back what the keys of `writes` held before; otherwise a
            command of its own, which gets the parameters and, in `prepared`, the output of `prepare`.
        prepare: The command that captures what `reverse` needs.
        examples: Arguments that it was verified with.
        maker: Who made it: "example" or "model".
        request: What was asked for.
        tokens: What a model has used to make it.
        verified: What the verifier found.
    """

    schema_: Literal["coagent-tool/1"] = Field(default="coagent-tool/1", alias="schema")
    name: str = Field(pattern=NAME_PATTERN)
    description: str = Field(min_length=1, max_length=2000)
    effect: Literal["read", "write", "irreversible"]
    reason: str = ""
    blind: bool | None = None
    reads: list[str] = Field(default_factory=list)
    writes: list[str] = Field(default_factory=list)
    command: str = Field(min_length=1, max_length=20_000)
    prepare: str = ""
    reverse: str = ""
    maker: str = ""
    request: str = ""
    tokens: int = 0
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    examples: list[dict[str, Any]] = Field(default_factory=list)
    verified: Verified | None = None

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @field_validator("parameters")
    @classmethod
    def _named(cls, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
        for name in parameters:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in _TAKEN:
                raise ValueError(f"{name!r} cannot be the name of a parameter")
        return parameters

    @model_validator(mode="after")
    def _consistent(self) -> ToolSpec:
        for template in (*self.reads, *self.writes):
            scheme, colon, _ = template.partition(":")
            if not colon or not scheme.isidentifier():
                raise ValueError(f"{template!r} is no key template: it looks like 'file:{{path}}'")
            for name in _FIELD.findall(template):
                if name not in self.parameters:
                    raise ValueError(f"{template!r} names {name!r}, which is no parameter")
        if self.effect == "read" and self.writes:
            raise ValueError("a tool that reads declares no writes")
        if self.effect == "write" and not self.writes:
            raise ValueError("a tool that writes declares what it writes")
        if self.effect == "write" and not self.reverse:
            raise ValueError("a tool that writes says how it is undone, or is irreversible")
        if self.effect == "irreversible" and not self.reason:
            raise ValueError("an irreversible tool says why it is")
        return self

    @property
    def skeleton(self) -> str:
        """The shape of the commands that it stands for; equal shapes are one tool."""
        return self.command

    @property
    def digest(self) -> str:
        """What tells one definition from another: all but what was verified and where it came from."""
        left_out = {"verified", "request", "maker", "examples", "blind", "tokens"}
        plain = self.model_dump(mode="json", by_alias=True, exclude=left_out)
        for parameter in plain["parameters"].values():
            if not parameter["itself"]:  # it came later: tools that are older keep their digests
                del parameter["itself"]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def is_verified(self) -> bool:
        """Whether this very definition has passed every check of the verifier."""
        verified = self.verified
        return (
            verified is not None
            and verified.digest == self.digest
            and bool(verified.checks)
            and all(check.passed for check in verified.checks)
        )

    @property
    def signature(self) -> str:
        """The name and the parameters in one line."""
        parts = [f"{name}: {parameter.type}" for name, parameter in self.parameters.items()]
        return f"{self.name}({', '.join(parts)})"

    def keys(self, templates: list[str], arguments: dict[str, Any]) -> list[str]:
        """Return templates with the arguments put in."""
        return [_FIELD.sub(lambda match: str(arguments[match[1]]), template) for template in templates]


_TAKEN = frozenset({"path", "home", "ifs", "prepared", "pwd", "shell", "user", "env", "bash_env", "ps1"})
