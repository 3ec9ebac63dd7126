"""Which declared calls stand in the way of a call below them, and so have to be reversed first."""

from __future__ import annotations

from collections.abc import Iterable

from coagent.protocol.calls import Call, Position
from coagent.protocol.keys import Key, Scan


def conflicting(
    applied: Iterable[Call],
    position: Position,
    reads: frozenset[Key],
    scans: frozenset[Scan],
    writes: frozenset[Key],
) -> list[Call]:
    """Return the applied calls above `position` that conflict with a footprint, the highest first.

    Two calls conflict where one writes what the other reads or writes. A call that conflicts with one to be
    reversed has to be reversed too, if it stands above that one: it was built on its effect.

    Args:
        applied: The declared calls whose effects are in their targets.
        position: Where the call with the footprint stands.
        reads: The keys that it reads, those that it writes among them.
        scans: The ranges that it reads.
        writes: The keys that it writes.
    """
    all_reads, all_scans, all_writes = set(reads), set(scans), set(writes)
    found: list[Call] = []
    for call in sorted(applied, key=lambda one: one.position):
        if call.position <= position:
            continue
        call_reads = {key for key, _ in call.reads}
        if (
            _meet(call.writes, all_reads, all_scans)
            or _meet(all_writes, call_reads, call.scans)
        ):  # fmt: skip
            found.append(call)
            all_reads |= call_reads
            all_scans |= set(call.scans)
            all_writes |= set(call.writes)
    found.reverse()
    return found


def _meet(writes: Iterable[Key], reads: Iterable[Key], scans: Iterable[Scan]) -> bool:
    read = set(reads)
    return any(key in read or any(scan.covers(key) for scan in scans) for key in writes)
