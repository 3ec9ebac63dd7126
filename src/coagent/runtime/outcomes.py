"""How a run of a tool ended, as the log and the agent get it."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError, to_jsonable_python

from coagent.errors import CoAgentError, ToolFailed
from coagent.protocol.calls import Observation
from coagent.protocol.values import Value, copied


class Run(NamedTuple):
    """One run of a tool: what was observed, and the exception where it failed."""

    observation: Observation
    failure: Exception | None


def plain(tool: str, result: Any) -> Value:
    """Return a tool's result as plain data, copied.

    Raises:
        ToolFailed: It cannot be made plain data.
    """
    try:
        return copied(result)
    except TypeError:
        pass
    try:
        return copied(to_jsonable_python(result))
    except (PydanticSerializationError, TypeError) as error:
        raise ToolFailed(
            f"tool {tool!r} returned {type(result).__name__}, which is not plain data ({error})",
            "Return JSON data, text or bytes.",
        ) from None


def told(failure: Exception) -> str:
    """Return a failure as the agent is told it."""
    if isinstance(failure, CoAgentError):
        return str(failure)
    return f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
