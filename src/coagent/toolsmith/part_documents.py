"""The parts of JSON, YAML and TOML documents: every value, by JSON Pointer (RFC 6901)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SIZE_MAX_BYTES = 1 << 20
"""How long a text may be that is taken apart."""

PARTS_MAX = 100_000
"""How many parts a file may have; what YAML's aliases stand for counts each time."""

DEPTH_MAX = 100


class Unclear(Exception):
    """The file cannot be taken apart in one way only, or not in bounded time."""


@dataclass
class Node:
    """A value: the text of a scalar, or a container ("{}", "[]", with its tag) of named children."""

    text: str
    children: list[tuple[str, Node]] = field(default_factory=list)


class _Number(str):
    """A number as it is written: 1.0 is not 1, and none is too long."""


def escape(name: str) -> str:
    """Return a name as one step of a JSON Pointer.

    Raises:
        Unclear: It is no valid Unicode, so no key either.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Unclear from None
    return name.replace("~", "~0").replace("/", "~1")


def text_of(data: bytes) -> str:
    """Return the text of a file.

    Raises:
        Unclear: It is too long, or not UTF-8 without a mark.
    """
    if len(data) > SIZE_MAX_BYTES or data.startswith(b"\xef\xbb\xbf"):
        raise Unclear
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Unclear from None


def json_parts(path: str, data: bytes) -> dict[str, str] | None:
    """Return the parts of a JSON document (RFC 8259), or None."""
    try:
        value = json.loads(
            text_of(data),
            object_pairs_hook=_unique,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
        )
        return _flat(f"json:{path}#", _node(value))
    except (ValueError, RecursionError, Unclear):
        return None


def toml_parts(path: str, data: bytes) -> dict[str, str] | None:
    """Return the parts of a TOML document (TOML 1.0), or None."""
    try:
        return _flat(f"toml:{path}#", _node(tomllib.loads(text_of(data), parse_float=_Number)))
    except (ValueError, RecursionError, Unclear):
        return None


def yaml_parts(path: str, data: bytes) -> dict[str, str] | None:
    """Return the parts of a YAML file (YAML 1.1), or None, also where PyYAML is not installed."""
    try:
        from coagent.toolsmith.part_yaml import documents
    except ImportError:
        return None
    try:
        parts: dict[str, str] = {}
        for number, document in enumerate(documents(text_of(data)), 1):
            prefix = f"yaml:{path}#" if number == 1 else f"yaml:{path}#{number}"
            parts |= _flat(prefix, document, PARTS_MAX - len(parts))
        return parts
    except Unclear:
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unclear
    return found


def _node(value: Any, depth: int = 0) -> Node:
    if depth > DEPTH_MAX:
        raise Unclear
    if isinstance(value, dict):
        return Node("{}", [(name, _node(member, depth + 1)) for name, member in value.items()])
    if isinstance(value, list):
        return Node("[]", [(str(index), _node(item, depth + 1)) for index, item in enumerate(value)])
    if isinstance(value, _Number):
        return Node(str(value))
    if value is None or isinstance(value, str | bool):
        return Node(json.dumps(value))
    return Node(f"{type(value).__name__} {value}")  # TOML's integers, dates and times


def _flat(prefix: str, root: Node, parts_max: int = PARTS_MAX) -> dict[str, str]:
    parts: dict[str, str] = {}
    waiting: list[tuple[str, Node, int]] = [(prefix, root, 0)]
    length = 0
    while waiting:
        key, node, depth = waiting.pop()
        length += len(key)
        if len(parts) >= parts_max or depth > DEPTH_MAX or length > 64 * SIZE_MAX_BYTES:
            raise Unclear
        parts[key] = node.text
        waiting.extend(_steps(key, node.children, depth + 1))
    return parts


def _steps(key: str, children: Iterable[tuple[str, Node]], depth: int) -> Iterable[tuple[str, Node, int]]:
    return ((f"{key}/{escape(name)}", child, depth) for name, child in children)
