"""Agents and calls as an auditor keeps them, and the tables of what may happen to them."""

from __future__ import annotations

from typing import Any, Final

from coagent.audit.records import Footprint, Seen

NOTHING: Final = Seen([], [], {}, {}, None, None)
"""What a call has seen that has not run, and what an agent was told of it."""
LOST: Final = Seen([], [], {}, {}, None, None, True)
"""What an agent was told of a call whose process has died while it ran: nothing."""
STAGED: Final = Seen([], [], {}, {}, "staged", None)

CALLING: Final = frozenset(
    {
        "CallObserved", "CallStaged", "CallBegun", "CallUndone", "CallAmended", "StagedAmended",
        "NoticesDelivered", "Restarted",
    }
)  # fmt: skip
"""What makes an agent active that had finished."""
OF_AGENTS: Final[dict[str, frozenset[str]]] = {
    "active": CALLING | {"Attached", "Said", "Promoted", "Blocked", "Finished", "AbortBegun", "Aborted"},
    "finished": CALLING | {"Attached", "Said", "Promoted", "Committed", "AbortBegun", "Aborted"},
    "aborting": frozenset({"Attached", "CallUndone", "CallAmended", "Aborted"}),
    "committed": frozenset(),
    "aborted": frozenset(),
}
"""Phase of an agent to what may happen in it."""
OF_CALLS: Final[dict[str, dict[str, str]]] = {
    "staged": {"RunBegun": "running", "StagedAmended": "staged", "CallUndone": "withdrawn"},
    "running": {
        "CallRan": "standing", "CallReexecuted": "standing", "CallAmended": "standing", "RunBegun": "running",
        "RunLost": "unknown",
    },
    "unknown": {
        "CallRan": "standing", "CallReexecuted": "standing", "CallAmended": "standing", "RunBegun": "running",
    },
    "standing": {
        "CallReexecuted": "standing", "CallAmended": "standing", "CallUndone": "withdrawn",
        "RunBegun": "running", "ReversalBegun": "reversing",
    },
    "reversing": {
        "CallReversed": "reversed", "CallUndone": "withdrawn", "RunBegun": "running",
        "ReversalFailed": "standing",
    },
    "reversed": {
        "RunBegun": "running", "CallReexecuted": "standing", "CallAmended": "standing",
        "CallUndone": "withdrawn",
    },
    "lapsed": {
        "CallReexecuted": "lapsed", "RunBegun": "running", "CallAmended": "standing",
        "CallUndone": "withdrawn",
    },
}  # fmt: skip
"""Phase of a call to what may happen in it, and where that leads."""


class Call:
    """One call, from when it takes its position until its agent ends or it is undone.

    Args:
        agent: Whose it is.
        sequence: Its number within the agent.
        place: Where it counts within that: its sequence, or its arrival where that is the order.
        tool: Its tool.
        arguments: Those of its last run, or for its next.
        number: The record by which it was last seen to run.
    """

    __slots__ = (
        "accepted", "agent", "arguments", "irreversible", "lapsed", "number", "phase", "place", "runner",
        "seen", "sequence", "told", "tool", "touching", "writes",
    )  # fmt: skip

    def __init__(
        self, agent: Agent, sequence: int, place: int, tool: str, arguments: Any, number: int
    ) -> None:
        self.agent = agent
        self.sequence = sequence
        self.place = place
        self.tool = tool
        self.arguments = arguments
        self.number = number
        self.seen = NOTHING
        self.told = NOTHING
        self.writes: dict[str, Any] = {}
        """Its writes as they stand: those that it was seen to make, or none where it failed."""
        self.phase = "standing"
        self.lapsed = False
        self.irreversible = False
        self.touching: Footprint | None = None
        """What it is about to touch while it runs or is reversed."""
        self.runner = ""
        self.accepted: set[str] = set()
        """Of which of its writes a target has been seen to take them."""

    @property
    def id(self) -> str:
        """Its name."""
        return f"{self.agent.name}.{self.sequence}"

    @property
    def happened(self) -> bool:
        """Whether it cannot be taken back: it is irreversible and its run has begun."""
        return self.irreversible and self.phase != "staged"

    @property
    def applied(self) -> bool:
        """Whether it is a declared call whose effect would have to be reversed."""
        return self.seen.declared and self.phase == "standing" and bool(self.writes)

    @property
    def pending(self) -> bool:
        """Whether its agent has not been told of what it returns now."""
        return self.seen is not self.told and not _ends_alike(self.seen, self.told)


class Agent:
    """One agent.

    Args:
        name: Its name.
        rank: Its rank, which is its own for ever.
        order: Where it stands.
        pinned: Whether it asked for its rank.
        number: The record by which it joined.
    """

    __slots__ = (
        "calls", "disturbed", "kept", "name", "news", "number", "order", "owner", "pending", "phase",
        "pinned", "rank", "scanning", "sequence",
    )  # fmt: skip

    def __init__(self, name: str, rank: int, order: int, pinned: bool, number: int) -> None:
        self.name = name
        self.rank = rank
        self.order = order
        self.pinned = pinned
        self.number = number
        self.owner = ""
        self.phase = "active"
        self.sequence = 1
        """That of its next call."""
        self.calls: dict[str, Call] = {}
        self.scanning: dict[str, Call] = {}
        """Its calls that have scanned."""
        self.pending: dict[str, Call] = {}
        self.disturbed: dict[str, str] = {}
        """Objects of which it has to be told what became of them, to the call that touched them."""
        self.news: list[News] = []
        """What it was told that has changed, for whoever judges what it made of that."""
        self.kept: list[tuple[int, Call, str]] = []
        """Of that, what it wrote nothing after: the record of the telling, whose premise, what changed."""

    @property
    def ended(self) -> bool:
        """Whether it has committed or aborted."""
        return self.phase in ("committed", "aborted")


class News:
    """That an agent was told of a changed premise.

    Args:
        number: The record of the telling.
        call: The call that had seen the old value.
        key: The object.
        literals: What stood there before and does not any more, as (old, new or None).
    """

    __slots__ = ("call", "key", "literals", "number")

    def __init__(self, number: int, call: Call, key: str, literals: list[tuple[Any, Any]]) -> None:
        self.number = number
        self.call = call
        self.key = key
        self.literals = literals


def _ends_alike(one: Seen, other: Seen) -> bool:
    from coagent.audit.parts import same

    return one.error == other.error and same(one.value, other.value)
