"""What the kernel wants done: one struct, `Ready`, and the duties that go with each of its fields.

The contract is that of a replicated-log core: events in (`step`), outstanding work out (`ready`), and each
piece of work answered by an event. `ready` speaks of what is outstanding, not of what is new, so asking twice
or after a crash is harmless.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from coagent.protocol.calls import Call, Rank
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


class Effect(NamedTuple):
    """A change that a target needs: make `value` the live value of the object.

    Args:
        key: The object.
        value: Its whole new value, None to delete it.
        expected: Every value that the target may hold now (it may lag behind several versions).
        version: Names this value in the answering `EffectApplied`, `EffectRefused` or `Stuck`.
    """

    key: Key
    value: Value
    expected: tuple[Value, ...]
    version: int


class LiveChange(NamedTuple):
    """A live value is another one, for those who keep a copy of their own of what targets hold.

    Args:
        key: The object.
        value: Its whole new value, None where it does not exist any more.
        held: Every value that its target might have held just before.
    """

    key: Key
    value: Value
    held: tuple[Value, ...]


class Ready(NamedTuple):
    """The outstanding work. The fields do not wait for each other, but for what is said here.

    Args:
        reexecute: Calls whose premises moved, lowest position first, none of which rests on another one's
            outcome as far as can be told. Run each again at its position and append `CallReexecuted`.
        apply: Effects. The events that caused them are in the log already; put them, then append
            `EffectApplied`, or `EffectRefused` where the target will not have the value. What a call that is
            to run again has written is not among them: the live state moves straight to the end.
        promote: An agent that may pass those below it (rule 10), with its new order. Append `Promoted`
            BEFORE its staged calls run.
        run: A staged call whose turn has come. Append `RunBegun` BEFORE it runs, `CallRan` after.
        commit: An agent whose turn has come. Look at its premises in their targets BEFORE appending
            `Committed`: what somebody outside has changed meanwhile is an `OutsideWrite` first (rule 9).
    """

    reexecute: tuple[Call, ...] = ()
    apply: tuple[Effect, ...] = ()
    promote: tuple[Rank, int] | None = None
    run: Call | None = None
    commit: Rank | None = None


class Gate(Enum):
    """What becomes of an irreversible call that an agent wants to make now (rule 6).

    RUN: it may run: nothing that is still open can change what it rests on.
    STAGE: it takes its position and runs when its agent commits.
    TELL: its agent has to read a notice first.
    FIRST: a call staged before it has to run first.
    WAIT: agents before it have not ended.
    """

    RUN = "run"
    STAGE = "stage"
    TELL = "tell"
    FIRST = "first"
    WAIT = "wait"


class Obstacles(NamedTuple):
    """What stands in the way of a declared call that wants to run, or to be reversed, at a position.

    Args:
        wait_for: Calls that touch the same and are under way, or have to run again below it.
        reverse: Applied calls above it that touch the same, in the order in which to reverse them.
        fixed: Those of them that cannot be reversed, because they are irreversible.
    """

    wait_for: tuple[Call, ...]
    reverse: tuple[Call, ...]
    fixed: tuple[Call, ...]
