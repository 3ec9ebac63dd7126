"""What a client is answered: the content of a result between our own lines, and the same as data.

A tool of an upstream server that has an output schema is offered with one too, in which its result stands as
`result`, and is answered with data that fit it, whatever has come of the call.
Source: Model Context Protocol specification, "Tools: Structured Content" and "Output Schema".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jsonschema
from jsonschema.validators import validator_for
from mcp_types import ContentBlock, TextContent, Tool

from coagent.gateways.mcp.content import blocks_of, is_plain, said_in_text, structured_of
from coagent.gateways.mcp.declarations import UpstreamTool
from coagent.gateways.mcp.own_tools import with_handle
from coagent.runtime.outcomes import Outcome
from coagent.tools.base import Tool as DomainTool
from coagent.wording.quoting import Quoting
from coagent.wording.results import outcome_data, outcome_end, outcome_text, with_notices

_RESULT = "#/properties/result"


class Answer(NamedTuple):
    """What a call is answered with: content, and the same as data where the result is data."""

    content: list[ContentBlock]
    data: dict[str, Any] | None = None


def in_words(text: str, tool: DomainTool | None = None) -> Answer:
    """Return an answer that is a text of ours, with no result of the tool's."""
    data = {"notices": [text], "changed": {}, "call": ""} if _output_schema(tool) is not None else None
    return Answer([_text(text)], data)


def answered(outcome: Outcome, quoting: Quoting, tool: DomainTool, said_first: str = "") -> Answer:
    """Return the outcome of a call or an amendment as its client gets it.

    Args:
        outcome: The outcome.
        quoting: Of the agent that sees it.
        tool: What was called.
        said_first: What is said in front of it.
    """
    front = [_text(said_first)] if said_first else []
    if not isinstance(tool, UpstreamTool):
        return Answer([*front, _text(outcome_text(outcome, quoting))], outcome_data(outcome, quoting))
    data = _data(outcome, tool, quoting)
    if outcome.status != "done":
        return Answer([*front, _text(outcome_text(outcome, quoting))], data)
    if is_plain(outcome.value):
        text = outcome_text(outcome, quoting, said_in_text(outcome.value))
        return Answer([*front, _text(text)], data)
    notices = with_notices(outcome.notifications, "", quoting).strip()
    front += [_text(notices)] if notices else []
    end = outcome_end(outcome, quoting)
    return Answer([*front, *blocks_of(outcome.value, quoting), *([_text(end)] if end else [])], data)


def offered(name: str, tool: DomainTool) -> Tool:
    """Return a tool of the domain as clients are told of it.

    Args:
        name: What they call it.
        tool: The tool.
    """
    of_server = tool.offered_as if isinstance(tool, UpstreamTool) else None
    return Tool(
        name=name,
        title=None if of_server is None else of_server.title,
        description=tool.description,
        input_schema=with_handle(tool.schema),
        output_schema=_output_schema(tool),
        annotations=None if of_server is None else of_server.annotations,
        icons=None if of_server is None else of_server.icons,
    )


def _data(outcome: Outcome, tool: UpstreamTool, quoting: Quoting) -> dict[str, Any] | None:
    schema = tool.offered_as.output_schema
    structured = structured_of(outcome.value)
    if structured is not None and (schema is None or _fits(structured, schema)):
        data = outcome_data(replace(outcome, value=structured), quoting)
        if data is not None:
            return data
    if schema is None:
        return None
    notices = [notice.text for notice in outcome.notifications]
    return {"notices": notices, "changed": dict(outcome.changed), "call": outcome.call_id}


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    validator = validator_for(schema, jsonschema.Draft202012Validator)
    try:
        return bool(validator(schema).is_valid(value))
    except Exception:  # a schema that is none, or names others: its server's business, and nothing fits it
        return False


def _output_schema(tool: DomainTool | None) -> dict[str, Any] | None:
    if not isinstance(tool, UpstreamTool) or tool.offered_as.output_schema is None:
        return None
    result = _moved(dict(tool.offered_as.output_schema))
    dialect = result.pop("$schema", None)
    result.pop("$id", None)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "notices": {"type": "array", "items": {"type": "string"}},
            "result": result,
            "changed": {"type": "object"},
            "call": {"type": "string"},
        },
        "required": ["notices", "changed", "call"],
    }
    return schema if dialect is None else {"$schema": dialect, **schema}


def _moved(schema: Any) -> Any:
    """Return a schema in which references into itself find what they mean from its new place."""
    if isinstance(schema, list):
        return [_moved(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: f"{_RESULT}{part[1:]}"
        if name == "$ref" and isinstance(part, str) and (part == "#" or part.startswith("#/"))
        else _moved(part)
        for name, part in schema.items()
    }


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
