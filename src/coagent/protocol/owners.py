"""What an agent says for itself, which nobody but its owner may say for it.

Whatever follows from the rules may be recorded by anybody: that a call ran again, that an agent commits. What
an agent decides is recorded by the process that serves it. An agent that has got another owner since, because
its first one was thought to be dead, is not spoken for by the first one any more: appending to the log
compares its head, so whoever appends knows the owner of today.
"""

from __future__ import annotations

from typing import Protocol

from coagent.protocol.calls import Call, CallId, Rank
from coagent.protocol.events import (
    AbortBegun,
    Aborted,
    Blocked,
    CallAmended,
    CallBegun,
    CallObserved,
    CallStaged,
    CallUndone,
    Event,
    Finished,
    NoticesDelivered,
    Restarted,
    RunBegun,
    Said,
    StagedAmended,
)
from coagent.protocol.phases import CallPhase


class State(Protocol):
    """What is asked of the kernel's state."""

    def call(self, call_id: CallId) -> Call | None:
        """Return a standing call of an agent that has not ended."""


def speaker(state: State, event: Event) -> Rank | None:
    """Return the agent that speaks in an event; None where it is nobody's word."""
    match event:
        case (
            Said()
            | CallObserved()
            | CallStaged()
            | CallBegun()
            | NoticesDelivered()
            | Finished()
            | AbortBegun()
            | Aborted()
            | Blocked()
            | Restarted()
        ):
            return event.rank
        case CallUndone() | CallAmended() | StagedAmended() | RunBegun():
            call = state.call(event.call_id)
            if call is None:
                return None
            # A run that has begun ends, whoever has begun it; and anybody may run again what has to. What was
            # reversed to be undone is not, where another process speaks for its agent by now: it runs again.
            if isinstance(event, CallAmended) and call.under_way is not None:
                return None
            if isinstance(event, RunBegun) and call.phase is not CallPhase.STAGED:
                return None
            return call.rank
        case _:
            return None
