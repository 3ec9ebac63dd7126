"""Asking the person behind a client about objects that are stuck.

Source: Model Context Protocol, "Elicitation": up to 2025-11-25 a request of the server's while the call runs;
from 2026-07-28 on a result that asks, after which the client calls again with the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from coagent.wording.quoting import one_line

Decision = Literal["retry", "accept"]
_ERROR_LENGTH_MAX = 1000
_OBJECTS_MAX = 10
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "string",
            "title": "What to do",
            "enum": ["retry", "accept", "later"],
            "enumNames": [
                "Try again: the cause is gone",
                "Accept what is there; agents are told",
                "Decide later",
            ],
            "default": "later",
        }
    },
    "required": ["decision"],
}


async def decisions(
    context: ServerRequestContext[Any, Any], params: CallToolRequestParams, stuck: Mapping[str, str]
) -> dict[str, Decision] | InputRequiredResult:
    """Ask a person about stuck objects, where the client can ask one.

    Args:
        context: Of the call that waits for them.
        params: Of the same call; with the answers, where it has asked before.
        stuck: The objects, each with the reason.

    Returns:
        What was decided, by object: nothing where nobody could be asked or nothing was decided; or the result
        that asks.
    """
    capabilities = context.session.client_capabilities
    if not stuck or capabilities is None or capabilities.elicitation is None:
        return {}
    asked = dict(sorted(stuck.items())[:_OBJECTS_MAX])
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        if params.input_responses is None:
            requests: dict[str, InputRequest] = {key: _request(key, why) for key, why in asked.items()}
            return InputRequiredResult(input_requests=requests)
        answers = {
            key: response
            for key, response in params.input_responses.items()
            if isinstance(response, ElicitResult)
        }
        return {key: how for key, answer in answers.items() if key in asked and (how := _decided(answer))}
    decided: dict[str, Decision] = {}
    for key, why in asked.items():
        try:
            answer = await context.session.elicit_form(
                _message(key, why), _SCHEMA, related_request_id=context.request_id
            )
        except MCPError:
            break  # the client says that it can ask, and cannot: `coagent resolve` is left
        if how := _decided(answer):
            decided[key] = how
    return decided


def _request(key: str, why: str) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=_message(key, why), requested_schema=_SCHEMA))


def _message(key: str, why: str) -> str:
    return (
        f"CoAgent cannot bring {one_line(key)} to the state that it should have, and an agent waits for it. "
        f"Its system says: {one_line(why, _ERROR_LENGTH_MAX)}"
    )


def _decided(answer: ElicitResult) -> Decision | None:
    if answer.action != "accept" or answer.content is None:
        return None
    match answer.content.get("decision"):
        case "retry":
            return "retry"
        case "accept":
            return "accept"
        case _:
            return None
