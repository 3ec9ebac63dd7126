"""The tools with which a model repairs its own calls, and the errors about which it can do something."""

from __future__ import annotations

import json
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
from coagent.protocol.literals import with_literals
from coagent.protocol.values import same
from coagent.wording.quoting import one_line

_REPLACE_CURE = 'Pass replace: [{"old": …, "new": …}].'
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
_PAIR = {
    "type": "object",
    "properties": {"old": {"type": "string"}, "new": {"type": "string"}},
    "required": ["old", "new"],
    "additionalProperties": False,
}
AMEND_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "call_id": _CALL_ID,
        "arguments": {
            "type": "object",
            "description": "Those to change; the others stay as they were. Of an object, only the fields to "
            "change; null takes a field away.",
        },
        "replace": {
            "type": "array",
            "items": _PAIR,
            "description": "Instead: values to replace wherever they stand in the arguments, as whole words.",
        },
        "preview": {"type": "boolean", "description": "Only show the call as it would be."},
    },
    "required": ["call_id"],
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


def amended(arguments: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call as a model wants to amend it.

    Objects are merged, so that what it does not speak of stays. Source: JSON Merge Patch, RFC 7396.

    Args:
        arguments: As they are.
        asked: What it has passed to the tool.

    Raises:
        InvalidArguments: It changes nothing, or cannot be understood.
    """
    changed, replace = asked.get("arguments"), asked.get("replace")
    if changed is None and replace is None:
        raise InvalidArguments(
            "neither 'arguments' nor 'replace' is there", "Pass the arguments to change, or what to replace."
        )
    if not isinstance(changed, dict | None):
        raise InvalidArguments("'arguments' is no object", "Pass the arguments to change.")
    found = {**arguments}
    for old, new in _pairs(replace):
        before = found
        found = {name: with_literals(value, {old: new}) for name, value in before.items()}
        if same(found, before):
            raise InvalidArguments(
                f"{old!r} does not stand in the arguments of that call", "Pass the old value as a whole."
            )
    for name, value in (changed or {}).items():
        found[name] = _merged(found.get(name), value) if isinstance(value, dict) else value
    return found


def previewed(call_id: str, tool: str, arguments: Mapping[str, Any]) -> str:
    """Return a call as it would be, which has not been amended."""
    shown = json.dumps(arguments, ensure_ascii=False, default=repr)
    return f"not amended yet; {one_line(call_id)} would be: {one_line(tool)} {shown}"


def _pairs(replace: Any) -> list[tuple[str, str]]:
    given = [replace] if isinstance(replace, dict) else [] if replace is None else replace
    if not isinstance(given, list):
        raise InvalidArguments("'replace' is no list", _REPLACE_CURE)
    pairs = []
    for replacement in given:
        if (
            not isinstance(replacement, dict)
            or set(replacement) != {"old", "new"}
            or replacement["old"] in ("", None)
        ):
            raise InvalidArguments(f"'replace' has {replacement!r}", _REPLACE_CURE)
        pairs.append((str(replacement["old"]), str(replacement["new"])))
    return pairs


def _merged(before: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    found = {**before} if isinstance(before, dict) else {}
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), value)
    return found
