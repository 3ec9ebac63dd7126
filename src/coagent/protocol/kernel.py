"""What every concurrency-control protocol offers the runtime: events in, outstanding work out.

An implementation is a pure, deterministic state machine: no I/O, clock, randomness or logging, so that
replaying its events rebuilds it exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from coagent.protocol.calls import Call, Observation, Position, Rank
from coagent.protocol.decisions import Ready
from coagent.protocol.events import Event
from coagent.protocol.keys import Key, Scan
from coagent.protocol.participants import Participant
from coagent.protocol.values import Value


class Kernel(ABC):
    """A protocol. The runtime drives it; see `Ready` for the duties on either side."""

    name: str
    locks: bool = False
    """Whether calls may have to wait for locks: then `blockers` and `waiting` have something to say."""
    stages_all: bool = False
    """Whether any agent may have to begin again, so that irreversible calls can only run at its commit."""
    agents: dict[Rank, Participant]
    """Every agent that has not ended, and those that ended last, by rank."""

    @abstractmethod
    def step(self, event: Event) -> None:
        """Take one event, valid at this point of the log, and change state accordingly."""

    @property
    @abstractmethod
    def has_work(self) -> bool:
        """Whether `ready` would return any work."""

    @abstractmethod
    def lowest_dirty(self) -> Call | None:
        """Return what `ready` would have re-executed, without working out the rest."""

    @abstractmethod
    def ready(self) -> Ready:
        """Return the outstanding work."""

    @property
    @abstractmethod
    def forgotten(self) -> int:
        """How often a written object has ceased to be one, or to be tracked.

        While it stands still, a value read from a target stays true as long as its object is not tracked.
        """

    @abstractmethod
    def refusal(self, agent: str, rank: Rank | None) -> str | None:
        """Say why an agent may not join under that name and rank; None where it may."""

    @abstractmethod
    def next_rank(self) -> Rank:
        """Return the rank of the next agent that joins without a pinned one."""

    @abstractmethod
    def position(self, agent: Participant) -> Position:
        """Return the position that the agent's next call would have."""

    @abstractmethod
    def may_call(self, agent: Participant) -> bool:
        """Tell whether the agent may call now; otherwise the call is held until it may."""

    @abstractmethod
    def may_run_irreversible(self, agent: Participant) -> bool:
        """Tell whether nothing that is still open can change the agent's premises (rule 6)."""

    def blockers(self, agent: Participant, observation: Observation) -> frozenset[Rank]:
        """Return the agents that hold locks which a run needs before it may be recorded."""
        return frozenset()

    def waiting(self, agent: Participant) -> bool:
        """Tell whether the agent still waits for locks."""
        return False

    @abstractmethod
    def lookup(self, key: Key, position: Position) -> Value:
        """Return the filtered value of a tracked object, or `UNLOADED` where the target has to be asked."""

    @abstractmethod
    def written_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        """Yield the tracked objects under a prefix whose live state may differ from the filtered one."""

    @abstractmethod
    def base_known(self, key: Key) -> bool:
        """Tell whether the before-image below all writes of the object is known."""

    @abstractmethod
    def holds(self, observation: Observation, position: Position) -> bool:
        """Tell whether everything that a run at `position` saw is still what it would see."""

    @abstractmethod
    def live_value(self, key: Key) -> Value:
        """Return the value that the target should hold, or `UNLOADED` where the kernel does not track it."""

    @abstractmethod
    def take_live_changes(self) -> Sequence[tuple[Key, Value]]:
        """Return the changes of live values since the last time it was asked, oldest first."""

    @abstractmethod
    def call(self, call_id: str) -> Call | None:
        """Return a standing call of an agent that has not ended."""

    @abstractmethod
    def applied_above(
        self, position: Position, reads: frozenset[Key], scans: frozenset[Scan], writes: frozenset[Key]
    ) -> list[Call]:
        """Return the declared calls to reverse before a call with that footprint can run at `position`.

        They come in the order in which to reverse them: the highest first.
        """

    @abstractmethod
    def check_invariants(self) -> None:
        """Assert every numbered invariant; for tests, after each step."""
