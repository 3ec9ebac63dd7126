"""JSON with comments and trailing commas, as settings files hold it, read with the place of every part.

Source: RFC 8259; Visual Studio Code documentation, "JSON with Comments".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)*", re.S)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_OTHER = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
_DEPTH_MAX = 200


class NotJson(ValueError):
    """A text is not what it should be; the message says where, and why."""

    def __init__(self, text: str, at: int, why: str) -> None:
        line = text.count("\n", 0, at) + 1
        column = at - (text.rfind("\n", 0, at) + 1) + 1
        super().__init__(f"line {line}, column {column}: {why}")


@dataclass(frozen=True)
class Node:
    """A value in a text.

    Args:
        value: What it is in Python; of members of one name, the last counts.
        start: Where it begins.
        end: Where it ends.
        parts: What an object or a list holds, in order.
        comma: Where the comma behind the last part is, if there is one.
    """

    value: Any
    start: int
    end: int
    parts: tuple[Part, ...] = ()
    comma: int | None = None

    def member(self, name: str) -> Part | None:
        """Return the member of a name that counts."""
        return next((part for part in reversed(self.parts) if part.name == name), None)


@dataclass(frozen=True)
class Part:
    """A member of an object or an item of a list.

    Args:
        start: Where it begins, with its name.
        node: Its value.
        name: A member's name; None of an item.
    """

    start: int
    node: Node
    name: str | None = field(default=None)

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.node.end


def read(text: str) -> Node:
    """Return the value that a text holds.

    Raises:
        NotJson: It holds none, or more than one.
    """
    node = _value(text, blank_end(text, 0), 0)
    end = blank_end(text, node.end)
    if end < len(text):
        raise NotJson(text, end, "there is more behind the end")
    return node


def blank_end(text: str, at: int) -> int:
    """Return where blanks and comments end that begin at some place."""
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> Node:
    if depth > _DEPTH_MAX:
        raise NotJson(text, at, "it is nested too deeply")
    opening = text[at : at + 1]
    if opening == "{":
        return _object(text, at, depth)
    if opening == "[":
        return _list(text, at, depth)
    found = (_STRING if opening == '"' else _OTHER).match(text, at)
    if found is None:
        raise NotJson(text, at, f"a value was expected, not {_seen(text, at)}")
    try:
        return Node(json.loads(found[0]), at, found.end())
    except ValueError:
        raise NotJson(text, at, f"{found[0][:40]} is no value") from None


def _object(text: str, start: int, depth: int) -> Node:
    parts: list[Part] = []
    at, comma = blank_end(text, start + 1), None
    while text[at : at + 1] != "}":
        _require_comma(text, at, parts, comma, "}")
        found = _STRING.match(text, at)
        if found is None:
            raise NotJson(text, at, f"a name in double quotes was expected, not {_seen(text, at)}")
        colon = blank_end(text, found.end())
        if text[colon : colon + 1] != ":":
            raise NotJson(text, colon, f"':' was expected, not {_seen(text, colon)}")
        node = _value(text, blank_end(text, colon + 1), depth + 1)
        parts.append(Part(at, node, str(_name(text, at, found[0]))))
        at, comma = _behind(text, node.end)
    return Node({part.name: part.node.value for part in parts}, start, at + 1, tuple(parts), comma)


def _list(text: str, start: int, depth: int) -> Node:
    parts: list[Part] = []
    at, comma = blank_end(text, start + 1), None
    while text[at : at + 1] != "]":
        _require_comma(text, at, parts, comma, "]")
        node = _value(text, at, depth + 1)
        parts.append(Part(at, node))
        at, comma = _behind(text, node.end)
    return Node([part.node.value for part in parts], start, at + 1, tuple(parts), comma)


def _behind(text: str, at: int) -> tuple[int, int | None]:
    """Return where what comes next begins, and the comma before it."""
    at = blank_end(text, at)
    return (blank_end(text, at + 1), at) if text[at : at + 1] == "," else (at, None)


def _require_comma(text: str, at: int, parts: list[Part], comma: int | None, closing: str) -> None:
    if at >= len(text):
        raise NotJson(text, at, f"it ends before its {closing!r}")
    if parts and comma is None:
        raise NotJson(text, at, f"',' or {closing!r} was expected, not {_seen(text, at)}")


def _name(text: str, at: int, found: str) -> Any:
    try:
        return json.loads(found)
    except ValueError:
        raise NotJson(text, at, f"{found[:40]} is no name") from None


def _seen(text: str, at: int) -> str:
    return repr(text[at]) if at < len(text) else "the end"
