"""Agents as the kernel knows them: one transaction each, from join to commit or abort."""

from __future__ import annotations

from enum import Enum

from coagent.protocol.calls import Call, Rank


class Phase(Enum):
    """How far an agent has come. Transitions: ACTIVE <-> FINISHED -> COMMITTED, and either -> ABORTED."""

    ACTIVE = "active"
    FINISHED = "finished"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Participant:
    """One agent.

    Args:
        name: Unique among the agents that have not ended.
        rank: Unique for ever.
    """

    __slots__ = (
        "called", "calls", "must_restart", "name", "next_sequence", "pending", "phase", "rank", "restarts",
    )  # fmt: skip

    def __init__(self, name: str, rank: Rank) -> None:
        self.name = name
        self.rank = rank
        self.phase = Phase.ACTIVE
        self.next_sequence = 1
        # Whether it has ever called: from then on nobody may be ranked below it.
        self.called = False
        # Under locking and optimistic control: whether it has to begin again, and how often it has.
        self.must_restart = False
        self.restarts = 0
        self.calls: dict[str, Call] = {}
        """Its calls that stand, by id, in order of arrival."""
        self.pending: dict[str, Call] = {}
        """Its calls that return something else now than what it was told, by id."""

    @property
    def ended(self) -> bool:
        """Whether it has committed or aborted."""
        return self.phase in (Phase.COMMITTED, Phase.ABORTED)

    def __repr__(self) -> str:
        return f"<agent {self.name} rank {self.rank} {self.phase.value}>"
