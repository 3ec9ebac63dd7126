"""Calls: where they stand in the serialization order, what they saw and what they wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from coagent.protocol.keys import Key, Scan
from coagent.protocol.values import Selector, Value

Rank: TypeAlias = int
"""An agent's place in the serialization order, fixed at join."""

Position: TypeAlias = tuple[int, int]
"""(rank, sequence within the agent): the order in which calls count, whatever the order they arrived in."""

Reads: TypeAlias = Mapping[tuple[Key, Selector | None], Value]
Scans: TypeAlias = Mapping[Scan, Value]
Writes: TypeAlias = Mapping[Key, Value]


class Observation(NamedTuple):
    """What one run of a tool did at its position: its footprint with the values, and how it ended.

    Args:
        reads: (key, part) to the filtered value seen; with the scans, the call's read set.
        scans: Scan to what it saw: the sorted keys, or key to selected part.
        writes: Key to the new whole value, None for a deletion; the write set. Empty where it failed.
        bases: Before-images of written keys that the kernel did not track yet.
        value: What the tool returned.
        error: Why it failed, for the agent; None where it did not.
        declared: Whether a declared tool ran: its values are tokens that stand for states nobody can see.
        prepared: What the reverse of a declared tool needs.
    """

    reads: Reads
    scans: Scans
    writes: Writes
    bases: Writes
    value: Value
    error: str | None = None
    declared: bool = False
    prepared: Value = None


NOTHING: Observation = Observation({}, {}, {}, {}, None, None)


class Cause(NamedTuple):
    """Who set off a change: the agent that acted, its call and the call's tool (None from outside)."""

    agent: str
    call_id: str | None
    tool: str | None
    rank: Rank


class Call:
    """One call of an agent, from its first run until its agent commits or it is undone.

    Invariants (checked by `Kernel.check_invariants`):
        1. A call that is not awaiting re-execution has seen exactly its filtered values.
        2. A failed, dormant or staged call has no writes.
        3. It is pending in its agent's inbox just when what it returns now is not what the agent was told.
    """

    __slots__ = (
        "agent", "applied", "arguments", "cause", "declared", "dormant", "error",
        "id", "irreversible", "position", "prepared", "rank", "refused",
        "reads", "scans", "staged", "started", "told_error", "told_reads", "told_scans", "told_value",
        "tool", "value", "writes",
    )  # fmt: skip

    def __init__(
        self,
        call_id: str,
        agent: str,
        rank: Rank,
        position: Position,
        tool: str,
        arguments: Mapping[str, Value],
    ) -> None:
        self.id = call_id
        self.agent = agent
        self.rank = rank
        self.position = position
        self.tool = tool
        self.arguments = arguments
        self.reads: Reads = {}
        self.scans: Scans = {}
        self.writes: Writes = {}
        self.value: Value = None
        self.error: str | None = None
        self.told_reads: Reads = {}
        self.told_scans: Scans = {}
        self.told_value: Value = None
        self.told_error: str | None = None
        self.cause: Cause | None = None
        # Once its agent knows that it failed, a later success is news, not an effect: the agent may have
        # done something else instead, so only `amend` brings the call back to life.
        self.dormant = False
        # Whether it failed because its target would not have what it wrote.
        self.refused = False
        self.irreversible = False
        self.staged = False
        self.started = False
        # Whether a declared tool ran, whether its effect is in the target now, and what its reverse needs.
        self.declared = False
        self.applied = False
        self.prepared: Value = None

    @property
    def as_cause(self) -> Cause:
        """The call as the cause of a change."""
        return Cause(self.agent, self.id, self.tool, self.rank)

    @property
    def reversible(self) -> bool:
        """Whether it can still be undone: an irreversible call only while it is staged and not started."""
        return not self.irreversible or (self.staged and not self.started)

    def told(self) -> None:
        """Record that the agent knows what the call returns now."""
        self.told_value = self.value
        self.told_error = self.error
        self.told_reads = self.reads
        self.told_scans = self.scans
        if self.error is not None:
            self.dormant = True

    def __repr__(self) -> str:
        return f"<call {self.id} {self.tool} at {self.position}>"
