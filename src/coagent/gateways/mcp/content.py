"""Results of upstream tools: as values of the domain, and as what a client is sent of them.

A value is what agents' notices compare, so nothing stands in it twice: where a server gives a text and the
same as data, the data is kept. Bytes are kept as such, not as base64.
Source: Model Context Protocol specification, "Tools: Tool Result".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_types import CallToolResult, ContentBlock, TextContent
from pydantic import TypeAdapter, ValidationError

from coagent.protocol.values import Value
from coagent.wording.quoting import Quoting

_BLOCKS: TypeAdapter[ContentBlock] = TypeAdapter(ContentBlock)
_ENCODED = ("data", "blob")
_BOTH = {"content", "structuredContent"}
_TYPES = ("text", "image", "audio", "resource", "resource_link")


def value_of(result: CallToolResult) -> Value:
    """Return a result as a value of the domain.

    Returns:
        Its text; or its data, where the content says nothing else; or the parts of its content; or both, as
        `{"content", "structuredContent"}`.
    """
    dumped = (block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content)
    parts = [decode(part) for part in dumped]
    texts = [part["text"] for part in parts if part.keys() == {"type", "text"} and part["type"] == "text"]
    text = "\n".join(texts) if len(texts) == len(parts) else None
    data = result.structured_content
    if data is None:
        return parts if text is None else text
    if data.keys() != _BOTH and _says_the_same(text, parts, data):
        return data
    return {"content": parts, "structuredContent": data}


def structured_of(value: Value) -> Any:
    """Return the structured content of a value; None where it has none."""
    if not isinstance(value, dict):
        return None
    return value["structuredContent"] if value.keys() == _BOTH else value


def said_in_text(value: Value) -> str:
    """Return the text of a value: what a server that takes only texts is given for it."""
    return "\n".join(str(part["text"]) for part in _parts(value) if part.get("type") == "text")


def blocks_of(value: Value, quoting: Quoting) -> list[ContentBlock]:
    """Return a value as content for a client.

    Args:
        value: As `value_of` gives it.
        quoting: Sets apart what could pass for a line of ours.
    """
    return [_block(part, quoting) for part in _parts(value)]


def is_plain(value: Value) -> bool:
    """Tell whether all of a value's content is text."""
    return all(part.keys() == {"type", "text"} for part in _parts(value))


def _says_the_same(text: str | None, parts: Sequence[Any], data: Mapping[str, Any]) -> bool:
    """Tell whether the content is the data written out, as servers do for clients that know only texts."""
    if not parts:
        return True
    only = next(iter(data.values())) if len(data) == 1 else None
    if text is None:
        return only is not None and [decode(part) for part in _dicts(only)] == list(parts)
    if text == only:
        return True
    try:
        read = json.loads(text)
    except ValueError:
        return False
    return bool(read == data or (len(data) == 1 and read == only))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _parts(value: Value) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if value.keys() == _BOTH:
            return list(value["content"])
        only = next(iter(value.values())) if len(value) == 1 else None
        if isinstance(only, str):
            return [{"type": "text", "text": only}]
        if _are_parts(only):
            return [decode(part) for part in _dicts(only)]
    elif _are_parts(value):
        return list(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return [{"type": "text", "text": text}]


def _are_parts(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and part.get("type") in _TYPES for part in value)
    )


def decode(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a result with bytes in place of base64."""
    found = dict(part)
    for name in _ENCODED:
        if isinstance(found.get(name), str):
            try:
                found[name] = base64.b64decode(found[name], validate=True)
            except (binascii.Error, ValueError):
                continue  # not base64: it is passed on as it came
    if isinstance(found.get("resource"), dict):
        found["resource"] = decode(found["resource"])
    return found


def _block(part: Mapping[str, Any], quoting: Quoting) -> ContentBlock:
    shown = encode(part)
    inner = shown.get("resource")
    for place in (shown, inner):
        if isinstance(place, dict) and isinstance(place.get("text"), str):
            place["text"] = quoting.set_apart(place["text"])
    try:
        return _BLOCKS.validate_python(shown, by_name=False)
    except ValidationError:
        return TextContent(type="text", text=quoting.set_apart(json.dumps(shown, ensure_ascii=False)))


def encode(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with base64 in place of bytes, as it goes over the wire."""
    return {
        name: base64.b64encode(field).decode()
        if isinstance(field, bytes)
        else encode(field)
        if isinstance(field, dict)
        else field
        for name, field in part.items()
    }
