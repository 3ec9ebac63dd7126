"""Which events may happen: asked before an event is appended, and of every event of a log that is replayed.

The tables of `phases.py` say what may happen to an agent and to a call; the rest is said here, one condition
a line. An event that may not happen changes nothing: a log in which one stands all the same, because an older
version appended it, opens like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from coagent.protocol.calls import Call, CallId, Rank
from coagent.protocol.events import (
    AbortBegun,
    Aborted,
    Attached,
    Blocked,
    CallAmended,
    CallBegun,
    CallObserved,
    CallRan,
    CallReexecuted,
    CallReversed,
    CallStaged,
    CallUndone,
    Committed,
    EffectApplied,
    EffectRefused,
    Event,
    Finished,
    Joined,
    NoticesDelivered,
    OutsideWrite,
    Promoted,
    Resolved,
    Restarted,
    ReversalBegun,
    ReversalFailed,
    RunBegun,
    RunLost,
    Said,
    StagedAmended,
    Stuck,
)
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AGENT_PHASES, CALL_PHASES, CallPhase


class State(Protocol):
    """What a decision about legality asks of the kernel's state."""

    agents: dict[Rank, Participant]

    def call(self, call_id: CallId) -> Call | None:
        """Return a standing call of an agent that has not ended."""

    def underway(self, call_id: CallId) -> Call | None:
        """Return a call whose run, or reversal, has begun and not ended."""

    def refusal(self, agent: str, rank: Rank | None, after: Rank | None = None) -> str | None:
        """Say why an agent may not join under that name and rank, or right after another one."""

    def base_known(self, key: Key) -> bool:
        """Tell whether the value below all writes of the object is known."""

    def may_commit(self, agent: Participant) -> str | None:
        """Say why an agent may not commit."""

    def promotion(self, agent: Participant) -> int | None:
        """Return the order that an agent would have if it were promoted."""


def _of_agent(state: State, event: Any) -> str | None:
    agent = state.agents.get(event.rank)
    if agent is None:
        return f"there is no agent of rank {event.rank}"
    if agent.phase not in _AGENT_PHASES[type(event)]:
        return f"agent {agent.name!r} is {agent.phase.value}"
    return None


def _of_call(state: State, event: Any) -> str | None:
    call = state.call(event.call_id)
    if call is None:
        return f"there is no standing call {event.call_id!r}"
    if call.phase not in _CALL_PHASES[type(event)]:
        return f"call {call.id!r} is {call.phase.value}"
    return None


def _repair(state: State, event: Any) -> str | None:
    refused = _of_call(state, event)
    if refused is not None:
        return refused
    call = state.call(event.call_id)
    assert call is not None, "a call that does not stand was refused"
    agent = state.agents[call.rank]
    if agent.phase not in _AGENT_PHASES[type(event)]:
        return f"agent {agent.name!r} is {agent.phase.value}"
    if not call.reversible:
        return f"call {call.id!r} is irreversible and has run"
    if call.applied:
        return f"call {call.id!r} is a declared one, and has to be reversed first"
    if agent.aborting and isinstance(event, CallAmended) and call.under_way is None:
        return f"agent {agent.name!r} is {agent.phase.value}"
    return None


def _joined(state: State, event: Joined) -> str | None:
    return state.refusal(event.agent, event.rank, event.after)


def _ran(state: State, event: CallRan) -> str | None:
    """A run that had begun ends however its agent has ended meanwhile."""
    call = state.underway(event.call_id)
    if call is None or call.phase not in (CallPhase.RUNNING, CallPhase.UNKNOWN):
        return f"call {event.call_id!r} does not run"
    seen = event.observation
    for key in seen.writes if seen.error is None else ():
        if key not in seen.bases and not state.base_known(key):
            return f"nothing says what {key!r} was before"
    return None


def _begun(state: State, event: RunBegun) -> str | None:
    call = state.underway(event.call_id)
    if call is not None and call.phase is CallPhase.RUNNING:
        if event.prepared is not None and (event.owner, event.intent) == (call.runner, call.intent):
            return None
        return f"call {call.id!r} is {call.phase.value}"
    if call is not None and state.call(call.id) is None:
        # What an agent that has ended may have done is seen to by one process, if it can be taken back.
        taken_back = call.phase is CallPhase.UNKNOWN and not call.irreversible
        return None if taken_back else f"agent {call.agent!r} has ended"
    refused = _of_call(state, event)
    if refused is not None:
        return refused
    call = state.call(event.call_id)
    assert call is not None, "a call that does not stand was refused"
    # Only what has to run again for others, and can be taken back.
    if state.agents[call.rank].aborting and (call.irreversible or event.arguments is not None):
        return f"agent {call.agent!r} is being aborted"
    return None


def _lost(state: State, event: RunLost) -> str | None:
    """A run is lost however its agent has ended meanwhile."""
    call = state.underway(event.call_id)
    if call is not None and call.phase is CallPhase.RUNNING:
        return None
    return f"call {event.call_id!r} does not run"


def _finished(state: State, event: Finished) -> str | None:
    refused = _of_agent(state, event)
    if refused is None and state.agents[event.rank].unread:
        return f"agent {state.agents[event.rank].name!r} has something to read"
    return refused


def _committed(state: State, event: Committed) -> str | None:
    return _of_agent(state, event) or state.may_commit(state.agents[event.rank])


def _promoted(state: State, event: Promoted) -> str | None:
    refused = _of_agent(state, event)
    if refused is not None:
        return refused
    agent = state.agents[event.rank]
    return None if state.promotion(agent) == event.order else f"agent {agent.name!r} may not be promoted"


def _aborted(state: State, event: Aborted) -> str | None:
    """What is under way has to end first, but for what cannot be taken back, or what nobody waits for."""
    refused = _of_agent(state, event)
    if refused is not None:
        return refused
    agent = state.agents[event.rank]
    busy = [
        call.id
        for call in agent.calls.values()
        if call.under_way is not None and not call.irreversible and call.phase is not CallPhase.UNKNOWN
    ]
    return f"call {busy[0]!r} is under way" if busy else None


def _anything(state: State, event: Event) -> str | None:
    """What is about objects may always happen; where it is about an old version, it changes nothing."""
    return None


OBJECTIONS: Final[Mapping[type[Any], Callable[[State, Any], str | None]]] = {
    Joined: _joined,
    Attached: _of_agent,
    Said: _of_agent,
    CallObserved: _of_agent,
    CallStaged: _of_agent,
    CallBegun: _of_agent,
    RunBegun: _begun,
    RunLost: _lost,
    CallRan: _ran,
    CallReexecuted: _of_call,
    ReversalBegun: _of_call,
    CallReversed: _of_call,
    ReversalFailed: _of_call,
    CallUndone: _repair,
    CallAmended: _repair,
    StagedAmended: _repair,
    NoticesDelivered: _of_agent,
    Finished: _finished,
    Promoted: _promoted,
    Committed: _committed,
    AbortBegun: _of_agent,
    Aborted: _aborted,
    Blocked: _of_agent,
    Restarted: _of_agent,
    EffectApplied: _anything,
    EffectRefused: _anything,
    Stuck: _anything,
    Resolved: _anything,
    OutsideWrite: _anything,
}
"""For each kind of event what says why it may not happen in a state; None where it may."""


def _phases(table: Mapping[tuple[Any, str], Any]) -> dict[type[Any], tuple[Any, ...]]:
    """Return for each kind of event the phases in which it may happen."""
    return {kind: tuple(phase for phase, name in table if name == kind.__name__) for kind in OBJECTIONS}


_AGENT_PHASES: Final = _phases(AGENT_PHASES)
_CALL_PHASES: Final = _phases(CALL_PHASES)
