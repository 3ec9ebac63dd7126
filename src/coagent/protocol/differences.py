"""What changed between two values: for people and models as a diff, for machines as old and new leaves.

All of it is for reading, so it is bounded: beyond some lines, leaves and characters, more of the same only
costs. What is compared takes time linear in the values, but for the lines that a text's ends do not share, of
which there are only so many.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from coagent.protocol.values import Value, same

_DIFF_LINES_MAX = 2_000
"""How many lines are compared line by line, in time quadratic in their number at worst."""
_DIFF_LINE_LENGTH_MAX = 500
_LEAVES_MAX = 500
_LITERALS_MAX = 200
_WORDS_LENGTH_MAX = 2_000_000
_BRIEF_ITEMS_MAX = 1_000
_CONTEXT_LINES = 2
_HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")
_WORD = re.compile(r"[\w.:/@-]{3,}")


class Leaf(NamedTuple):
    """One scalar that changed: where (JSON Pointer; empty for the whole), from what, to what (None: gone)."""

    path: str
    before: Value
    after: Value


def difference(before: Value, after: Value) -> str:
    """Return a diff for reading: unified for texts, what came and went for lists of names, or leaves."""
    if type(before) is str and type(after) is str and ("\n" in before or "\n" in after):
        return _text_difference(before, after)
    if before is None or after is None:
        old = "(absent)" if before is None else brief(before)
        return f"{old} -> {'(absent)' if after is None else brief(after)}"
    if _is_set(before) and _is_set(after):
        shown = _members(before, after)
    else:
        shown = map(_line, leaves(before, after))
    lines = list(islice(shown, _LEAVES_MAX + 1))
    if len(lines) > _LEAVES_MAX:
        lines[_LEAVES_MAX:] = ["… and more"]
    return "\n".join(lines)


def _line(leaf: Leaf) -> str:
    path, old, new = leaf
    if type(old) is str and type(new) is str and "\n" in old and "\n" in new:
        return f"{path}:\n{_text_difference(old, new)}"  # cut to the same length, they could look the same
    where = f"{path}: " if path else ""
    return f"{where}{'(absent)' if old is None else brief(old)} -> {'(gone)' if new is None else brief(new)}"


def _is_set(value: Value) -> bool:
    """Tell whether a value is a list of names, each there once: what a scan has found, say."""
    if type(value) is not list or any(type(item) is not str for item in value):
        return False
    return len(set(value)) == len(value)


def _members(before: list[str], after: list[str]) -> Iterator[str]:
    """Yield what went and what came; places say nothing where one that comes moves all those behind it."""
    old, new = set(before), set(after)
    if old == new:
        yield f"{brief(before)} -> {brief(after)}"
    yield from (f"- {brief(name)}" for name in before if name not in new)
    yield from (f"+ {brief(name)}" for name in after if name not in old)


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
    kept = set(map(_comparable, after))
    for old in before:
        if _comparable(old) not in kept:
            yield Leaf(path, old, None)
    known = set(map(_comparable, before))
    for new in after:
        if _comparable(new) not in known:
            yield Leaf(path, None, new)


def _comparable(value: Value) -> Any:
    """Return something hashable that is equal for values that are the same."""
    kind = type(value)
    if kind is dict:
        return frozenset((name, _comparable(item)) for name, item in value.items())
    if kind is list:
        return tuple(map(_comparable, value))
    return (kind, "nan" if kind is float and value != value else value)


def replaced_literals(before: Value, after: Value) -> list[tuple[str, str | None]]:
    """Return the literals that stood in `before` and are gone from `after`, with what took their place.

    They are what a later write may still carry although its premise has moved.
    """
    if type(before) is str and type(after) is str:
        return _replaced_words(before, after)
    found: list[tuple[str, str | None]] = []
    if _is_set(before) and _is_set(after):  # what came need not be there for what went
        come = set(after)
        found.extend((name, None) for name in before if name and name not in come)
        return found[:_LITERALS_MAX]
    for _, old, new in islice(leaves(before, after), _LEAVES_MAX):
        if type(old) is str and type(new) is str and "\n" in old:
            found.extend(_replaced_words(old, new))
        elif type(old) in (str, int, float) and old != "":
            found.append((str(old), None if new is None or type(new) in (dict, list) else str(new)))
    return list(dict.fromkeys(found))[:_LITERALS_MAX]


def _replaced_words(before: str, after: str) -> list[tuple[str, str | None]]:
    if "\n" not in before and "\n" not in after:
        return [(before, after)] if before else []
    if len(before) + len(after) > _WORDS_LENGTH_MAX:
        return []
    old, new = dict.fromkeys(_WORD.findall(before)), dict.fromkeys(_WORD.findall(after))
    gone = [word for word in old if word not in new]
    come = [word for word in new if word not in old]
    return [(word, come[0] if len(come) == 1 and len(gone) == 1 else None) for word in gone[:20]]


def _text_difference(before: str, after: str) -> str:
    old, new = before.splitlines(), after.splitlines()
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    above = max(0, head - _CONTEXT_LINES)
    below = max(0, tail - _CONTEXT_LINES)
    part_old, part_new = old[above : len(old) - below], new[above : len(new) - below]
    if len(part_old) + len(part_new) > _DIFF_LINES_MAX:
        return (
            f"text of {len(old)} lines -> text of {len(new)} lines; they differ from line {head + 1} on, "
            f"and the last {tail} are the same"
        )
    lines = difflib.unified_diff(part_old, part_new, "before", "after", lineterm="", n=_CONTEXT_LINES)
    return "\n".join(_placed(line, above) for line in lines) or "(only line ends differ)"


def _shared(left: list[str], right: list[str]) -> int:
    """Return how many lines two texts have in common from their beginning on."""
    at, step = 0, 4096
    while step:
        while at < min(len(left), len(right)) and left[at : at + step] == right[at : at + step]:
            at += step
        step //= 8
    return min(at, len(left), len(right))


def _placed(line: str, above: int) -> str:
    """Return a line of a diff, cut to size, with the lines counted that are above all that was compared."""
    hunk = _HUNK.match(line)
    if hunk is None:
        return brief(line, _DIFF_LINE_LENGTH_MAX)
    return f"@@ -{int(hunk[1]) + above}{hunk[2] or ''} +{int(hunk[3]) + above}{hunk[4] or ''} @@"


def brief(value: Value, length_max: int = 200) -> str:
    """Return a value in one bounded line."""
    if type(value) in (dict, list) and _items(value, _BRIEF_ITEMS_MAX) >= _BRIEF_ITEMS_MAX:
        return f"({'an object' if type(value) is dict else 'a list'} of {len(value)} items)"
    text = value if type(value) is str else repr(value)
    return text if len(text) <= length_max else f"{text[:length_max]}… ({len(text)} characters)"


def _items(value: Value, count_max: int) -> int:
    """Return how many values there are in a value, up to a number."""
    count = 1
    parts = value.values() if type(value) is dict else value if type(value) is list else ()
    for part in parts:
        if count >= count_max:
            break
        count += _items(part, count_max - count)
    return count
