"""The tools with which a model repairs its own calls, and the errors about which it can do something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from coagent.errors import (
    AgentNotActive,
    AgentRestarted,
    CoAgentError,
    FootprintViolation,
    InvalidArguments,
    LogError,
    NotReversible,
    ToolFailed,
    UnknownCall,
    UnknownTool,
)

_ADVICE = (FootprintViolation, InvalidArguments, NotReversible, ToolFailed, UnknownCall, UnknownTool)
_FATAL = (AgentNotActive, AgentRestarted, LogError)
_CALL_ID = {"type": "string", "description": "The id of one of your calls, as shown in [call ID]."}
UNDO_DESCRIPTION = (
    "Withdraw one of your own calls and all that follows from it; what rested on it runs again."
)
AMEND_DESCRIPTION = (
    "Replace one of your own calls in its place; later calls of yours that rested on it run again."
)
UNDO_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"call_id": _CALL_ID},
    "required": ["call_id"],
    "additionalProperties": False,
}
AMEND_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "call_id": _CALL_ID,
        "arguments": {"type": "object", "description": "Those to change; the others stay as they were."},
    },
    "required": ["call_id", "arguments"],
    "additionalProperties": False,
}


class Repairs(NamedTuple):
    """What the two tools are called at a door."""

    undo: str
    amend: str


PLAIN = Repairs("undo", "amend")
"""Where all tools are the domain's."""
PREFIXED = Repairs("coagent_undo", "coagent_amend")
"""Where an agent has tools of others beside them."""


def for_the_model(error: CoAgentError) -> bool:
    """Tell whether a model can do something about an error; the others end its agent's run."""
    return not isinstance(error, _FATAL) and (error.call_id is not None or isinstance(error, _ADVICE))


def call_id_of(arguments: Mapping[str, Any]) -> str:
    """Return the call that a model means, however it has copied its id.

    Raises:
        InvalidArguments: It names none.
    """
    call_id = arguments.get("call_id")
    if not isinstance(call_id, str) or not call_id.strip():
        raise InvalidArguments("'call_id' is missing", "Pass the id of one of your calls, as in [call ID].")
    return call_id.strip().strip("[]").removeprefix("call ").strip()


def changed_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a model wants to amend.

    Raises:
        InvalidArguments: There are none.
    """
    changed = arguments.get("arguments")
    if not isinstance(changed, dict):
        raise InvalidArguments("'arguments' is no object", "Pass the arguments to change.")
    return changed
