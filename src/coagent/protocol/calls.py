"""Calls: where they stand in the serialization order, what they saw and what they wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, NewType, TypeAlias

from coagent.protocol.keys import Key, Scan
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import Selector, Value, same

Rank = NewType("Rank", int)
"""An agent's place in the serialization order, given at join; it names the agent for ever."""

CallId = NewType("CallId", str)
"""The name of a call, `AGENT.SEQUENCE`; its form is known here alone (`call_id`, `parsed_call_id`)."""

Position = NewType("Position", tuple[int, int, int])
"""Where a call counts: (order of its agent, sequence within the agent, 0), whatever the order of arrival.

An agent's order is its rank until it is promoted (rule 10). The third number is above 0 for what somebody
outside has written right above a call (rule 9).
"""

BOTTOM: Final = Position((-(2**62), 0, 0))
"""Below every call."""
TOP: Final = Position((2**62, 0, 0))
"""Above every call."""

Reads: TypeAlias = Mapping[tuple[Key, Selector | None], Value]
Scans: TypeAlias = Mapping[Scan, Value]
Writes: TypeAlias = Mapping[Key, Value]


def position_of(order: int, sequence: int) -> Position:
    """Return the position of an agent's call."""
    return (order, sequence, 0)  # type: ignore[return-value]  # `Position` would cost a call for each call


def call_id(agent: str, sequence: int) -> CallId:
    """Return the id of an agent's call; sequences count from 1."""
    return f"{agent}.{sequence}"  # type: ignore[return-value]  # as above


def parsed_call_id(text: str) -> tuple[str, int] | None:
    """Return agent and sequence of what may be the id of a call; None where it is none."""
    agent, _, sequence = text.rpartition(".")
    if not agent or not (sequence.isascii() and sequence.isdigit()) or int(sequence) < 1:
        return None
    return agent, int(sequence)


class Observation(NamedTuple):
    """What one run of a tool did at its position: its footprint with the values, and how it ended.

    Args:
        reads: (key, part) to the filtered value seen; with the scans, the call's read set.
        scans: Scan to what it saw: the sorted keys, or key to selected part.
        writes: Key to the new whole value, None for a deletion; the write set. Empty where it failed.
        bases: Before-images of written keys that the kernel did not track yet. Of a run that only read: what
            has been there since, of objects that were changed before it was recorded.
        value: What the tool returned.
        error: Why it failed, for the agent; None where it did not.
        declared: Whether a declared tool ran: its values are tokens that stand for states nobody can see.
        prepared: What the reverse of a declared tool needs; of a native one, what its first run has drawn
            from the clock or from chance, for all later ones.
        merged: Whether the tool could not be run again, and what it had changed was merged instead (rule 11).
    """

    reads: Reads
    scans: Scans
    writes: Writes
    bases: Writes
    value: Value
    error: str | None = None
    declared: bool = False
    prepared: Value = None
    merged: bool = False

    @classmethod
    def failed(cls, error: str, reads: Reads | None = None, scans: Scans | None = None) -> Observation:
        """Return the observation of a run that failed, having seen what it saw."""
        return cls(reads or {}, scans or {}, {}, {}, None, error)


NOTHING: Final = Observation({}, {}, {}, {}, None)
LOST: Final = NOTHING._replace(declared=True)
"""What an agent knows of a call whose process has died: nothing, and it may have gone on without it."""


class Footprint(NamedTuple):
    """The keys and ranges that a call reads, and the keys that it writes; as declared, or as observed."""

    reads: frozenset[Key]
    scans: frozenset[Scan]
    writes: frozenset[Key]


class Cause(NamedTuple):
    """Who set off a change: the agent that acted, its call and the call's tool (None from outside)."""

    agent: str
    call_id: CallId | None
    tool: str | None
    rank: Rank


OUTSIDE: Final = Cause("outside", None, None, Rank(-1))
"""The cause of what somebody outside the domain has changed (rule 9)."""


class Call:
    """One call of an agent, from when it takes its position until its agent ends or it is undone.

    What is rarely otherwise than usual is kept at the class, so that the many calls that only read stay
    small.

    Invariants (checked by `Kernel.check_invariants`):
        1. A call that is not awaiting re-execution has seen exactly its filtered values.
        2. A failed, lapsed or staged call has no writes.
        3. It is pending in its agent's inbox just when its agent has yet to hear how it ends now (`unheard`).
    """

    seen: Observation = NOTHING
    """What its last run saw and did."""
    told: Observation = NOTHING
    """The run that its agent knows of."""
    writes: Writes = NOTHING.writes
    """Its writes as they stand in the trajectories: those of `seen`, or none."""
    cause: Cause | None = None
    """What last made it run again."""
    phase: CallPhase = CallPhase.STANDING
    lapsed: bool = False
    """Whether its agent knows that it failed: should it succeed now, only `amend` brings it back to life."""
    irreversible: bool = False
    refused: bool = False
    """Whether its target would not have what it wrote."""
    under_way: Footprint | None = None
    """While it runs, or is reversed, in a system that nobody can see into: what must not be touched there."""
    runner: str = ""
    """Which owner runs, or reverses, it meanwhile."""
    intent: str = ""
    """What names its last run for ever, for its tool."""
    prepared: Value = None
    """What its run captured that is under way, to be taken back by."""
    accepted: frozenset[Key] = frozenset()
    """Which of its writes their targets have held as they are: to put them again is to restore."""

    def __init__(
        self,
        id: CallId,
        agent: str,
        rank: Rank,
        position: Position,
        tool: str,
        arguments: Mapping[str, Value],
    ) -> None:
        self.id = id
        self.agent = agent
        self.rank = rank
        self.position = position
        self.tool = tool
        self.arguments = arguments

    @property
    def as_cause(self) -> Cause:
        """The call as the cause of a change."""
        return Cause(self.agent, self.id, self.tool, self.rank)

    @property
    def declared(self) -> bool:
        """Whether a declared tool ran: only its own `reverse` takes it back."""
        return self.seen.declared

    @property
    def applied(self) -> bool:
        """Whether it is a declared call whose effect is in its target now, and would have to be reversed."""
        return self.seen.declared and self.phase is CallPhase.STANDING and bool(self.writes)

    @property
    def unheard(self) -> bool:
        """Whether it ends otherwise than its agent was told, or its edit was merged anew (rules 4, 11)."""
        seen, told = self.seen, self.told
        if seen is told:
            return False
        if seen.error != told.error or not same(seen.value, told.value):
            return True
        return seen.merged and not (told.merged and same(dict(seen.writes), dict(told.writes)))

    @property
    def reversible(self) -> bool:
        """Whether it can still be undone: an irreversible call only before its run has begun."""
        return not self.irreversible or self.phase is CallPhase.STAGED

    @property
    def has_happened(self) -> bool:
        """Whether it is irreversible and its run has begun, so that no abort takes it back."""
        return self.irreversible and self.phase is not CallPhase.STAGED

    @property
    def footprint(self) -> Footprint:
        """What it read and wrote."""
        return Footprint(
            frozenset(key for key, _ in self.seen.reads), frozenset(self.seen.scans), frozenset(self.writes)
        )

    def __repr__(self) -> str:
        return f"<call {self.id} {self.tool} at {self.position}>"
