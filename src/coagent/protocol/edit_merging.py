"""Merging before giving up: an edit whose text is gone as it has to be made again (rule 11).

What the call saw, what it made of it, and what is there now are merged by lines, and lines that both sides
changed by words. Insertions at one place both stand, in the order of rank. Only where both sides changed the
same words is it given up, and the call withdrawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from coagent.protocol.calls import Call, Observation
from coagent.protocol.keys import Key
from coagent.protocol.merging import Edit, applied, clashes, edits_of
from coagent.protocol.values import Value, same, text_lines

Merge: TypeAlias = Callable[[Key, Value, Value, Value], Value | None]
"""(key, saw, found, now) to the change from `saw` to `found`, made in `now`; None where they clash."""

_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")
_WORDS_ALONE: Final = re.compile(r"\w+")
_WORDS_MAX = 4000
"""Lines that differ in more words than this have not much in common: they clash."""


def merged_run(call: Call, failed: Observation, merge: Merge) -> Observation | None:
    """Return the run of a call that failed when it was made again, with its change merged; None: it clashes.

    Args:
        call: The call, as it was before it ran again.
        failed: What the run saw that failed.
        merge: Of its tool.
    """
    basis = _basis(call)
    if basis is None or call.lapsed:  # its agent has been told already that it failed
        return None
    writes: dict[Key, Value] = {}
    for key, found in basis.writes.items():
        saw, now = basis.reads.get((key, None)), failed.reads.get((key, None))
        if saw is None or found is None or now is None:
            return None
        if (merged := merge(key, saw, found, now)) is None:
            return None
        writes[key] = merged
    if not writes:
        return None
    return failed._replace(writes=writes, value=basis.value, error=None, merged=True)


def _basis(call: Call) -> Observation | None:
    """Return the last run that its tool made by itself, or else one that was merged."""
    runs = [run for run in (call.seen, call.told) if run.error is None and not run.declared]
    return next((run for run in runs if not run.merged), next(iter(runs), None))


def merge_texts(saw: str, found: str, now: str) -> str | None:
    """Merge what was changed from `saw` to `found` into `now`, by lines and then by words.

    Returns:
        The merged text; None where both sides changed the same words in different ways.
    """
    if same(saw, now):
        return found
    return _merge(text_lines(saw), text_lines(found), text_lines(now), _merge_words)


def _merge_words(saw: list[str], found: list[str], now: list[str]) -> str | None:
    """Merge lines that both sides changed: edits of words that do not even touch, or insertions."""
    base, theirs, ours = (_WORDS.findall("".join(lines)) for lines in (saw, found, now))
    if len(base) + len(theirs) + len(ours) > _WORDS_MAX:
        return None
    edits = [*edits_of(base, theirs, by_found=True), *edits_of(base, ours, by_found=False)]
    if any(_touch(*pair) for pair in _pairs(edits)):
        return None
    merged = _merge(base, theirs, ours, lambda saw, found, now: None)
    # Where one side took away the space between two words, the merge may have made one of them.
    known = {*base, *theirs, *ours}
    return None if merged is None or not known.issuperset(_WORDS_ALONE.findall(merged)) else merged


def _merge(
    base: list[str],
    found: list[str],
    now: list[str],
    settle: Callable[[list[str], list[str], list[str]], str | None],
) -> str | None:
    merged: list[str] = []
    at = 0
    for clash in clashes(base, found, now):
        start, end = clash[0].start, max(edit.end for edit in clash)
        theirs, ours = ([edit for edit in clash if edit.by_found is side] for side in (True, False))
        chosen = applied(base, theirs or ours, start, end)
        if theirs and ours and chosen != (other := applied(base, ours, start, end)):
            settled = settle(base[start:end], chosen, other)
            if settled is None:
                return None
            chosen = [settled]
        merged += base[at:start] + chosen
        at = end
    return "".join(merged + base[at:])


def _pairs(edits: list[Edit]) -> Iterator[tuple[Edit, Edit]]:
    """Yield each edit of one side with each of the other."""
    for one in edits:
        yield from ((one, other) for other in edits if one.by_found and not other.by_found)


def _touch(one: Edit, other: Edit) -> bool:
    """Return whether edits of both sides touch, and are neither the same nor both insertions."""
    apart = one.end < other.start or other.end < one.start
    insertions = one.start == one.end and other.start == other.end
    return not (apart or insertions or one[:2] + tuple(one.parts) == other[:2] + tuple(other.parts))
