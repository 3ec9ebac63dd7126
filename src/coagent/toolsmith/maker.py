"""What makers of tools give: a tool and the arguments with which it does what was asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

from coagent.toolsmith.spec import ToolSpec


class Proposal(NamedTuple):
    """A tool that somebody proposes; nothing of it is verified.

    Args:
        spec: The tool.
        arguments: With these it does what was asked for.
        tokens: What a model has used to make it.
    """

    spec: ToolSpec
    arguments: dict[str, Any]
    tokens: int = 0
