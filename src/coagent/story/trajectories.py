"""What each step of a story does to the trajectories of objects, as operations that build them up again.

Operations are `["base", key, v]` (v None: not known), `["set", key, order, sequence, sub, who, v]` and
`["del", key, order, sequence, sub]`, in the order in which they apply; `who` is a call, or "outside".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from coagent.protocol.calls import Call, Position, parsed_call_id
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import Value
from coagent.story.values import Values

OUTSIDE = "outside"
_UNSEEN = "(what its system holds here is not known)"


class _Known(NamedTuple):
    base: int | None
    writes: dict[Position, tuple[str, int]]


_NOTHING = _Known(None, {})


def uid_of(call: Call) -> str:
    """Return what names a call in a story for ever: `RANK:SEQUENCE`; ids may come again with names."""
    parsed = parsed_call_id(call.id)
    return f"{call.rank}:{0 if parsed is None else parsed[1]}"


class Trajectories:
    """Notices what changes in the trajectories of a kernel.

    Args:
        kernel: The protocol's state.
        values: Where the values are kept.
    """

    def __init__(self, kernel: Kernel, values: Values) -> None:
        self._kernel, self._values = kernel, values
        self._known: dict[Key, _Known] = {}

    def operations(self, keys: Iterable[Key], *, committed: bool = False) -> Iterator[list[Any]]:
        """Yield what has changed in some objects since they were looked at last.

        Args:
            keys: The objects.
            committed: Whether an agent has committed, so that writes which are gone are part of the base.
        """
        for key in dict.fromkeys(keys):
            before = self._known.get(key, _NOTHING)
            now = self._now(key, before, committed)
            if now != before:
                self._known[key] = now
                yield from _difference(key, before, now)

    def tracked(self) -> list[Key]:
        """Return the objects that agents at work have written."""
        return [key for key, entry in self._known.items() if entry.writes]

    def number_of(self, key: Key, value: Value, *, declared: bool = False) -> int:
        """Return the number of a value; nobody can see what a declared call leaves."""
        return self._values.number_of(key, _UNSEEN if declared and value is not None else value)

    def _now(self, key: Key, before: _Known, committed: bool) -> _Known:
        trajectory = self._kernel.trajectory(key)
        if trajectory is None:  # forgotten: nobody at work has touched it any more
            last = max(before.writes, default=None)
            base = before.writes[last][1] if committed and last is not None else before.base
            return _Known(base, {})
        base = before.base
        if trajectory.base_known and not (committed and not trajectory.writers and not before.writes):
            declared = any(isinstance(writer, Call) and writer.declared for writer in trajectory.writers)
            base = self.number_of(key, trajectory.base, declared=declared)
        return _Known(base, self._writes(key, trajectory))

    def _writes(self, key: Key, trajectory: Trajectory) -> dict[Position, tuple[str, int]]:
        found = {}
        for position, writer in zip(trajectory.positions, trajectory.writers, strict=True):
            call = writer if isinstance(writer, Call) else None
            who = OUTSIDE if call is None else uid_of(call)
            declared = call is not None and call.declared
            found[position] = who, self.number_of(key, writer.writes[key], declared=declared)
        return found


def _difference(key: Key, before: _Known, now: _Known) -> Iterator[list[Any]]:
    if now.base != before.base:
        yield ["base", key, now.base]
    for position in sorted(before.writes.keys() - now.writes.keys()):
        yield ["del", key, *position]
    for position, write in now.writes.items():
        if before.writes.get(position) != write:
            yield ["set", key, *position, *write]
