"""The life of an agent and of a call as tables; `docs/concepts.md` draws its diagrams from them.

A row (phase, event) is what may happen in a phase, and what it leads to. What has no row may not happen: such
an event is not appended to a log, and where an old log holds it, it is passed over (`legality.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class AgentPhase(Enum):
    """How far an agent has come.

    ABORTING: what only its tools can take back is being taken back; nothing but its end may follow.
    """

    ACTIVE = "active"
    FINISHED = "finished"
    ABORTING = "aborting"
    COMMITTED = "committed"
    ABORTED = "aborted"


class CallPhase(Enum):
    """What has become of a call.

    STAGED: it has a position and has not run; an irreversible one waits for its turn (rule 6).
    RUNNING: its run has begun, and may have had an effect that nobody has heard of yet.
    UNKNOWN: whoever ran it has died, and nobody knows whether it has had its effect.
    STANDING: it ran, and counts.
    LAPSED: it failed and its agent knows; should it succeed now, only `amend` brings it back to life.
    REVERSING: a declared call that is being taken back.
    REVERSED: a declared call that was taken back to make room below, and has to run again.
    WITHDRAWN: it was undone, or its agent aborted.
    """

    STAGED = "staged"
    RUNNING = "running"
    UNKNOWN = "unknown"
    STANDING = "standing"
    LAPSED = "lapsed"
    REVERSING = "reversing"
    REVERSED = "reversed"
    WITHDRAWN = "withdrawn"


_A, _C = AgentPhase, CallPhase

AGENT_PHASES: Final[Mapping[tuple[AgentPhase, str], AgentPhase]] = {
    (_A.ACTIVE, "Attached"): _A.ACTIVE,
    (_A.ACTIVE, "Said"): _A.ACTIVE,
    (_A.ACTIVE, "CallObserved"): _A.ACTIVE,
    (_A.ACTIVE, "CallStaged"): _A.ACTIVE,
    (_A.ACTIVE, "CallBegun"): _A.ACTIVE,
    (_A.ACTIVE, "CallUndone"): _A.ACTIVE,
    (_A.ACTIVE, "CallAmended"): _A.ACTIVE,
    (_A.ACTIVE, "StagedAmended"): _A.ACTIVE,
    (_A.ACTIVE, "NoticesDelivered"): _A.ACTIVE,
    (_A.ACTIVE, "Promoted"): _A.ACTIVE,
    (_A.ACTIVE, "Blocked"): _A.ACTIVE,
    (_A.ACTIVE, "Restarted"): _A.ACTIVE,
    (_A.ACTIVE, "Finished"): _A.FINISHED,
    (_A.ACTIVE, "AbortBegun"): _A.ABORTING,
    (_A.ACTIVE, "Aborted"): _A.ABORTED,
    # A finished agent that is told something, or does something, is at work again (rule 7).
    (_A.FINISHED, "CallObserved"): _A.ACTIVE,
    (_A.FINISHED, "CallStaged"): _A.ACTIVE,
    (_A.FINISHED, "CallBegun"): _A.ACTIVE,
    (_A.FINISHED, "CallUndone"): _A.ACTIVE,
    (_A.FINISHED, "CallAmended"): _A.ACTIVE,
    (_A.FINISHED, "StagedAmended"): _A.ACTIVE,
    (_A.FINISHED, "NoticesDelivered"): _A.ACTIVE,
    (_A.FINISHED, "Attached"): _A.FINISHED,
    (_A.FINISHED, "Said"): _A.FINISHED,
    (_A.FINISHED, "Promoted"): _A.FINISHED,
    (_A.FINISHED, "Restarted"): _A.ACTIVE,
    (_A.FINISHED, "Committed"): _A.COMMITTED,
    (_A.FINISHED, "AbortBegun"): _A.ABORTING,
    (_A.FINISHED, "Aborted"): _A.ABORTED,
    # Its calls are taken back one by one (rule 8), whoever does it; an amendment that had begun ends first.
    (_A.ABORTING, "Attached"): _A.ABORTING,
    (_A.ABORTING, "CallUndone"): _A.ABORTING,
    (_A.ABORTING, "CallAmended"): _A.ABORTING,
    (_A.ABORTING, "Aborted"): _A.ABORTED,
}
"""(phase, event) to the agent's next phase."""

CALL_PHASES: Final[Mapping[tuple[CallPhase, str], CallPhase]] = {
    (_C.STAGED, "RunBegun"): _C.RUNNING,
    (_C.STAGED, "StagedAmended"): _C.STAGED,
    (_C.STAGED, "CallUndone"): _C.WITHDRAWN,
    (_C.RUNNING, "CallRan"): _C.STANDING,
    (_C.RUNNING, "CallReexecuted"): _C.STANDING,
    (_C.RUNNING, "CallAmended"): _C.STANDING,
    (_C.RUNNING, "RunBegun"): _C.RUNNING,
    (_C.RUNNING, "RunLost"): _C.UNKNOWN,
    # It is heard of all the same, somebody says what has become of it, or it runs again under its old name.
    (_C.UNKNOWN, "CallRan"): _C.STANDING,
    (_C.UNKNOWN, "CallReexecuted"): _C.STANDING,
    (_C.UNKNOWN, "CallAmended"): _C.STANDING,
    (_C.UNKNOWN, "RunBegun"): _C.RUNNING,
    (_C.STANDING, "CallReexecuted"): _C.STANDING,
    (_C.STANDING, "CallAmended"): _C.STANDING,
    (_C.STANDING, "CallUndone"): _C.WITHDRAWN,
    (_C.STANDING, "RunBegun"): _C.RUNNING,
    (_C.STANDING, "ReversalBegun"): _C.REVERSING,
    (_C.REVERSING, "CallReversed"): _C.REVERSED,
    (_C.REVERSING, "CallUndone"): _C.WITHDRAWN,
    (_C.REVERSING, "RunBegun"): _C.RUNNING,
    (_C.REVERSING, "ReversalFailed"): _C.STANDING,
    (_C.REVERSED, "RunBegun"): _C.RUNNING,
    (_C.REVERSED, "CallReexecuted"): _C.STANDING,
    (_C.REVERSED, "CallAmended"): _C.STANDING,
    (_C.REVERSED, "CallUndone"): _C.WITHDRAWN,
    # Its agent knows that it failed: to run it again is a trial, and only an amendment brings it back.
    (_C.LAPSED, "CallReexecuted"): _C.LAPSED,
    (_C.LAPSED, "RunBegun"): _C.RUNNING,
    (_C.LAPSED, "CallAmended"): _C.STANDING,
    (_C.LAPSED, "CallUndone"): _C.WITHDRAWN,
}
"""(phase, event) to the call's next phase. A call whose agent is told that it failed has LAPSED thereby."""
