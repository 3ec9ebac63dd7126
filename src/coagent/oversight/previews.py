"""What taking back would change, as the kernel has it: tried on a copy of its state, so nothing happens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from coagent.errors import ConfigurationError
from coagent.protocol.calls import Call, CallId
from coagent.protocol.checkpoint import restore, state_of
from coagent.protocol.events import CallUndone
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.values import UNLOADED, Value, same
from coagent.runtime.protocols import PROTOCOLS
from coagent.runtime.watch import Watch


@dataclass(frozen=True)
class Preview:
    """What would come of taking calls back, before what rests on them has run again.

    Args:
        undone: The calls that would be gone.
        kept: Those that cannot be taken back.
        live: The objects whose live values would be others: what each is, and would be.
        again: The calls that would run again, and may then change more.
        reversed_outside: Whether a declared tool would take something back in its system, unseen.
    """

    undone: list[CallId] = field(default_factory=list)
    kept: list[CallId] = field(default_factory=list)
    live: dict[Key, tuple[Value, Value]] = field(default_factory=dict)
    again: list[CallId] = field(default_factory=list)
    reversed_outside: bool = False


def preview(watch: Watch, calls: Sequence[CallId]) -> Preview:
    """Try to take calls back, newest first, on a copy of a kernel's state.

    Args:
        watch: The domain as its log tells of it; nothing of it changes.
        calls: The calls, oldest first.

    Raises:
        ConfigurationError: The domain's protocol has no state that can be copied.
    """
    if not watch.kernel.resumable:
        raise ConfigurationError(f"what would change is not known under protocol {watch.protocol!r}")
    copy = PROTOCOLS[watch.protocol](early=watch.kernel.early)
    restore(copy, state_of(watch.kernel))
    copy.take_live_changes()
    dirty = {call.id for call in _calls(copy.agents.values()) if copy.is_dirty(call)}
    before: dict[Key, Value] = {}
    undone: list[CallId] = []
    kept: list[CallId] = []
    unseen = False
    for call_id in reversed(calls):
        call = copy.call(call_id)
        if call is None:
            continue
        if not call.reversible or copy.objection(CallUndone(call_id)) is not None:
            kept.append(call_id)
            continue
        unseen = unseen or call.applied
        for key in () if call.declared else call.writes:
            before.setdefault(key, copy.live_value(key))
        copy.step(CallUndone(call_id))
        undone.append(call_id)
    live = {}
    for key, value in before.items():
        now = copy.live_value(key)
        if UNLOADED not in (value, now) and not same(value, now):
            live[key] = (value, now)
    again = [call.id for call in _calls(copy.agents.values()) if copy.is_dirty(call) and call.id not in dirty]
    return Preview(undone, kept, live, again, unseen)


def _calls(agents: Iterable[Participant]) -> list[Call]:
    return [call for agent in agents for call in agent.calls.values()]
