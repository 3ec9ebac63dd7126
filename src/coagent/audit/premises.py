"""Does what a call saw follow from what is below it? Asked of each call of an agent that commits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple

from coagent.audit.actors import Call
from coagent.audit.findings import Tally
from coagent.audit.objects import Place, Thing, Things
from coagent.audit.parts import UNKNOWN, Scan, Selector, part_of, same


class Wrong(NamedTuple):
    """A call saw something else than what its place in the order shows.

    Args:
        call: The call.
        thing: The object.
        part: Which part of it was looked at.
        seen: What it saw.
        due: What it should have seen.
        scan: Within which scan; None: it read the object itself.
    """

    call: Call
    thing: Thing
    part: Selector | None
    seen: Any
    due: Any
    scan: Scan | None = None


def wrong_reads(things: Things, call: Call, tally: Tally) -> Iterator[Wrong]:
    """Yield what a call saw otherwise than it should have.

    Args:
        things: The state as its agent commits.
        call: The call, which has run.
        tally: Counts what was compared.
    """
    place = (call.agent.order, call.place, 0)
    for key, part, seen in call.seen.reads:
        thing = things.all.get(key)
        if thing is None:
            tally.unchecked += 1
            continue
        due = part_of(_due(thing, place, call), part)
        if due is UNKNOWN:
            tally.unchecked += 1
            continue
        tally.reads += 1
        if not same(due, seen):
            yield Wrong(call, thing, part, seen, due)
    for scan, seen in call.seen.scans:
        tally.reads += 1
        for thing in things.in_range(scan.prefix, call.number):
            if scan.covers(thing.key):
                found = _wrong_in_scan(thing, place, call, scan, seen)
                if found is not None:
                    yield found


def _due(thing: Thing, place: Place, call: Call) -> Any:
    """Return what the prefix of an object leaves at a place; `UNKNOWN` where the log does not say."""
    if thing.blurred:
        return UNKNOWN
    write = thing.below(place)
    if write is not None:
        return write.value
    return thing.base if thing.sure or thing.base_number > call.number else UNKNOWN


def _wrong_in_scan(thing: Thing, place: Place, call: Call, scan: Scan, seen: Any) -> Wrong | None:
    due = _due(thing, place, call)
    if due is UNKNOWN:
        return None
    key = thing.key
    if scan.part is None:
        there = key in seen if type(seen) is dict else _holds(seen, key)
        if there == (due is not None):
            return None
        return Wrong(call, thing, None, "there" if there else None, due, scan)
    part = part_of(due, scan.part)
    if scan.part[0] == "traced":
        before = seen[key] if key in seen else part_of(thing.base_at(call.number), scan.part)
    else:
        before, part = seen.get(key), part or None
    if part is UNKNOWN or before is UNKNOWN or same(before, part):
        return None
    return Wrong(call, thing, scan.part, before, part, scan)


def scan_agrees(scan: Scan, seen: Any, key: str, value: Any) -> bool:
    """Tell whether a scan saw of an object what it holds."""
    if scan.part is None:
        return _holds(seen, key) == (value is not None)
    part = part_of(value, scan.part)
    if scan.part[0] == "traced":
        return key not in seen or same(seen[key], part)
    return same(seen.get(key), part or None)


def _holds(keys: list[str], key: str) -> bool:
    index = bisect_left(keys, key)
    return index < len(keys) and keys[index] == key
