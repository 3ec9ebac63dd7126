"""Three-way merges: what somebody changed in one version of a value, applied to another one (rule 9).

    merge(saw, found, now)

`saw` is the version that the outsider had before them, `found` what they made of it, `now` what is in the
place of `saw` by now. Texts are merged by lines, data by fields (lists of named things by name). Where both
sides changed the same part in different ways, the outsider's part stands, and the merge is not clean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from coagent.protocol.values import Value, same, text_lines

# SequenceMatcher may take quadratic time, so what lies between the common head and tail is compared line by
# line only up to this size. Above it, the middle counts as one part.
_COMPARED_LINES_MAX = 4000
_ABSENT: Final = object()


class Merged(NamedTuple):
    """A merged value; `clean` says whether everything fitted together."""

    value: Value
    clean: bool


def merge(saw: Value, found: Value, now: Value) -> Merged:
    """Apply the change from `saw` to `found` to `now`.

    Args:
        saw: What the outsider changed; None: there was nothing.
        found: What they left; None: they deleted it.
        now: What is there in the place of `saw`.
    """
    merged, clean = _merged(saw, found, now)
    return Merged(None if merged is _ABSENT else merged, clean)


def distance(saw: Value, found: Value) -> int:
    """Return roughly how many parts somebody has changed who made one value of another: lines, or fields.

    What was made of nothing has as many parts as it has; what is gone, whatever it was, is one.
    """
    if same(saw, found):
        return 0
    if type(found) is str and (saw is None or type(saw) is str):
        return max(1, len(set(text_lines(saw or "")) ^ set(text_lines(found))))
    if type(found) is dict and (saw is None or type(saw) is dict):
        before = saw or {}
        return max(1, sum(distance(before.get(name), found.get(name)) for name in {*before, *found}))
    if type(saw) is list and type(found) is list:
        pairs = zip(saw, found, strict=False)
        return abs(len(saw) - len(found)) + sum(distance(left, right) for left, right in pairs)
    return 1


def _merged(saw: Value, found: Value, now: Value) -> tuple[Value, bool]:
    if same(saw, now) or same(found, now):
        return found, True
    if same(saw, found):
        return now, True
    if type(found) is dict and type(now) is dict:
        return _merged_fields(saw if type(saw) is dict else {}, found, now)
    if type(found) is list and type(now) is list and type(saw) is list:
        named = [_by_name(value) for value in (saw, found, now)]
        if all(value is not None for value in named):
            fields, clean = _merged_fields(*(value or {} for value in named))
            return list(fields.values()), clean
    if type(saw) is str and type(found) is str and type(now) is str:
        return merge_lines(saw, found, now)
    return found, False


def _merged_fields(
    saw: dict[str, Value], found: dict[str, Value], now: dict[str, Value]
) -> tuple[dict[str, Value], bool]:
    merged: dict[str, Value] = {}
    all_clean = True
    for name in [*now, *(name for name in found if name not in now)]:
        sides = (side.get(name, _ABSENT) for side in (saw, found, now))
        value, clean = _merged(*sides)
        all_clean = all_clean and clean
        if value is not _ABSENT:
            merged[name] = value
    return merged, all_clean


def _by_name(items: list[Value]) -> dict[str, Value] | None:
    """Return a list of named things (the containers of a pod) by name; None where it is no such list."""
    named = {item["name"]: item for item in items if type(item) is dict and type(item.get("name")) is str}
    return named if len(named) == len(items) else None


class Edit(NamedTuple):
    """Parts `start` to `end` of the base, replaced by others; an insertion where both are equal.

    Args:
        start: The first part, from 0.
        end: The one after the last.
        by_found: Whose it is: `found`'s, or `now`'s.
        parts: What takes their place.
    """

    start: int
    end: int
    by_found: bool
    parts: list[str]


def merge_lines(saw: str, found: str, now: str) -> tuple[str, bool]:
    """Merge texts by lines; what both sides changed differently is taken from `found`.

    Edits that touch without overlapping both stand, and so do two insertions in one place, in the order of
    the positions: what `now` has comes first.

    Source: Khanna, Kunal & Pierce 2007, "A Formal Investigation of Diff3", for the parts.
    """
    base = text_lines(saw)
    merged: list[str] = []
    clean, at = True, 0
    for overlapping in clashes(base, text_lines(found), text_lines(now)):
        start, end = overlapping[0].start, max(edit.end for edit in overlapping)
        theirs, ours = ([edit for edit in overlapping if edit.by_found is side] for side in (True, False))
        chosen = applied(base, theirs or ours, start, end)
        clean = clean and not (theirs and ours and chosen != applied(base, ours, start, end))
        merged += base[at:start] + chosen
        at = end
    return "".join(merged + base[at:]), clean


def clashes(base: list[str], found: list[str], now: list[str]) -> Iterator[list[Edit]]:
    """Yield the edits of both sides in groups that have nothing to do with one another, in order."""
    edits = sorted([*edits_of(base, found, by_found=True), *edits_of(base, now, by_found=False)])
    group: list[Edit] = []
    for edit in edits:
        if group and edit.start >= max(before.end for before in group) and not _twice(group[-1], edit):
            yield group
            group = []
        group.append(edit)
    if group:
        yield group


def _twice(one: Edit, other: Edit) -> bool:
    """Return whether both sides made one and the same edit."""
    return one[:2] == other[:2] and one.parts == other.parts


def applied(base: list[str], edits: list[Edit], start: int, end: int) -> list[str]:
    """Return the parts `start` to `end` of the base with one side's edits made."""
    made: list[str] = []
    for edit in edits:
        made += base[start : edit.start] + edit.parts
        start = edit.end
    return made + base[start:end]


def edits_of(base: list[str], side: list[str], *, by_found: bool) -> Iterator[Edit]:
    """Yield the edits that make one side of the base."""
    at = there = 0
    for base_at, side_at, length in [*_matches(base, side), (len(base), len(side), 0)]:
        if base_at > at or side_at > there:
            yield Edit(at, base_at, by_found, side[there:side_at])
        at, there = base_at + length, side_at + length


def _matches(base: Sequence[str], side: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return (base, side, length) of the runs of lines that both have, in order."""
    shorter = min(len(base), len(side))
    head = next((at for at in range(shorter) if base[at] != side[at]), shorter)
    tail = next((at for at in range(shorter - head) if base[-1 - at] != side[-1 - at]), shorter - head)
    runs = [(0, 0, head)] if head else []
    middle, other = base[head : len(base) - tail], side[head : len(side) - tail]
    if middle and other and len(middle) + len(other) <= _COMPARED_LINES_MAX:
        matcher = SequenceMatcher(None, middle, other, autojunk=False)
        runs += [(head + at, head + there, size) for at, there, size in matcher.get_matching_blocks() if size]
    if tail:
        runs.append((len(base) - tail, len(side) - tail, tail))
    return runs
