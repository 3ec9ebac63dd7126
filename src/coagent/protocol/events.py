"""What the kernel is told, and what the log records: frozen inputs, one class an event.

Every event is legal at the head of the log when it is appended (`legality.py`), so replaying a log rebuilds
the kernel exactly. `rank` names the agent: names may be used again once their agent has ended, ranks may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from coagent.protocol.calls import CallId, Cause, Footprint, Observation, Rank
from coagent.protocol.keys import Key
from coagent.protocol.values import Value

OnDeath: TypeAlias = Literal["abort", "commit", "keep"]
"""What becomes of an unfinished agent whose owner has died: "commit": what is complete counts as finished."""


class Joined(NamedTuple):
    """An agent takes its place in the order; a pinned one is passed by nobody (rule 10).

    Its place is that of its rank, or right after that of another agent: so a sub-agent works between what its
    parent did before and what that does after. It is its owner's, which is whoever has the log open; empty
    where nobody else can have.
    """

    agent: str
    rank: Rank
    pinned: bool = False
    after: Rank | None = None
    owner: str = ""
    on_death: OnDeath = "abort"


class Attached(NamedTuple):
    """An agent is another owner's from now on, or nobody's (empty) until somebody takes it up."""

    rank: Rank
    owner: str
    on_death: OnDeath = "abort"


class Said(NamedTuple):
    """What an agent said, in one line, or what it is to reach: for people who look on. No rule looks at it.

    `ago_ms` is how long before it was recorded that was, in milliseconds.
    """

    rank: Rank
    text: str
    goal: bool = False
    ago_ms: int = 0


class CallObserved(NamedTuple):
    """A call ran at the end of its agent's sequence (rules 1 and 2); also one that failed.

    How long it took (None: not known) and how long ago it had ended when it was recorded is in milliseconds;
    for people who look on, as in the other events that have it.
    """

    rank: Rank
    tool: str
    arguments: Mapping[str, Value]
    observation: Observation
    irreversible: bool = False
    took_ms: int | None = None
    ago_ms: int = 0


class CallStaged(NamedTuple):
    """An irreversible call took its position without running (rule 6)."""

    rank: Rank
    tool: str
    arguments: Mapping[str, Value]


class CallBegun(NamedTuple):
    """A call took its position and is about to run: it may have an effect from here on, unseen.

    `owner` runs it. `intent` names the run for ever, for the tool: where it runs again because nobody knows
    whether it has, it has the same name.
    """

    rank: Rank
    tool: str
    arguments: Mapping[str, Value]
    footprint: Footprint
    irreversible: bool = False
    owner: str = ""
    intent: str = ""


class RunBegun(NamedTuple):
    """The same for a call that has its position: a staged one, or a declared one that has to run again.

    Where it is amended, it has other arguments from then on. Whoever runs it may say once more that it has
    begun, with what is needed to take it back. What may have run of an agent that has ended is seen to like
    that as well, if it can be taken back.
    """

    call_id: CallId
    footprint: Footprint
    owner: str = ""
    intent: str = ""
    arguments: Mapping[str, Value] | None = None
    prepared: Value = None


class RunLost(NamedTuple):
    """Whoever ran a call has died meanwhile: nobody knows whether it has had its effect."""

    call_id: CallId


class CallRan(NamedTuple):
    """A call whose run had begun ran, at its position."""

    call_id: CallId
    observation: Observation


class CallReexecuted(NamedTuple):
    """A call ran again on its new prefix (rules 2 and 3); one that failed has no writes any more."""

    call_id: CallId
    observation: Observation
    took_ms: int | None = None


class ReversalBegun(NamedTuple):
    """The effect of a declared call is about to be taken back; nobody else touches what it touched."""

    call_id: CallId
    footprint: Footprint
    owner: str = ""


class CallReversed(NamedTuple):
    """The effect of a declared call was taken back, to make room below it; it has to run again."""

    call_id: CallId
    cause: Cause


class ReversalFailed(NamedTuple):
    """The effect of a declared call could not be taken back: what its system holds now is not known."""

    call_id: CallId
    error: str


class CallUndone(NamedTuple):
    """An agent withdrew one of its own calls (rule 5), or a person did, whose name it is then."""

    call_id: CallId
    person: str = ""


class CallAmended(NamedTuple):
    """An agent replaced one of its own calls in place (rule 5).

    `heard` says whether the agent knows: it does not where its call had failed, was tried again, and stands
    because what the trial has done could not be taken back.
    """

    call_id: CallId
    arguments: Mapping[str, Value]
    observation: Observation
    heard: bool = True
    took_ms: int | None = None


class StagedAmended(NamedTuple):
    """An agent replaced the arguments of a call that is staged."""

    call_id: CallId
    arguments: Mapping[str, Value]


class NoticesDelivered(NamedTuple):
    """The agent was told what these calls return now (rule 4), and what has become of these objects."""

    rank: Rank
    call_ids: tuple[CallId, ...]
    keys: tuple[Key, ...] = ()


class Finished(NamedTuple):
    """The agent has nothing more to do unless it is notified (rule 7)."""

    rank: Rank


class Promoted(NamedTuple):
    """The agent passes those below it, with which it has nothing to do (rule 10): its order is lower now."""

    rank: Rank
    order: int


class Committed(NamedTuple):
    """The agent's turn has come: what it wrote is part of the base (rule 7)."""

    rank: Rank


class AbortBegun(NamedTuple):
    """An agent is about to be aborted: what only its tools can take back is taken back first (rule 8).

    Nothing but its end may follow. It is whoever's who ends it from then on: should they die, it is ended by
    whoever comes next.
    """

    rank: Rank
    reason: str
    owner: str = ""


class Aborted(NamedTuple):
    """The agent ends and all its calls are withdrawn, but for what cannot be taken back (rule 8)."""

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


class Stuck(NamedTuple):
    """The target will not take back a version that it has held: a person has to decide."""

    key: Key
    version: int
    error: str


class Resolved(NamedTuple):
    """A person has decided about a stuck object: to try again, or to accept what its target holds."""

    key: Key
    how: Literal["retry", "accept"]
    value: Value = None


class OutsideWrite(NamedTuple):
    """The live value is one that no call wrote (rule 9).

    `behind` is for a host's own copy that had yet to take the live value: what it held before somebody
    changed it, and what it was to hold. The change is the difference from the former. `person` put it there
    by CoAgent's own means, or has accepted it; that is recorded of objects that nobody at work has touched
    as well.
    """

    key: Key
    value: Value
    behind: tuple[Value, ...] = ()
    person: str = ""


Event: TypeAlias = (
    Joined
    | Attached
    | Said
    | CallObserved
    | CallStaged
    | CallBegun
    | RunBegun
    | RunLost
    | CallRan
    | CallReexecuted
    | ReversalBegun
    | CallReversed
    | ReversalFailed
    | CallUndone
    | CallAmended
    | StagedAmended
    | NoticesDelivered
    | Finished
    | Promoted
    | Committed
    | AbortBegun
    | Aborted
    | Blocked
    | Restarted
    | EffectApplied
    | EffectRefused
    | Stuck
    | Resolved
    | OutsideWrite
)
