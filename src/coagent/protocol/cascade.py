"""The calls that wait for their re-execution, lowest position first (rule 3)."""

from __future__ import annotations

from coagent.protocol.calls import Call, CallId, Rank
from coagent.protocol.keys import Key


class Cascade:
    """Dirty calls: a premise of theirs has moved, and they have not run again yet.

    Positions only grow along a cascade, so taking the lowest first runs each call once for each round.
    """

    __slots__ = ("_by_rank", "_calls")

    def __init__(self) -> None:
        self._calls: dict[CallId, Call] = {}
        self._by_rank: dict[Rank, int] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._calls

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        """Let a call wait; one that waits already goes on waiting."""
        if call.id not in self._calls:
            self._calls[call.id] = call
            self._by_rank[call.rank] = self._by_rank.get(call.rank, 0) + 1

    def pop(self, call_id: CallId) -> Call | None:
        """Take a call out, and return it if it was waiting."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            self._by_rank[call.rank] -= 1
            if not self._by_rank[call.rank]:
                del self._by_rank[call.rank]
        return call

    def in_order(self) -> list[Call]:
        """Return the waiting calls, lowest position first."""
        if len(self._calls) < 2:
            return list(self._calls.values())
        return sorted(self._calls.values(), key=lambda call: call.position)

    def concerns(self, rank: Rank) -> bool:
        """Tell whether a call of the agent is waiting."""
        return rank in self._by_rank

    def written(self) -> set[Key]:
        """Return the objects whose last word has not been spoken: what the waiting calls wrote."""
        return {key for call in self._calls.values() for key in call.writes}
