"""Who read and wrote which version of what, in order of arrival, and the dependencies that follow.

An edge says that one agent comes before another in any serial order that ends like this (Adya 1999):

    ww   it wrote the version that the other one wrote over
    wr   it wrote the version that the other one saw
    rw   it saw a version that the other one's write changed, in the part that it had looked at
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

from coagent.audit.actors import Agent, Call
from coagent.audit.objects import Things
from coagent.audit.parts import UNKNOWN, Selector, part_of, same
from coagent.audit.picture import Show

_EXISTS: Final[Selector] = ("exists",)
"""The part of a value that a scan without a selector looks at."""


class Version:
    """A value that a call gave an object; `standing` until it is taken back or replaced."""

    __slots__ = ("call", "standing", "value")

    def __init__(self, call: Call, value: Any) -> None:
        self.call = call
        self.value = value
        self.standing = True


class Read(NamedTuple):
    """That a call has looked at an object, itself or within a range."""

    call: Call
    key: str
    part: Selector | None
    seen: Any
    scanned: bool


class Edge(NamedTuple):
    """One agent comes before another one.

    Args:
        before: The one.
        after: The other.
        kind: "ww", "wr" or "rw".
        key: Because of which object.
        why: In words.
        calls: Of which calls.
        phantom: Whether the one looked at a range.
    """

    before: Agent
    after: Agent
    kind: str
    key: str
    why: str
    calls: tuple[str, str]
    phantom: bool = False


class History:
    """What agents did since nobody was at work."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self.committed: set[Agent] = set()
        self.wrong: list[tuple[Read, Version]] = []
        """Reads of what was taken back."""
        self.reads = 0
        self._versions: dict[str, list[Version]] = {}
        self._bases: dict[str, Any] = {}
        self._standing: dict[Call, dict[str, Version]] = {}
        self._edges: dict[tuple[Agent, Agent, str], Edge] = {}

    def ran(self, call: Call, things: Things) -> None:
        """Note what a run of a call saw and wrote."""
        mine = self._standing.setdefault(call, {})
        for key in [key for key in mine if key not in call.writes]:
            mine.pop(key).standing = False
        for key, value in call.writes.items():
            old = mine.get(key)
            if old is not None and same(old.value, value):
                continue
            if old is not None:
                old.standing = False
            if key not in self._versions:
                self._versions[key] = []
                thing = things.all.get(key)
                self._bases[key] = UNKNOWN if thing is None else thing.base
            mine[key] = Version(call, value)
            self._versions[key].append(mine[key])

    def withdrawn(self, call: Call) -> None:
        """Note that a call was taken back."""
        for version in self._standing.pop(call, {}).values():
            version.standing = False

    # ---- dependencies --------------------------------------------------------------------------------------

    def edges(self) -> list[Edge]:
        """Return the dependencies among the agents that have committed."""
        orders = {key: self._in_order(key) for key in self._versions}
        keys = sorted(orders)
        for key, versions in orders.items():
            for version, other in pairwise(versions):
                if self._is_new(version.call, other.call, "ww"):
                    why = f"{version.call.id} wrote {key}, {other.call.id} over it"
                    self._add(version.call, other.call, "ww", key, why)
        for call in self._standing:
            if call.agent in self.committed:
                for read in _reads_of(call, keys):
                    self.reads += 1
                    if read.key in orders:
                        self._follow(read, orders[read.key])
        return list(self._edges.values())

    def _in_order(self, key: str) -> list[Version]:
        found = [
            version
            for version in self._versions[key]
            if version.standing and version.call.agent in self.committed
        ]
        return sorted(found, key=lambda version: version.call.place)

    def _follow(self, read: Read, versions: list[Version]) -> None:
        """Add the dependencies that follow from a read."""
        base = self._bases[read.key]
        looks = [_look(version.value, read.part) for version in versions]
        at = bisect_left(versions, read.call.place, key=lambda version: version.call.place) - 1
        seen = read.seen
        if read.part is not None and read.part[0] == "traced" and seen is UNKNOWN:
            seen = looks[at] if at >= 0 else _look(base, read.part)  # as it was; what, the log does not say
        if at >= 0 and not same(looks[at], seen):
            at = next((index for index in range(at, -1, -1) if same(looks[index], seen)), -1)
        if at < 0 and base is not UNKNOWN and not same(_look(base, read.part), seen):
            self._note_wrong(read)
            return
        while at > 0 and same(looks[at - 1], seen):
            at -= 1  # whoever left the part as it was has nothing to do with it
        if at == 0 and base is not UNKNOWN and same(_look(base, read.part), seen):
            at = -1
        if at >= 0 and self._is_new(versions[at].call, read.call, "wr"):
            source = versions[at].call
            why = f"{source.id} wrote {read.key}, {read.call.id} saw it"
            self._add(source, read.call, "wr", read.key, why)
        later = next(
            (
                version
                for version, look in islice(zip(versions, looks, strict=True), at + 1, None)
                if not same(look, seen)
            ),
            None,
        )
        if later is not None and self._is_new(read.call, later.call, "rw"):
            did = self._did(later, read.key, read.seen)
            why = f"{read.call.id} saw {self._what(read, later.value)}, {later.call.id} {did}"
            self._add(read.call, later.call, "rw", read.key, why, read.scanned)

    def _is_new(self, one: Call, other: Call, kind: str) -> bool:
        return one.agent is not other.agent and (one.agent, other.agent, kind) not in self._edges

    def _note_wrong(self, read: Read) -> None:
        for version in reversed(self._versions[read.key]):
            if version.call.agent is not read.call.agent and same(_look(version.value, read.part), read.seen):
                self.wrong.append((read, version))
                return

    def _what(self, read: Read, beside: Any) -> str:
        if read.part == _EXISTS:
            return f"{read.key} there" if read.seen else f"no {read.key}"
        return f"{read.key} as {self._show(read.seen, read.key, _look(beside, read.part))}"

    def _did(self, version: Version, key: str, beside: Any) -> str:
        return "deleted it" if version.value is None else f"wrote {self._show(version.value, key, beside)}"

    def _add(self, one: Call, other: Call, kind: str, key: str, why: str, phantom: bool = False) -> None:
        edge = Edge(one.agent, other.agent, kind, key, why, (one.id, other.id), phantom)
        self._edges[one.agent, other.agent, kind] = edge


def _reads_of(call: Call, keys: list[str]) -> Iterator[Read]:
    """Yield what a call has looked at, of the objects that somebody has written."""
    for key, part, seen in call.seen.reads:
        yield Read(call, key, part, seen, False)
    for scan, seen in call.seen.scans:
        for index in range(bisect_left(keys, scan.prefix), len(keys)):
            key = keys[index]
            if not key.startswith(scan.prefix):
                break
            if not scan.covers(key):
                continue
            if scan.part is None:
                yield Read(call, key, _EXISTS, key in seen, True)
            elif scan.part[0] == "traced":
                yield Read(call, key, scan.part, seen.get(key, UNKNOWN), True)
            else:
                yield Read(call, key, scan.part, seen.get(key) or None, True)


def _look(value: Any, part: Selector | None) -> Any:
    """Return the part of a value; nothing of it is the same as no object to a scan."""
    if part == _EXISTS:
        return UNKNOWN if value is UNKNOWN else value is not None
    found = part_of(value, part)
    return (found or None) if part is not None and part[0] in ("where", "matches") else found
