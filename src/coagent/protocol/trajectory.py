"""T(o): the writes on one object in order of position, and the calls that read it.

The Thomas write rule needs no code of its own here: a write enters at its position, and the live value is
that of the last position, so a late write below a later one leaves the live value alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import TypeAlias

from coagent.protocol.calls import BOTTOM, Call, Position
from coagent.protocol.keys import Key
from coagent.protocol.merging import distance, merge
from coagent.protocol.values import Value


class OutsideEdit:
    """What somebody outside has changed in an object that agents at work have written (rule 9).

    It stands in the trajectory as a read-modify-write right above the write that the outsider saw, and is
    applied again whenever what is below it changes.

    Args:
        position: Where it counts.
        saw: What the outsider changed: the value that CoAgent had last put.
        found: What they left.
    """

    __slots__ = ("clean", "found", "position", "saw", "writes")

    def __init__(self, key: Key, position: Position, saw: Value, found: Value) -> None:
        self.position = position
        self.saw = saw
        self.found = found
        self.writes: dict[Key, Value] = {key: found}
        self.clean = True

    def apply(self, key: Key, prefix: Value) -> Value:
        """Change what is below now as the outsider changed what they saw; returns the result."""
        merged = merge(self.saw, self.found, prefix)
        self.writes = {key: merged.value}
        self.clean = merged.clean
        return merged.value

    def fits(self, prefix: Value) -> bool:
        """Tell whether the change could be made to a value without anything of it giving way."""
        return merge(self.saw, self.found, prefix).clean


Writer: TypeAlias = Call | OutsideEdit


class Trajectory:
    """The writes and readers of one object above its base.

    Invariants:
        1. `positions` and `reader_positions` ascend, and run parallel to `writers` and `readers`.
        2. Every writer has the key in its writes, every reader in its reads.
        3. `base_known` holds wherever there is a writer.
        4. `accepted` and `accepted_at` run parallel and are not empty once `base_known`; their last value is
           the live value.
        5. An outside edit stands above a write, never directly above the base.
    """

    __slots__ = (
        "accepted", "accepted_at", "base", "base_known", "ever_written", "key", "positions",
        "reader_positions", "readers", "version", "writers",
    )  # fmt: skip

    def __init__(self, key: Key) -> None:
        self.key = key
        self.base: Value = None
        self.base_known = False
        self.positions: list[Position] = []
        self.writers: list[Writer] = []
        self.reader_positions: list[Position] = []
        self.readers: list[Call] = []
        self.accepted: list[Value] = []
        """Every value that the target may hold now."""
        self.accepted_at: list[Position] = []
        """Where each of them was written; `BOTTOM` for the base."""
        self.version = 0
        """Names the live value among all that there have been."""
        self.ever_written = False

    def learn_base(self, value: Value) -> None:
        """Take `value`, which the target holds, for the state below all positions."""
        assert not self.base_known, f"the base of {self.key!r} is known already"
        self.base = value
        self.base_known = True
        self.accepted, self.accepted_at = [value], [BOTTOM]

    def filtered(self, position: Position) -> Value:
        """Return the value that the writes before `position` leave."""
        positions = self.positions
        if not positions:
            return self.base
        if positions[-1] < position:
            return self.writers[-1].writes[self.key]
        index = bisect_left(positions, position)
        return self.writers[index - 1].writes[self.key] if index else self.base

    def writer_before(self, position: Position) -> Position | None:
        """Return where the value was written that the writes before `position` leave; None: below all."""
        index = bisect_left(self.positions, position)
        return self.positions[index - 1] if index else None

    def live(self) -> Value:
        """Return the value that all writes leave."""
        return self.writers[-1].writes[self.key] if self.writers else self.base

    @property
    def live_position(self) -> Position:
        """Where the live value was written."""
        return self.positions[-1] if self.positions else BOTTOM

    def next_writer(self, position: Position) -> Writer | None:
        """Return the first write after `position`, if there is one."""
        index = bisect_right(self.positions, position)
        return self.writers[index] if index < len(self.positions) else None

    def seen_by(self, found: Value) -> tuple[Value, Position]:
        """Return of which value that the target may have held somebody has made `found`, and its place.

        After a crash it is not known whether the latest value had arrived; it is the one that differs least.
        """
        if len(self.accepted) == 1:
            return self.accepted[0], self.accepted_at[0]
        distances = [distance(value, found) for value in self.accepted]
        chosen = distances.index(min(distances))
        return self.accepted[chosen], self.accepted_at[chosen]

    def add_writer(self, writer: Writer) -> None:
        """Enter a write at its position."""
        position = writer.position
        self.ever_written = True
        if not self.positions or self.positions[-1] < position:
            self.positions.append(position)
            self.writers.append(writer)
            return
        index = bisect_left(self.positions, position)
        assert self.positions[index] != position, f"two writes of {self.key!r} at {position}"
        self.positions.insert(index, position)
        self.writers.insert(index, writer)

    def remove_writer(self, writer: Writer) -> None:
        """Take a write out again."""
        index = bisect_left(self.positions, writer.position)
        assert self.writers[index] is writer, f"{writer} has not written {self.key!r}"
        del self.positions[index]
        del self.writers[index]

    def add_reader(self, call: Call) -> None:
        """Note that the call read the object; a second time is no different."""
        positions, position = self.reader_positions, call.position
        if not positions or positions[-1] < position:
            positions.append(position)
            self.readers.append(call)
        else:
            add_at(positions, self.readers, call)

    def remove_reader(self, call: Call) -> None:
        """Forget that the call read the object."""
        remove_at(self.reader_positions, self.readers, call)

    def readers_between(self, after: Position, until: Position | None) -> list[Call]:
        """Return the readers above one position, up to and including another; None: all above."""
        low = bisect_right(self.reader_positions, after)
        high = len(self.readers) if until is None else bisect_right(self.reader_positions, until)
        return self.readers[low:high]

    def touched_below(self, order: int) -> int | None:
        """Return the lowest order below `order` at which the object was read or written, if it was."""
        lowest = min(
            self.positions[0][0] if self.positions else order,
            self.reader_positions[0][0] if self.reader_positions else order,
        )
        return lowest if lowest < order else None

    def written_below(self, order: int) -> int | None:
        """Return the lowest order below `order` at which the object was written, if it was."""
        return self.positions[0][0] if self.positions and self.positions[0][0] < order else None

    def fold(self, order: int) -> None:
        """Make the writes up to and including those of an order part of the base, and forget its readers."""
        bound = Position((order + 1, -1, 0))
        index = bisect_left(self.positions, bound)
        if index:
            self.base = self.writers[index - 1].writes[self.key]
            del self.positions[:index]
            del self.writers[:index]
            self.accepted_at = [at if at >= bound else BOTTOM for at in self.accepted_at]
        index = bisect_left(self.reader_positions, bound)
        del self.reader_positions[:index]
        del self.readers[:index]

    def move(self, before: int, order: int) -> None:
        """Follow an agent whose calls have moved to another order, with the edits right above them."""
        self.follow(lambda one: order if one == before else one)

    def follow(self, moved: Callable[[int], int]) -> None:
        """Follow agents whose calls have moved to other orders, with the edits right above them."""
        for writer in self.writers:
            if type(writer) is OutsideEdit:
                writer.position = Position((moved(writer.position[0]), *writer.position[1:]))
        self.accepted_at = [Position((moved(at[0]), *at[1:])) for at in self.accepted_at]
        self.writers.sort(key=_position)
        self.readers.sort(key=_position)
        self.positions = [writer.position for writer in self.writers]
        self.reader_positions = [reader.position for reader in self.readers]


def _position(call: Writer) -> Position:
    return call.position


def add_at(positions: list[Position], calls: list[Call], call: Call) -> None:
    """Insert a call into two parallel lists kept in order of position, once."""
    position = call.position
    if not positions or positions[-1] < position:
        positions.append(position)
        calls.append(call)
        return
    index = bisect_left(positions, position)
    if positions[index] != position:
        positions.insert(index, position)
        calls.insert(index, call)


def remove_at(positions: list[Position], calls: list[Call], call: Call) -> None:
    """Remove a call from two parallel lists kept in order of position, if it is there."""
    index = bisect_left(positions, call.position)
    if index < len(positions) and calls[index] is call:
        del positions[index]
        del calls[index]
