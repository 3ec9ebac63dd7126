"""What makers of tools give: a tool and the arguments with which it does what was asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from coagent.toolsmith.spec import ToolSpec

Answers: TypeAlias = Literal["tools", "json"]
"""How a model answers: it looks and answers by calling tools, or it is shown a little and answers in JSON."""


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


class ModelChoice(NamedTuple):
    """The model that makes tools.

    Args:
        model: `provider:name`, or a Pydantic AI model.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        api_key_env: The environment variable that holds its key; by default the provider's own.
        tries: How many proposals of it are looked at for one request.
        requests: How often it may answer for one request.
        tokens: How many tokens it may use for one request.
        seconds: How long it may take for one request.
        answers: "tools", or "json" for models and servers that have trouble with tool calls.
    """

    model: Any
    base_url: str | None = None
    api_key_env: str | None = None
    tries: int = 4
    requests: int = 24
    tokens: int = 100_000
    seconds: float = 300.0
    answers: Answers = "tools"


Judge = Callable[[Proposal], Awaitable[str]]
"""Verifies a proposal and returns why it is refused; nothing where it was taken."""


class Maker(Protocol):
    """Makes tools."""

    async def make(self, request: str, command: str, judge: Judge) -> int:
        """Propose tools until one is taken or there are no more, and return the tokens used.

        Args:
            request: What for, in plain language.
            command: A command that does it once; "" for none.
            judge: Decides.

        Raises:
            ToolFailed: It can propose nothing; the message says why.
        """
        ...
