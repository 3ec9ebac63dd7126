"""Paths into plain data: `entities.*.name` is the name of each of the entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class NothingThere(Exception):
    """A path leads nowhere."""


def at(values: Mapping[str, Any], path: str) -> Any:
    """Return what a path names.

    Args:
        values: By name. A name may have dots: the longest that there is counts.
        path: A name, and fields below it, with dots between; `*` stands for all items of a list.

    Returns:
        The value; a list where the path has a `*`.

    Raises:
        NothingThere: There is no such field.
    """
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in values:
            return below(values[name], parts[length:])
    raise NothingThere


def below(value: Any, fields: list[str]) -> Any:
    """Return what lies below a value; see `at`.

    Raises:
        NothingThere: There is no such field.
    """
    if not fields:
        return value
    name, *rest = fields
    if name == "*" and isinstance(value, list):
        found = [below(item, rest) for item in value]
        return [value for inner in found for value in inner] if "*" in rest else found
    if isinstance(value, Mapping) and name in value:
        return below(value[name], rest)
    raise NothingThere
