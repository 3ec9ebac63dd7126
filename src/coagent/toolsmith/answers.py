"""What a model answers when it is asked for a tool: a new one, or one that is there."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from coagent.toolsmith.maker import Proposal
from coagent.toolsmith.spec import Parameter, ParameterType, ToolSpec


class ProposedParameter(BaseModel):
    """One parameter of a proposed tool, and the value that does what was asked for."""

    name: str
    type: ParameterType
    description: str = ""
    multiline: bool = False
    value: str


class ProposedTool(BaseModel):
    """A tool that does what the worker asks, and the values with which it does."""

    name: str
    description: str
    command: str
    effect: Literal["read", "write"]
    parameters: list[ProposedParameter] = Field(default_factory=list)
    reads: list[str] = Field(default_factory=list)
    writes: list[str] = Field(default_factory=list)
    prepare: str = ""
    reverse: str = "before-image"

    def proposal(self, request: str, tokens: int) -> Proposal:
        """Return it as a tool that can be verified.

        Args:
            request: What was asked for.
            tokens: What the model has used so far.

        Raises:
            ValidationError: It is no tool.
        """
        described = {
            parameter.name: Parameter(
                type=parameter.type, description=parameter.description[:500], multiline=parameter.multiline
            )
            for parameter in self.parameters
        }
        spec = ToolSpec(
            name=self.name,
            description=self.description,
            effect=self.effect,
            reads=self.reads,
            writes=self.writes,
            command=self.command,
            prepare=self.prepare if self.effect == "write" else "",
            reverse=self.reverse if self.effect == "write" else "",
            parameters=described,
            maker="model",
            request=request,
            tokens=tokens,
        )
        return Proposal(spec, {parameter.name: parameter.value for parameter in self.parameters}, tokens)


class ExistingTool(BaseModel):
    """A tool that is there already, and the arguments with which it does what the worker asks."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


ToolAnswer: TypeAlias = ProposedTool | ExistingTool
