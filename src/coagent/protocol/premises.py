"""Premises: does what a call saw still hold, and who scanned the range that a key lies in?"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from coagent.protocol.calls import Call, Position
from coagent.protocol.keys import Key, Scan
from coagent.protocol.trajectory import add_at, remove_at
from coagent.protocol.values import Traced, Value, same, selected


def read_changed(call: Call, key: Key, value: Value) -> bool:
    """Tell whether a part of the object that the call read differs in `value` from what it saw."""
    return any(
        read_key == key and not same(selected(value, selector), seen)
        for (read_key, selector), seen in call.seen.reads.items()
    )


def scan_changed(call: Call, key: Key, value: Value, base: Value) -> bool:
    """Tell whether a scan of the call would see the object otherwise, now that it holds `value`.

    `base` is what lay below all writes of the object before.
    """
    return any(
        scan.covers(key) and not scan_holds(scan, seen, key, value, base)
        for scan, seen in call.seen.scans.items()
    )


def scan_holds(scan: Scan, seen: Value, key: Key, value: Value, base: Value) -> bool:
    """Tell whether `value` of `key` agrees with what `scan` saw of it; `base` is as in `scan_changed`."""
    if isinstance(scan.selector, Traced):
        before = seen[key] if key in seen else scan.selector.of(base)
        return same(before, scan.selector.of(value))
    if scan.selector is None:
        index = bisect_left(seen, key)
        return (index < len(seen) and seen[index] == key) == (value is not None)
    found = scan.selector.of(value) or None
    return same(seen.get(key), found)


class ScanIndex:
    """Scans by prefix, so that a write finds the scans that cover it without looking at the others.

    Invariant: under each prefix stand exactly the calls, in order of position, that have scanned it.
    """

    __slots__ = ("_by_prefix", "_lengths")

    def __init__(self) -> None:
        self._by_prefix: dict[str, tuple[list[Position], list[Call]]] = {}
        # A key has as many prefixes as characters, but scans come in few lengths.
        self._lengths: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._by_prefix)

    def add(self, scan: Scan, call: Call) -> None:
        """Note that the call scanned the prefix."""
        entry = self._by_prefix.get(scan.prefix)
        if entry is None:
            entry = self._by_prefix[scan.prefix] = ([], [])
            length = len(scan.prefix)
            self._lengths[length] = self._lengths.get(length, 0) + 1
        add_at(*entry, call)

    def remove(self, prefix: str, call: Call) -> None:
        """Forget that the call scanned the prefix."""
        entry = self._by_prefix.get(prefix)
        if entry is not None:
            remove_at(*entry, call)
            self._drop_if_empty(prefix)

    def readers(self, key: Key, after: Position, until: Position | None) -> Iterator[Call]:
        """Yield the calls that scanned a range with `key`, from after one position up to another."""
        for positions, calls in self._covering(key):
            if positions[-1] <= after:
                continue
            for index in range(bisect_left(positions, (after[0], after[1], after[2] + 1)), len(positions)):
                if until is not None and positions[index] > until:
                    break
                yield calls[index]

    def scanned_below(self, key: Key, order: int) -> int | None:
        """Return an order below `order` at which a call has scanned the object, if any has."""
        for positions, calls in self._covering(key):
            for index, position in enumerate(positions):
                if position[0] >= order:
                    break
                if any(scan.covers(key) for scan in calls[index].seen.scans):
                    return position[0]
        return None

    def reorder(self, prefix: str) -> None:
        """Bring the calls that have scanned a prefix into order again, after positions have changed."""
        entry = self._by_prefix.get(prefix)
        if entry is not None:
            entry[1].sort(key=lambda call: call.position)
            entry[0][:] = [call.position for call in entry[1]]

    def entries(self) -> dict[str, list[Call]]:
        """Return the calls that have scanned each prefix."""
        return {prefix: list(calls) for prefix, (_, calls) in self._by_prefix.items()}

    def _covering(self, key: Key) -> Iterator[tuple[list[Position], list[Call]]]:
        for length in self._lengths:
            entry = self._by_prefix.get(key[:length])
            if entry is not None:
                yield entry

    def _drop_if_empty(self, prefix: str) -> None:
        if not self._by_prefix[prefix][0]:
            del self._by_prefix[prefix]
            length = len(prefix)
            self._lengths[length] -= 1
            if not self._lengths[length]:
                del self._lengths[length]
