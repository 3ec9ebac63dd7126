"""Old values that still stand in what an agent did after it was told of new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_KEPT = 20
_LENGTH_MAX = 200
_LITERAL_MIN = 3


def replaced(old: Any, new: Any) -> list[tuple[Any, Any]]:
    """Return the scalars of a value that another one has not, each with what stands in its place, or None."""
    found = []
    known = set(_scalars(new))
    for before, after in _pairs(old, new):
        if before not in known and _telling(before):
            found.append((before, after if _telling(after) else None))
            if len(found) == _KEPT:
                break
    return found


def _pairs(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    if type(old) is dict:
        for name, item in old.items():
            yield from _pairs(item, new.get(name) if type(new) is dict else None)
    elif type(old) is list:
        for at, item in enumerate(old):
            yield from _pairs(item, new[at] if type(new) is list and at < len(new) else None)
    elif type(old) is str and "\n" in old:
        yield from _line_pairs(old, new if type(new) is str else "")
    elif type(old) in (str, int, float):
        yield old, new if type(new) in (str, int, float) else None


def _line_pairs(old: str, new: str) -> Iterator[tuple[Any, Any]]:
    """Yield the lines of a text that another has not, with those that may stand in their place."""
    before, after = ([line.strip() for line in text.splitlines()] for text in (old, new))
    here, there = set(before), set(after)
    gone = [line for line in before if line not in there]
    come = [line for line in after if line not in here]
    for at, line in enumerate(gone):
        yield line, come[at] if len(come) == len(gone) else None


def _scalars(value: Any) -> Iterator[Any]:
    return (scalar for scalar, _ in _pairs(value, None))


def _telling(value: Any) -> bool:
    """Tell whether a value is one by which it is known again: no flag, no single figure, no whole text."""
    return value is not None and type(value) is not bool and _LITERAL_MIN <= len(str(value)) <= _LENGTH_MAX


def carries(value: Any, literal: Any) -> bool:
    """Tell whether a literal stands in a value: as a whole scalar, or within a text."""
    if type(value) is str:
        return str(literal) in value
    if type(value) in (int, float):
        return bool(value == literal) and type(literal) is not str
    if type(value) is dict:
        return any(carries(item, literal) for item in value.values())
    if type(value) is list:
        return any(carries(item, literal) for item in value)
    return False
