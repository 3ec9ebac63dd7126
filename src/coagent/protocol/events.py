"""What the kernel is told, and what the log records: frozen inputs, one class an event.

Every event was valid at the head of the log when it was appended, so replaying a log rebuilds the kernel
exactly. `rank` names the agent: names may be used again once their agent has ended, ranks may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from coagent.protocol.calls import Cause, Observation, Rank
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


class Joined(NamedTuple):
    """An agent takes its place in the order."""

    agent: str
    rank: Rank


class CallObserved(NamedTuple):
    """A call ran at the end of its agent's sequence (rules 1 and 2); also one that failed."""

    rank: Rank
    tool: str
    arguments: Mapping[str, Value]
    observation: Observation
    irreversible: bool = False


class CallStaged(NamedTuple):
    """An irreversible call took its position without running (rule 6)."""

    rank: Rank
    tool: str
    arguments: Mapping[str, Value]


class StagedStarted(NamedTuple):
    """A staged call is about to run: from here on it may have had its effect."""

    call_id: str


class StagedRan(NamedTuple):
    """A staged call ran, at its position."""

    call_id: str
    observation: Observation


class CallReexecuted(NamedTuple):
    """A call ran again on its new prefix (rules 2 and 3); an observation with an error withdraws it."""

    call_id: str
    observation: Observation


class CallReversed(NamedTuple):
    """The effect of a declared call was taken back, to make room below it; it has to run again."""

    call_id: str
    cause: Cause


class CallUndone(NamedTuple):
    """An agent withdrew one of its own calls (rule 5)."""

    call_id: str


class CallAmended(NamedTuple):
    """An agent replaced one of its own calls in place (rule 5)."""

    call_id: str
    arguments: Mapping[str, Value]
    observation: Observation


class StagedAmended(NamedTuple):
    """An agent replaced the arguments of a call that is staged."""

    call_id: str
    arguments: Mapping[str, Value]


class NoticesDelivered(NamedTuple):
    """The agent was told what these of its calls return now (rule 4): that is its premise from here on."""

    rank: Rank
    call_ids: tuple[str, ...]


class Finished(NamedTuple):
    """The agent has nothing more to do unless it is notified (rule 7)."""

    rank: Rank


class Aborted(NamedTuple):
    """The agent ends and all its calls are withdrawn (rule 8)."""

    rank: Rank
    reason: str


class Blocked(NamedTuple):
    """A call has to wait for locks that these agents hold (two-phase locking only)."""

    rank: Rank
    by: tuple[Rank, ...]


class Restarted(NamedTuple):
    """All calls of the agent were withdrawn and it begins again (two-phase locking, optimistic control)."""

    rank: Rank


class EffectApplied(NamedTuple):
    """The target holds this version of the object's live value."""

    key: Key
    version: int


class EffectRefused(NamedTuple):
    """The target will not hold this version: the call that wrote it has failed."""

    key: Key
    version: int
    error: str


class OutsideWrite(NamedTuple):
    """The live value is one that no call wrote: a write below every active rank (rule 9)."""

    key: Key
    value: Value


Event: TypeAlias = (
    Joined
    | CallObserved
    | CallStaged
    | StagedStarted
    | StagedRan
    | CallReexecuted
    | CallReversed
    | CallUndone
    | CallAmended
    | StagedAmended
    | NoticesDelivered
    | Finished
    | Aborted
    | Blocked
    | Restarted
    | EffectApplied
    | EffectRefused
    | OutsideWrite
)
