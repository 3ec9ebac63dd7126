"""What changed between two values: for people and models as a diff, for machines as old and new leaves."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from coagent.protocol.values import Value, same

_DIFF_LINES_MAX = 4000
_WORD = re.compile(r"[\w.:/@-]{3,}")


class Leaf(NamedTuple):
    """One scalar that changed: where (JSON Pointer; empty for the whole), from what, to what (None: gone)."""

    path: str
    before: Value
    after: Value


def difference(before: Value, after: Value) -> str:
    """Return a diff for reading: unified for texts, one line a leaf for data."""
    if type(before) is str and type(after) is str and ("\n" in before or "\n" in after):
        return _text_difference(before, after)
    if before is None or after is None:
        old = "(absent)" if before is None else brief(before)
        return f"{old} -> {'(absent)' if after is None else brief(after)}"
    lines = []
    for path, old, new in leaves(before, after):
        where = f"{path}: " if path else ""
        lines.append(
            f"{where}{'(absent)' if old is None else brief(old)} -> {'(gone)' if new is None else brief(new)}"
        )
    return "\n".join(lines)


def leaves(before: Value, after: Value, path: str = "") -> Iterator[Leaf]:
    """Yield the leaves that differ; lists of scalars are compared as sets of members."""
    if same(before, after):
        return
    if type(before) is dict and type(after) is dict:
        for name in sorted(before.keys() | after.keys()):
            step = name.replace("~", "~0").replace("/", "~1")
            yield from leaves(before.get(name), after.get(name), f"{path}/{step}")
    elif type(before) is list and type(after) is list:
        yield from _list_leaves(before, after, path)
    else:
        yield Leaf(path, before, after)


def _list_leaves(before: list[Value], after: list[Value], path: str) -> Iterator[Leaf]:
    if len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from leaves(old, new, f"{path}/{index}")
        return
    for old in before:
        if not any(same(old, new) for new in after):
            yield Leaf(path, old, None)
    for new in after:
        if not any(same(new, old) for old in before):
            yield Leaf(path, None, new)


def replaced_literals(before: Value, after: Value) -> list[tuple[str, str | None]]:
    """Return the literals that stood in `before` and are gone from `after`, with what took their place.

    They are what a later write may still carry although its premise has moved.
    """
    if type(before) is str and type(after) is str:
        return _replaced_words(before, after)
    found: list[tuple[str, str | None]] = []
    for _, old, new in leaves(before, after):
        if type(old) is str and type(new) is str and "\n" in old:
            found.extend(_replaced_words(old, new))
        elif type(old) in (str, int, float) and old != "":
            found.append((str(old), None if new is None or type(new) in (dict, list) else str(new)))
    return list(dict.fromkeys(found))


def _replaced_words(before: str, after: str) -> list[tuple[str, str | None]]:
    if "\n" not in before and "\n" not in after:
        return [(before, after)] if before else []
    old, new = dict.fromkeys(_WORD.findall(before)), dict.fromkeys(_WORD.findall(after))
    gone = [word for word in old if word not in new]
    come = [word for word in new if word not in old]
    return [(word, come[0] if len(come) == 1 and len(gone) == 1 else None) for word in gone[:20]]


def _text_difference(before: str, after: str) -> str:
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > _DIFF_LINES_MAX:
        return f"text of {len(old)} lines -> text of {len(new)} lines"
    lines = list(difflib.unified_diff(old, new, "before", "after", lineterm="", n=2))
    return "\n".join(lines) or "(only line ends differ)"


def brief(value: Value, length_max: int = 200) -> str:
    """Return a value in one bounded line."""
    text = value if type(value) is str else repr(value)
    return text if len(text) <= length_max else f"{text[:length_max]}… ({len(text)} characters)"
