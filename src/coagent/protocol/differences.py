"""What changed between two values: for people and models as a diff, for machines as leaves.

All of it is for reading, so it is bounded: beyond some lines, leaves and characters, more of the same only
costs. What is compared takes time linear in the values, or n log n in the lines of a long text, but for the
lines between those that both texts have once, of which there are only so many.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeGuard

from coagent.protocol.values import Value, same

_DIFF_LINES_MAX = 2_000
"""How many lines are compared line by line, in time quadratic in their number at worst."""
_DIFF_LINE_LENGTH_MAX = 500
_LEAVES_MAX = 500
_BRIEF_ITEMS_MAX = 1_000
_CONTEXT_LINES = 2
_REGIONS_MAX = 200
_NUMBERED = re.compile(r"(.*?):\d+: ")
_HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")


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
    hits = found_lines(before), found_lines(after)
    if hits[0] is not None and hits[1] is not None:
        before, after = hits
    by_name = is_set(before) and is_set(after)
    shown = _members(before, after) if by_name else map(_line, leaves(before, after))
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


def is_set(value: Value) -> TypeGuard[list[str]]:
    """Tell whether a value is a list of names, each there once: what a scan has found, say."""
    if type(value) is not list or any(type(item) is not str for item in value):
        return False
    return len(set(value)) == len(value)


def _members(before: list[str], after: list[str]) -> Iterator[str]:
    """Yield what went and what came; places say nothing where one that comes moves all those behind it."""
    old, new = set(before), set(after)
    if old == new:
        yield f"{brief(before)} -> {brief(after)}"
    went, came = [name for name in before if name not in new], [name for name in after if name not in old]
    moved = Counter(map(without_number, went)) & Counter(map(without_number, came))
    for sign, names in (("-", went), ("+", came)):
        left = moved.copy()
        for name in names:
            text = without_number(name)
            if left[text] and text != name:
                left[text] -= 1
            else:
                yield f"{sign} {brief(name)}"
    if moved:
        yield f"(of {moved.total()} lines only the line numbers moved)"


def found_lines(value: Value) -> list[str] | None:
    """Return what a search has found as lines with their places; None where it is nothing of the kind."""
    if is_set(value):
        return value if value and all(map(_NUMBERED.match, value)) else None
    if type(value) is not dict or not value:
        return None
    found = []
    for key, lines in value.items():
        if type(lines) is not list or not all(map(_is_found_line, lines)):
            return None
        found += [f"{key}:{number}: {text}" for number, text in lines]
    return found


def _is_found_line(value: Value) -> bool:
    return type(value) is list and [type(part) for part in value] == [int, str]


def without_number(line: str) -> str:
    """Return a line that was found without its number; any other name as it is."""
    numbered = _NUMBERED.match(line)
    return line if numbered is None else f"{numbered[1]}: {line[numbered.end() :]}"


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
    if len(before) == len(after) and not _has_shifted(before, after):
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


def _has_shifted(before: list[Value], after: list[Value]) -> bool:
    """Tell whether most of a list has only moved to other places: rows behind one that has gone, say."""
    moved = sum(not same(old, new) for old, new in zip(before, after, strict=True))
    if moved < 2:
        return False
    known, kept = set(map(_comparable, before)), set(map(_comparable, after))
    return 0 < len(known - kept) + len(kept - known) <= moved


def _comparable(value: Value) -> Any:
    """Return something hashable that is equal for values that are the same."""
    kind = type(value)
    if kind is dict:
        return frozenset((name, _comparable(item)) for name, item in value.items())
    if kind is list:
        return tuple(map(_comparable, value))
    return (kind, "nan" if kind is float and value != value else value)


def _text_difference(before: str, after: str) -> str:
    old, new = before.splitlines(), after.splitlines()
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    changed = [Region(head, len(old) - tail, head, len(new) - tail)]
    if changed[0].lines() > _DIFF_LINES_MAX:
        changed = list(islice(_regions(old, new, changed[0]), _REGIONS_MAX))
    if any(region.lines() > _DIFF_LINES_MAX for region in changed):
        return (
            f"text of {len(old)} lines -> text of {len(new)} lines; they differ from line {head + 1} on, "
            f"and the last {tail} are the same"
        )
    shown: list[str] = []
    for region in changed:
        above, below = max(0, region.old - _CONTEXT_LINES), region.old_end + _CONTEXT_LINES
        start = max(0, region.new - _CONTEXT_LINES)
        part_old, part_new = old[above:below], new[start : region.new_end + _CONTEXT_LINES]
        lines = difflib.unified_diff(part_old, part_new, "before", "after", lineterm="", n=_CONTEXT_LINES)
        shown += [_placed(line, above, start) for line in islice(lines, 2 if shown else 0, None)]
    return "\n".join(shown) or "(only line ends differ)"


class Region(NamedTuple):
    """Lines of one text, and those of another one that stand in their place; the ends are exclusive."""

    old: int
    old_end: int
    new: int
    new_end: int

    def lines(self) -> int:
        """Return how many lines there are to compare."""
        return self.old_end - self.old + self.new_end - self.new


def _regions(old: list[str], new: list[str], within: Region) -> Iterator[Region]:
    """Yield the parts that differ, between lines that each text has once, in time n log n.

    Source: patience diff (Bram Cohen). What is left between such lines is compared by `difflib`.
    """
    count_old, count_new = (
        Counter(old[within.old : within.old_end]),
        Counter(new[within.new : within.new_end]),
    )
    place = {new[at]: at for at in range(within.new, within.new_end)}
    pairs = [
        (at, place[old[at]])
        for at in range(within.old, within.old_end)
        if count_old[old[at]] == 1 == count_new[old[at]]
    ]
    a, c = within.old, within.new
    last: Region | None = None
    for b, d in [*_rising(pairs), (within.old_end, within.new_end)]:
        if old[a:b] != new[c:d]:
            if last is not None and a - last.old_end <= 2 * _CONTEXT_LINES:
                last = Region(last.old, b, last.new, d)
            else:
                if last is not None:
                    yield last
                last = Region(a, b, c, d)
        a, c = b + 1, d + 1
    if last is not None:
        yield last


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a longest part of pairs, rising in the first number, that rises in the second as well."""
    tops: list[int] = []
    at_top: list[int] = []
    before: list[int] = []
    for index, (_, second) in enumerate(pairs):
        length = bisect_left(tops, second)
        before.append(at_top[length - 1] if length else -1)
        tops[length : length + 1] = [second]
        at_top[length : length + 1] = [index]
    found = []
    index = at_top[-1] if at_top else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]


def _shared(left: list[str], right: list[str]) -> int:
    """Return how many lines two texts have in common from their beginning on."""
    at, step = 0, 4096
    while step:
        while at < min(len(left), len(right)) and left[at : at + step] == right[at : at + step]:
            at += step
        step //= 8
    return min(at, len(left), len(right))


def _placed(line: str, above: int, start: int) -> str:
    """Return a line of a diff, cut to size, with the lines counted that are above all that was compared."""
    hunk = _HUNK.match(line)
    if hunk is None:
        return brief(line, _DIFF_LINE_LENGTH_MAX)
    return f"@@ -{int(hunk[1]) + above}{hunk[2] or ''} +{int(hunk[3]) + start}{hunk[4] or ''} @@"


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
