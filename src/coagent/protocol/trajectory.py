"""T(o): the writes on one object in order of position, and the calls that read it.

The Thomas write rule needs no code of its own here: a write enters at its position, and the live value is
that of the last position, so a late write below a later one leaves the live value alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from coagent.protocol.calls import Call, Position, Rank
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


class Trajectory:
    """The writes and readers of one object above its base.

    Invariants:
        1. `positions` and `reader_positions` ascend, and run parallel to `writers` and `readers`.
        2. Every writer has the key in its writes, every reader in its reads.
        3. `base_known` holds wherever there is a writer.
        4. `accepted` is not empty once `base_known`; its last value is the live value.
    """

    __slots__ = (
        "accepted", "base", "base_known", "ever_written", "key", "positions",
        "reader_positions", "readers", "version", "writers",
    )  # fmt: skip

    def __init__(self, key: Key) -> None:
        self.key = key
        self.base: Value = None
        self.base_known = False
        self.positions: list[Position] = []
        self.writers: list[Call] = []
        self.reader_positions: list[Position] = []
        self.readers: list[Call] = []
        self.accepted: list[Value] = []
        self.version = 0
        self.ever_written = False

    def learn_base(self, value: Value) -> None:
        """Take `value`, which the target holds, for the state below all positions, unless it is known."""
        if not self.base_known:
            self.base = value
            self.base_known = True
            self.accepted = [value]

    def filtered(self, position: Position) -> Value:
        """Return the value that the writes before `position` leave."""
        positions = self.positions
        if not positions:
            return self.base
        if positions[-1] < position:
            return self.writers[-1].writes[self.key]
        index = bisect_left(positions, position)
        return self.writers[index - 1].writes[self.key] if index else self.base

    def live(self) -> Value:
        """Return the value that all writes leave."""
        return self.writers[-1].writes[self.key] if self.writers else self.base

    def next_write(self, position: Position) -> Position | None:
        """Return the position of the first write after `position`, if there is one."""
        index = bisect_right(self.positions, position)
        return self.positions[index] if index < len(self.positions) else None

    def add_writer(self, call: Call) -> None:
        """Enter a write at its position."""
        position = call.position
        self.ever_written = True
        if not self.positions or self.positions[-1] < position:
            self.positions.append(position)
            self.writers.append(call)
            return
        index = bisect_left(self.positions, position)
        self.positions.insert(index, position)
        self.writers.insert(index, call)

    def remove_writer(self, call: Call) -> None:
        """Take a write out again."""
        index = bisect_left(self.positions, call.position)
        assert self.writers[index] is call
        del self.positions[index]
        del self.writers[index]

    def add_reader(self, call: Call) -> None:
        """Note that the call read the object; a second time is no different."""
        add_at(self.reader_positions, self.readers, call)

    def remove_reader(self, call: Call) -> None:
        """Forget that the call read the object."""
        remove_at(self.reader_positions, self.readers, call)

    def readers_between(self, after: Position, until: Position | None) -> list[Call]:
        """Return the readers above one position, up to and including another; None: all above."""
        low = bisect_right(self.reader_positions, after)
        high = len(self.readers) if until is None else bisect_right(self.reader_positions, until)
        return self.readers[low:high]

    def fold(self, rank: Rank) -> None:
        """Make the writes up to and including `rank` part of the base and forget its readers."""
        bound = (rank + 1, -1)
        index = bisect_left(self.positions, bound)
        if index:
            self.base = self.writers[index - 1].writes[self.key]
            del self.positions[:index]
            del self.writers[:index]
        index = bisect_left(self.reader_positions, bound)
        del self.reader_positions[:index]
        del self.readers[:index]

    @property
    def idle(self) -> bool:
        """Whether no active call has touched the object."""
        return not self.writers and not self.readers


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
