"""What every kind of tool offers: a name, a schema, when it may run, and how its arguments are checked."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from coagent.tools.intent import Probe

Effect: TypeAlias = Literal["inferred", "irreversible"]
Gate: TypeAlias = Literal["stage", "wait"]
Kind: TypeAlias = Literal["native", "declared"]


class CheckedArguments(Protocol):
    """The parameters of a tool."""

    schema: dict[str, Any]

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the tool takes them; raises InvalidArguments."""

    @property
    def signature(self) -> str:
        """The parameters in one line."""


class Tool(ABC):
    """Something that agents may call.

    The runtime has one runner for each kind (`kind`), and asks nothing else about what a tool is.
    """

    kind: ClassVar[Kind]
    name: str
    description: str
    arguments: CheckedArguments
    effect: Effect
    gate: Gate | None
    schemes: tuple[str, ...] = ()
    """Those of objects that no target has."""
    probe: Probe | None = None
    """Finds out whether a run has had its effect, of which nobody knows."""
    idempotent: bool = False
    """Whether its system acts once for a name (`coagent.idempotency_key`), so that it can be run again."""
    origin: Hashable = None
    """What it was made from, if an agent has brought it along: nobody else is offered it."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments (an object)."""
        return self.arguments.schema

    def offered(self, add_tools: Callable[[Sequence[Tool]], None]) -> None:
        """Hear that a domain offers the tool now.

        Args:
            add_tools: Offers further tools in it, for a tool that makes some.
        """
        return

    def named(self, name: str) -> Tool | None:
        """Return a tool that this one knows of and that is not offered yet; another process may have made it.

        Args:
            name: That of the tool.
        """
        return None
