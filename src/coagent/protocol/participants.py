"""Agents as the kernel knows them: one transaction each, from join to commit or abort."""

from __future__ import annotations

from typing import Literal, NamedTuple

from coagent.protocol.calls import Call, CallId, Cause, Rank, position_of
from coagent.protocol.events import OnDeath
from coagent.protocol.keys import Key
from coagent.protocol.phases import AgentPhase
from coagent.protocol.values import Value

_ENDED = (AgentPhase.COMMITTED, AgentPhase.ABORTED)
_AT_WORK = (AgentPhase.ACTIVE, AgentPhase.FINISHED)


class Disturbance(NamedTuple):
    """Something that has befallen what an agent wrote, although none of its premises changed.

    Args:
        kind: "overruled": somebody outside wrote the same part of the object, and theirs stands (rule 9).
            "stuck": its target will not hold what it should, and a person has to decide.
        before: What the agent's write left.
        after: What stands; for a stuck object the reason, as text.
        call_id: The agent's call.
    """

    kind: Literal["overruled", "stuck"]
    before: Value
    after: Value
    call_id: CallId
    cause: Cause


class Participant:
    """One agent.

    Args:
        name: Unique among the agents that have not ended.
        rank: Unique for ever.
        pinned: Whether its rank was asked for, so that it neither passes anybody nor is passed (rule 10).
    """

    __slots__ = (
        "called", "calls", "disturbed", "ends_because", "epoch", "held_up_by", "must_restart", "name",
        "next_sequence", "on_death", "order", "owner", "pending", "phase", "pinned", "position", "rank",
        "restarts",
    )  # fmt: skip

    def __init__(self, name: str, rank: Rank, pinned: bool = False) -> None:
        self.name = name
        self.rank = rank
        self.pinned = pinned
        self.order: int = rank
        """Where it stands in the serialization order: its rank until it is promoted."""
        self.owner = ""
        """Who speaks for it; empty: nobody, or nobody else can have the log open."""
        self.epoch = 0
        """How often it has got another owner."""
        self.on_death: OnDeath = "abort"
        """What becomes of it, where it is unfinished, when its owner dies."""
        self.phase = AgentPhase.ACTIVE
        self.next_sequence = 1
        self.position = position_of(rank, 1)
        """Where its next call will stand."""
        # Whether it has ever called: from then on nobody may be ranked below it.
        self.called = False
        # Under locking and optimistic control: whether it has to begin again, and how often it has.
        self.must_restart = False
        self.restarts = 0
        self.ends_because = ""
        """Why it is being aborted."""
        self.held_up_by: tuple[Rank, int] | None = None
        """Who kept it from being promoted when that was last asked, and after how many withdrawals."""
        self.calls: dict[CallId, Call] = {}
        """Its calls that stand, by id, in order of arrival."""
        self.pending: dict[CallId, Call] = {}
        """Its calls that return something else now than what it was told, by id."""
        self.disturbed: dict[Key, Disturbance] = {}
        """What it has not been told of what became of its writes, by object."""

    def stand(self, order: int, next_sequence: int) -> None:
        """Let its next call stand at another place."""
        self.order, self.next_sequence = order, next_sequence
        self.position = position_of(order, next_sequence)

    @property
    def ended(self) -> bool:
        """Whether it has committed or aborted."""
        return self.phase in _ENDED

    @property
    def at_work(self) -> bool:
        """Whether it may yet do something: it has not ended, and is not being aborted."""
        return self.phase in _AT_WORK

    @property
    def aborting(self) -> bool:
        """Whether its abort has begun, and has not come to its end."""
        return self.phase is AgentPhase.ABORTING

    @property
    def unread(self) -> bool:
        """Whether there is something that it has not been told, and will be."""
        return bool(self.pending or self.disturbed) and not self.aborting

    def __repr__(self) -> str:
        return f"<agent {self.name} rank {self.rank} {self.phase.value}>"
