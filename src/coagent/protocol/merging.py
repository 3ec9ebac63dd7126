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


def distance(one: Value, other: Value) -> int:
    """Return roughly how many parts of two values differ: lines of texts, fields of data."""
    if same(one, other):
        return 0
    if type(one) is str and type(other) is str:
        return max(1, len(set(text_lines(one)) ^ set(text_lines(other))))
    if type(one) is dict and type(other) is dict:
        return sum(distance(one.get(name), other.get(name)) for name in {*one, *other})
    if type(one) is list and type(other) is list:
        pairs = zip(one, other, strict=False)
        return abs(len(one) - len(other)) + sum(distance(left, right) for left, right in pairs)
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


def merge_lines(saw: str, found: str, now: str) -> tuple[str, bool]:
    """Merge texts by lines, as diff3 does; what both sides changed differently is taken from `found`.

    Source: Khanna, Kunal & Pierce 2007, "A Formal Investigation of Diff3".
    """
    base, left, right = text_lines(saw), text_lines(found), text_lines(now)
    merged: list[str] = []
    clean = True
    at = [0, 0, 0]
    for base_at, left_at, right_at, length in [
        *_stable(base, left, right),
        (len(base), len(left), len(right), 0),
    ]:
        parts = base[at[0] : base_at], left[at[1] : left_at], right[at[2] : right_at]
        chosen, fits = _chosen(*parts)
        merged += chosen
        clean = clean and fits
        merged += base[base_at : base_at + length]
        at = [base_at + length, left_at + length, right_at + length]
    return "".join(merged), clean


def _chosen(base: list[str], left: list[str], right: list[str]) -> tuple[list[str], bool]:
    if base == left:
        return right, True
    if right in (base, left):
        return left, True
    return left, False


def _stable(base: list[str], left: list[str], right: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (base, left, right, length) of the runs of lines that neither side has changed."""
    lefts, rights = _matches(base, left), _matches(base, right)
    index = 0
    for base_at, left_at, length in lefts:
        while index < len(rights) and rights[index][0] + rights[index][2] <= base_at:
            index += 1
        for other_at, right_at, other_length in rights[index:]:
            if other_at >= base_at + length:
                break
            start = max(base_at, other_at)
            end = min(base_at + length, other_at + other_length)
            yield start, left_at + start - base_at, right_at + start - other_at, end - start


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
