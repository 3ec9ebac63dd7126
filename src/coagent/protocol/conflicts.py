"""Which calls touch the same: what has to be reversed, run first or waited for, so that one more can run."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from coagent.protocol.calls import Call, Footprint, Position
from coagent.protocol.decisions import Obstacles
from coagent.protocol.keys import Key, Scan


def conflict(one: Footprint, other: Footprint) -> bool:
    """Tell whether one of two calls writes what the other reads or writes."""
    return _meet(one.writes, other) or _meet(other.writes, one)


def independent(calls: Iterable[Call]) -> list[Call]:
    """Return those calls, in their order, that have nothing to do with any call before them."""
    found: list[Call] = []
    passed: list[Footprint] = []
    for call in calls:
        footprint = call.footprint
        if not any(conflict(footprint, other) for other in passed):
            found.append(call)
        passed.append(footprint)
    return found


def obstacles(
    position: Position,
    footprint: Footprint,
    declared: Iterable[Call],
    under_way: Collection[Call],
    dirty: Iterable[Call],
    own: Call | None,
) -> Obstacles:
    """Return what stands in the way of a declared call at `position`.

    A call that conflicts with one to be reversed has to be reversed too, if it stands above that one: it was
    built on its effect. That goes for the call itself as well, which may have run on something else before.

    Args:
        position: Where the call stands.
        footprint: What it touches.
        declared: The standing declared calls.
        under_way: The calls that run, or are reversed, just now.
        dirty: The calls that have to run again.
        own: The call itself, where it has run before.
    """
    reads, scans, writes = set(footprint.reads), set(footprint.scans), set(footprint.writes)
    if own is not None and own.applied:
        reads |= own.footprint.reads
        scans |= own.footprint.scans
        writes |= own.footprint.writes
    above = sorted((call for call in declared if call.applied and call.position > position), key=_by_position)
    reverse: list[Call] = []
    for call in above:
        found = call.footprint
        if conflict(Footprint(frozenset(reads), frozenset(scans), frozenset(writes)), found):
            reverse.append(call)
            reads |= found.reads
            scans |= found.scans
            writes |= found.writes
    reverse.reverse()
    if own is not None and own.applied:
        reverse.append(own)
    touched = Footprint(frozenset(reads), frozenset(scans), frozenset(writes))
    wait_for = {
        call
        for call in under_way
        if call is own or (call.under_way is not None and conflict(call.under_way, touched))
    }
    wait_for |= {
        call
        for call in dirty
        if call.declared
        and call.position < position
        and call is not own
        and conflict(call.footprint, footprint)
    }
    fixed = [call for call in reverse if call.irreversible]
    return Obstacles(tuple(sorted(wait_for, key=_by_position)), tuple(reverse), tuple(fixed))


def kept_with(calls: list[Call]) -> set[Call]:
    """Return those of an agent's calls that no abort takes back: what has happened, and what lies under it.

    Args:
        calls: The agent's calls in order of position.
    """
    kept: list[Call] = []
    for call in reversed(calls):
        if call.has_happened or (
            call.applied
            and any(conflict(call.footprint, other.footprint) for other in kept if other.declared)
        ):
            kept.append(call)
    return set(kept)


def _meet(writes: Collection[Key], other: Footprint) -> bool:
    if not writes:
        return False
    if not other.writes.isdisjoint(writes) or not other.reads.isdisjoint(writes):
        return True
    return any(_covers(other.scans, key) for key in writes)


def _covers(scans: Iterable[Scan], key: Key) -> bool:
    return any(scan.covers(key) for scan in scans)


def _by_position(call: Call) -> Position:
    return call.position
