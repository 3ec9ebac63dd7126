"""What every concurrency-control protocol offers the runtime: events in, outstanding work out.

An implementation is a pure, deterministic state machine: no I/O, clock, randomness or logging, so that
replaying its events rebuilds it exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from coagent.protocol.calls import Call, CallId, Footprint, Observation, Position, Rank
from coagent.protocol.decisions import Effect, Gate, LiveChange, Obstacles, Ready
from coagent.protocol.events import Event
from coagent.protocol.inbox import Inbox
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.trajectory import OutsideEdit, Trajectory
from coagent.protocol.values import Value


class Kernel(ABC):
    """A protocol. The runtime drives it; see `Ready` for the duties on either side."""

    name: str
    locks: bool = False
    """Whether calls may have to wait for locks: then `blockers` and `waiting` have something to say."""
    stages_all: bool = False
    """Whether any agent may have to begin again, so that irreversible calls can only run at its commit."""
    holds_calls: bool = False
    """Whether `may_call` may say no."""
    reads_may_wait: bool = False
    """Whether a call that only read may be recorded later, with what comes next: nobody has to know of it."""
    notifies: bool = True
    """Whether whoever saw something else than what is there now hears of it, or runs again."""
    early: bool = False
    """Whether agents may be promoted past those that they have nothing to do with (rule 10)."""
    agents: dict[Rank, Participant]
    """Every agent that has not ended, and those that ended last, by rank."""
    steps: int = 0
    """How many events it has taken: while that stands still, nothing has changed."""
    passed_over: int = 0
    """How many events of its log could not happen when they were replayed."""

    # ---- events --------------------------------------------------------------------------------------------

    @abstractmethod
    def objection(self, event: Event) -> str | None:
        """Say why an event may not happen now; None where it may. To be asked before it is appended."""

    @abstractmethod
    def take(self, event: Event) -> Call | Participant | None:
        """Take one event, to which there is no objection, and change state accordingly.

        Returns:
            The call or agent that it made or is about; None for events about objects.
        """

    def step(self, event: Event) -> Call | Participant | None:
        """Take an event of a log; one that may not happen, as old logs hold some, changes nothing."""
        if self.objection(event) is not None:
            self.passed_over += 1
            return None
        return self.take(event)

    # ---- owners --------------------------------------------------------------------------------------------

    @abstractmethod
    def owners(self) -> set[str]:
        """Return whoever agents belong to that have not ended, or has a call under way."""

    @abstractmethod
    def left_by(self, owner: str) -> tuple[list[Participant], list[Call]]:
        """Return what somebody who has died leaves: agents that have not ended, and calls under way."""

    @property
    @abstractmethod
    def unknown(self) -> list[Call]:
        """The calls of which nobody knows whether they have had their effect; also of ended agents."""

    @abstractmethod
    def foreign(self, event: Event, owner: str) -> str | None:
        """Say why somebody may not append an event: it is for the owner of its agent alone (`owners.py`)."""

    @abstractmethod
    def underway(self, call_id: CallId) -> Call | None:
        """Return a call whose run, or reversal, has begun and not ended, also where its agent was aborted."""

    # ---- outstanding work ----------------------------------------------------------------------------------

    @property
    @abstractmethod
    def has_work(self) -> bool:
        """Whether `ready` may return any work but effects; costs next to nothing."""

    @property
    @abstractmethod
    def has_effects(self) -> bool:
        """Whether a target needs something, or will once nothing holds it up any more."""

    @abstractmethod
    def effects(self) -> tuple[Effect, ...]:
        """Return what `ready` returns to be applied."""

    @abstractmethod
    def ready(self) -> Ready:
        """Return the outstanding work."""

    @abstractmethod
    def unsettled(self) -> set[Key]:
        """Return the objects that have no final value yet, since calls that wrote them have to run again."""

    # ---- agents --------------------------------------------------------------------------------------------

    @abstractmethod
    def refusal(self, agent: str, rank: Rank | None, after: Rank | None = None) -> str | None:
        """Say why an agent may not join so, with a rank or right after another one; None where it may."""

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
    def gate(self, agent: Participant, gate: str | None) -> Gate:
        """Say what becomes of an irreversible call that the agent wants to make now (rule 6).

        Args:
            agent: The agent.
            gate: That of the tool, "stage" or "wait".
        """

    @abstractmethod
    def its_turn(self, agent: Participant) -> bool:
        """Tell whether nothing that is still open can change the agent's premises."""

    @abstractmethod
    def promotion(self, agent: Participant) -> int | None:
        """Return the order that the agent would have if it were promoted now; None where it may not be."""

    @abstractmethod
    def passers(self) -> Iterator[tuple[Rank, int]]:
        """Yield the finished agents that could pass those below and go on at once, with their new orders.

        `ready` names none while the lowest agent is about to commit. They are for whoever finds that it
        cannot, because a target that its commit rests on is away.
        """

    @abstractmethod
    def waits_for(self, agent: Participant) -> list[Participant]:
        """Return the agents that keep this one from committing, lowest order first."""

    @abstractmethod
    def inbox(self, agent: Participant, *, apart: bool = True, said: str = "") -> Inbox:
        """Return what the agent has to be told (rule 4).

        Args:
            agent: The agent.
            apart: Whether what it has changed itself, by a repair, comes apart.
            said: What it has been asked to do: values that stand there are no stale ones of its calls.
        """

    def blockers(self, agent: Participant, observation: Observation) -> frozenset[Rank]:
        """Return the agents that hold locks which a run needs before it may be recorded."""
        return frozenset()

    def waiting(self, agent: Participant) -> bool:
        """Tell whether the agent still waits for locks."""
        return False

    def must_begin_again(self, agent: Participant) -> bool:
        """Tell whether an agent that means to end has to begin again instead, for what it has read."""
        return agent.must_restart

    # ---- objects -------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def forgotten(self) -> int:
        """How often a written object has ceased to be one, or to be tracked.

        While it stands still, a value read from a target stays true as long as its object is not tracked.
        """

    @abstractmethod
    def lookup(self, key: Key, position: Position) -> Value:
        """Return the filtered value of a tracked object, or `UNLOADED` where the target has to be asked."""

    @abstractmethod
    def written_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        """Yield the tracked objects under a prefix whose live state may differ from the filtered one."""

    @abstractmethod
    def writers_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Position | None]]:
        """Yield the same objects with where their filtered values were written; None: by nobody here."""

    @abstractmethod
    def known_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        """Yield the objects under a prefix whose values are known, with what they are at a position."""

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
    def version(self, key: Key) -> int:
        """Return what names the live value of an object among all that there have been; 0 for the first."""

    @abstractmethod
    def may_hold(self, key: Key) -> tuple[Value, ...]:
        """Return every value that the target of a tracked object may hold now, the live value last."""

    @abstractmethod
    def edits(self, key: Key) -> list[OutsideEdit]:
        """Return what outsiders have changed above writes of active agents, in order of position."""

    @abstractmethod
    def trajectory(self, key: Key) -> Trajectory | None:
        """Return the writes of an object that active agents have touched, in order; None: nobody has."""

    @abstractmethod
    def tracked_keys(self) -> list[Key]:
        """Return the objects that active agents have read, perhaps only in part, or written."""

    @abstractmethod
    def scanned_prefixes(self) -> list[str]:
        """Return the ranges that active agents have scanned."""

    @abstractmethod
    def concerns_a_premise(self, key: Key, value: Value, *, has_changed: bool = True) -> bool:
        """Tell whether an active agent saw an untracked object otherwise: a part of it, or in a range.

        Args:
            key: The object.
            value: Its live value.
            has_changed: Whether it is known to have changed: how a traced program saw it, nobody knows.
        """

    @abstractmethod
    def take_live_changes(self) -> Sequence[LiveChange]:
        """Return the changes of live values since the last time it was asked, oldest first."""

    @property
    @abstractmethod
    def stuck(self) -> dict[Key, str]:
        """The objects about which a person has to decide, and why."""

    # ---- calls ---------------------------------------------------------------------------------------------

    @abstractmethod
    def call(self, call_id: CallId) -> Call | None:
        """Return a standing call of an agent that has not ended."""

    def is_wanted(self, call: Call) -> bool:
        """Tell whether a call may run once more; of one that is being aborted only what can be undone."""
        stands = self.call(call.id) is call
        return stands and not (call.irreversible and self.agents[call.rank].aborting)

    @abstractmethod
    def is_dirty(self, call: Call) -> bool:
        """Tell whether a call has to run again."""

    @abstractmethod
    def obstacles(self, position: Position, footprint: Footprint, own: Call | None = None) -> Obstacles:
        """Return what stands in the way of a declared call that is to run, or to be reversed, at `position`.

        Args:
            position: Where it stands.
            footprint: What it touches.
            own: The call itself, where it has run before and has to be reversed as well.
        """

    @abstractmethod
    def kept_calls(self, agent: Participant) -> list[Call]:
        """Return the agent's calls that an abort could not take back."""

    @abstractmethod
    def check_invariants(self) -> None:
        """Assert every numbered invariant; for tests, after each step."""
