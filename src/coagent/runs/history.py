"""What happened in a run, from the events as they are recorded: for the report, and for the judgement.

It shares no code with the kernel, and asks it only who has committed and which call a target refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from coagent.masking.mask import Mask
from coagent.protocol.calls import CallId, Observation, Rank, call_id, parsed_call_id
from coagent.protocol.events import (
    Aborted,
    CallAmended,
    CallBegun,
    CallObserved,
    CallRan,
    CallReexecuted,
    CallStaged,
    CallUndone,
    Committed,
    EffectRefused,
    Event,
    Finished,
    Joined,
    NoticesDelivered,
    OutsideWrite,
    Restarted,
    StagedAmended,
)
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.runtime.domain import Domain
from coagent.runtime.learning import learn

_ARGUMENT_LENGTH_MAX = 60
ActKind: TypeAlias = Literal["call", "stage", "amend", "undo", "told", "restart", "finish", "abort"]


class Act(NamedTuple):
    """Something that an agent did or was told, at `seconds` since the start; `detail` is for reading."""

    seconds: float
    kind: ActKind
    call_ids: tuple[CallId, ...]
    detail: str


class OutsideChange(NamedTuple):
    """What somebody outside made of an object.

    Args:
        key: The object.
        saw: What they changed.
        found: What they made of it.
        rank: The agent after whose call it counts; None where no agent at work had written the object.
        sequence: The number of that call.
        after: The agents that had committed by then, where it counts after those.
    """

    key: Key
    saw: Value
    found: Value
    rank: Rank | None
    sequence: int
    after: frozenset[Rank] = frozenset()


@dataclass
class RecordedCall:
    """A call as the run left it.

    Args:
        call_id: `AGENT.SEQUENCE`.
        observation: Of its last run; None while it is staged.
        irreversible: It ran once and cannot run again.
        dormant: Its agent knows that it failed, so it has no effect even where it would succeed now.
        refused: Its target refused what it wrote.
        undone: Its agent withdrew it.
    """

    call_id: CallId
    tool: str
    arguments: Mapping[str, Value]
    observation: Observation | None
    irreversible: bool = False
    dormant: bool = False
    refused: bool = False
    undone: bool = False


@dataclass
class RecordedAgent:
    """An agent as the run left it."""

    name: str
    rank: Rank
    calls: list[RecordedCall] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    aborted: bool = False
    phase: str = "working"

    def standing(self) -> list[RecordedCall]:
        """Return the calls that count in the end, in order; of an aborted agent what could not be undone."""
        calls = [call for call in self.calls if not call.undone and call.observation is not None]
        return [call for call in calls if call.irreversible] if self.aborted else calls


class History:
    """Collects the events of a run; x.

    Args:
        domain: The domain, open and with no active agents.
        changed: Called after each event, for whoever shows progress.
        mask: Of the output that it is for; it learns the secrets that the events hold.
    """

    def __init__(
        self, domain: Domain, changed: Callable[[], None] | None = None, mask: Mask | None = None
    ) -> None:
        self._domain = domain
        self._changed = changed
        self.mask = Mask() if mask is None else mask
        self._started_s = domain.clock.now_s()
        self._calls: dict[CallId, RecordedCall] = {}
        self.agents: dict[Rank, RecordedAgent] = {}
        self.initial: dict[Key, Value] = {}
        """The values before the run of objects that were written or read as a whole, as far as seen."""
        self.written: set[Key] = set()
        """The objects that anybody wrote, also those whose writes were undone."""
        self.outside: list[OutsideChange] = []
        """What others changed from outside the domain."""
        self.committed: list[Rank] = []
        """The agents that have committed, in that order."""

    def __call__(self, event: Event) -> None:
        learn(self.mask, event)
        match event:
            case Joined():
                self.agents[event.rank] = RecordedAgent(event.agent, event.rank)
            case CallObserved():
                self._new_call(event.rank, event.tool, event.arguments, event.observation, event.irreversible)
            case CallStaged():
                self._new_call(event.rank, event.tool, event.arguments, None, True)
            case CallBegun():
                self._new_call(event.rank, event.tool, event.arguments, None, event.irreversible, "call")
            case CallReexecuted() | CallRan() if event.call_id in self._calls:
                self._observed(self._calls[event.call_id], event.observation)
            case CallAmended():
                call = self._calls[event.call_id]
                call.arguments, call.refused = event.arguments, False
                self._observed(call, event.observation)
                call.dormant = event.observation.error is not None
                if event.heard:
                    self._acted_on(event.call_id, "amend")
            case StagedAmended():
                self._calls[event.call_id].arguments = event.arguments
                self._acted_on(event.call_id, "amend")
            case CallUndone():
                self._calls[event.call_id].undone = True
                self._acted_on(event.call_id, "undo")
            case NoticesDelivered():
                self._told(event)
            case Finished():
                self._act(event.rank, "finish")
            case Restarted():
                for call in self.agents[event.rank].calls:
                    call.undone = True
                self._act(event.rank, "restart")
            case Aborted():
                self.agents[event.rank].aborted = True
                self._act(event.rank, "abort", detail=self.mask.text(event.reason))
            case EffectRefused():
                self._refused(event)
            case OutsideWrite():
                self._outside(event)
            case Committed() if event.rank in self.agents:
                self.committed.append(event.rank)
                self.agents[event.rank].phase = "committed"
            case _:
                pass
        if self._changed is not None:
            self._changed()

    def _new_call(
        self,
        rank: Rank,
        tool: str,
        arguments: Mapping[str, Value],
        observation: Observation | None,
        once: bool,
        kind: ActKind = "stage",
    ) -> None:
        agent = self.agents[rank]
        call = RecordedCall(call_id(agent.name, len(agent.calls) + 1), tool, arguments, None, once)
        agent.calls.append(call)
        self._calls[call.call_id] = call
        if observation is not None:
            self._observed(call, observation)
            call.dormant = observation.error is not None
        detail = self._call_text(call)
        if observation is not None and observation.error is not None:
            detail = f"{detail}: {self.mask.brief(observation.error)}"
        self._act(rank, kind if observation is None else "call", (call.call_id,), detail)

    def _observed(self, call: RecordedCall, observation: Observation) -> None:
        call.observation = observation
        seen = {key: value for (key, selector), value in observation.reads.items() if selector is None}
        for key, value in (*observation.bases.items(), *seen.items()):
            if key not in self.written:
                self.initial.setdefault(key, value)
        self.written.update(observation.writes)

    def _told(self, event: NoticesDelivered) -> None:
        for told_id in event.call_ids:
            call = self._calls.get(told_id)
            if call is not None and call.observation is not None and call.observation.error is not None:
                call.dormant = True
        causes: dict[str, None] = {}
        for told_id in event.call_ids:
            now = self._domain.kernel.call(told_id)
            if now is not None and now.cause is not None:
                causes[now.cause.call_id or now.cause.agent] = None
        own = self.agents[event.rank].name
        others = [cause for cause in causes if (parsed_call_id(cause) or (cause, 0))[0] != own]
        if others or not causes:  # else it was told what its own repair has led to
            detail = f"{', '.join(event.call_ids)}" + (f", by {', '.join(others)}" if others else "")
            self._act(event.rank, "told", event.call_ids, detail)

    def _refused(self, event: EffectRefused) -> None:
        for refused_id, call in self._calls.items():
            now = self._domain.kernel.call(refused_id)
            refused = now is not None and now.refused and now.seen.error == event.error
            if refused and call.observation is not None:
                call.observation = call.observation._replace(writes={}, value=None, error=event.error)
                call.refused = True

    def _outside(self, event: OutsideWrite) -> None:
        edits = [edit for edit in self._domain.kernel.edits(event.key) if same(edit.found, event.value)]
        if edits:  # it counts right above the call that the outsider saw
            order, sequence, _ = edits[-1].position
            rank = next((agent.rank for agent in self._domain.agents if agent.order == order), None)
            change = OutsideChange(event.key, edits[-1].saw, event.value, rank, sequence)
        else:
            change = OutsideChange(event.key, None, event.value, None, 0, frozenset(self.committed))
        if event.key in self.initial or event.key in self.written:
            self.outside.append(change)
            self.written.add(event.key)

    def _acted_on(self, call_id: CallId, kind: ActKind) -> None:
        call = self._calls[call_id]
        agent = next(
            agent for agent in self.agents.values() if any(candidate is call for candidate in agent.calls)
        )
        self._act(agent.rank, kind, (call_id,), f"{call_id} {self._call_text(call)}")

    def _act(self, rank: Rank, kind: ActKind, call_ids: tuple[CallId, ...] = (), detail: str = "") -> None:
        agent = self.agents[rank]
        agent.phase = {"finish": "finished", "abort": "aborted"}.get(kind, "working")
        agent.acts.append(Act(self._domain.clock.now_s() - self._started_s, kind, call_ids, detail))

    def _call_text(self, call: RecordedCall) -> str:
        """Return a call in one bounded line."""
        written = () if call.observation is None else call.observation.writes
        arguments = ", ".join(
            f"{name}={self.mask.brief(value, _ARGUMENT_LENGTH_MAX, quoted=True)}"
            for name, value in self.mask.arguments(call.arguments, written).items()
        )
        return f"{call.tool}({arguments})"
