"""What the kernel wants done: one struct, `Ready`, and the duties that go with each of its fields.

The contract is that of a replicated-log core: events in (`step`), outstanding work out (`ready`), and each
piece of work answered by an event. `ready` speaks of what is outstanding, not of what is new, so asking twice
or after a crash is harmless.
"""

from __future__ import annotations

from typing import NamedTuple

from coagent.protocol.calls import Call
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


class Effect(NamedTuple):
    """A change that a target needs: make `value` the live value of the object.

    Args:
        key: The object.
        value: Its whole new value, None to delete it.
        expected: Every value that the target may hold now (it may lag behind several versions).
        version: Names this value in the answering `EffectApplied` or `EffectRefused`.
    """

    key: Key
    value: Value
    expected: tuple[Value, ...]
    version: int


class Ready(NamedTuple):
    """The outstanding work, to be done in the order of the fields.

    Args:
        reexecute: The lowest call whose premises moved. Run it again at its position and append
            `CallReexecuted` BEFORE any effect is applied, so that the live state moves straight to the end.
        apply: Effects. The events that caused them are in the log already; put them, then append
            `EffectApplied`, or `EffectRefused` where the target will not have the value.
        run: A staged call whose turn has come. Append `StagedStarted` BEFORE it runs, `StagedRan` after.
    """

    reexecute: Call | None
    apply: tuple[Effect, ...]
    run: Call | None
