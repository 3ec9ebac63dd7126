"""The product, broken on purpose: what a crash test is good for is seen by what it notices.

Each break takes the domain of one process before it is opened; the process was forked for it. Seen to fail,
of seeds from 9000 on, on files and SQLite with a SQLite log:

    no_fence        1 of 40, with shots of all kinds
    no_last_look    2 of 40, with shots of all kinds
    no_late_puts    4 of 40, with `--point put --way stop`
    applied_first   6 of 20, with `--point put --way kill`
    intent_last     14 of 30, with `--point run --way kill --processes 1`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crash_points import CrashDomain

from coagent.log.base import HeadMoved, Log
from coagent.protocol.events import CallBegun, Event, RunBegun
from coagent.runtime.deciding import Decisions
from coagent.runtime.effects import Effects
from coagent.runtime.late_puts import LatePuts
from coagent.runtime.recorder import Recorder
from coagent.runtime.recovery import Recovery
from coagent.runtime.tenure import Tenure
from coagent_lab.sim.crash import MortalLog


def no_fence(domain: CrashDomain) -> None:
    """Whoever was thought to be dead goes on as if nothing had been."""

    async def require(_self: Tenure, _owner: str) -> None:
        return

    Tenure.require = require  # type: ignore[method-assign]
    Recorder._check_owner = lambda _self, _event: None  # type: ignore[method-assign]
    Recorder.require_served = lambda _self, _agent: None  # type: ignore[method-assign]


def no_last_look(domain: CrashDomain) -> None:
    """Nobody asks, just before something is done that cannot be taken back, whether they count as alive."""

    async def require(_self: Tenure, _owner: str) -> None:
        return

    Tenure.require = require  # type: ignore[method-assign]


def no_late_puts(domain: CrashDomain) -> None:
    """Nobody notices that a put has arrived after what it was for was over."""

    async def is_current(_self: Effects, _effects: Sequence[Any]) -> bool:
        return True

    LatePuts.was_late = lambda _self, _key, _version: False  # type: ignore[method-assign]
    Effects._is_current = is_current  # type: ignore[method-assign]


def applied_first(domain: CrashDomain) -> None:
    """That a target holds a value is recorded before it does."""
    put = Effects._put

    async def putting(self: Effects, target: Any, effects: Any) -> bool:
        for effect in effects:
            self._expect(effect.key, effect.version, effect.value)
        self._acknowledge(effects)
        await self._recorder.flush()
        return await put(self, target, effects)

    Effects._put = putting  # type: ignore[method-assign]


class _Late(MortalLog):
    """A log that is told of what begins when it has ended."""

    def __init__(self, log: Log) -> None:
        self._kept: list[Event] = []
        super().__init__(log, log._body)  # type: ignore[attr-defined]  # it is a mortal one

    async def append(self, events: Sequence[Event]) -> None:
        if all(isinstance(event, CallBegun | RunBegun) for event in events):
            if self._log.stale():
                raise HeadMoved
            self._kept += events
            return
        await self._log.append([*self._kept, *events])
        self._kept.clear()


def intent_last(domain: CrashDomain) -> None:
    """That something that cannot be taken back begins is recorded once it has ended."""
    domain.log_made = _Late  # type: ignore[method-assign]


def tries_again(domain: CrashDomain) -> None:
    """What may have run is run again, whatever it was."""
    begin = Decisions.begin

    def beginning(self: Decisions) -> None:
        for call in self._parts.kernel.unknown:
            tool = self._parts.catalog.find(call.tool)
            if tool is not None:
                tool.probe, tool.idempotent = None, True
        begin(self)

    Decisions.begin = beginning  # type: ignore[method-assign]


def forgets(domain: CrashDomain) -> None:
    """What was under way when its process died counts as not run."""

    async def take_from(self: Recovery, owner: str) -> None:
        from coagent.protocol.calls import Observation
        from coagent.protocol.events import CallRan
        from coagent.protocol.phases import CallPhase

        for call in self._parts.kernel.left_by(owner)[1]:
            if call.phase is CallPhase.RUNNING:
                failed = Observation.failed("it has not run")
                await self._parts.recorder.record(lambda: CallRan(call.id, failed))  # noqa: B023
        await taking(self, owner)

    taking = Recovery._take_from
    Recovery._take_from = take_from  # type: ignore[method-assign]


BREAKS: Mapping[str, Callable[[CrashDomain], None]] = {
    "no_fence": no_fence,
    "no_last_look": no_last_look,
    "no_late_puts": no_late_puts,
    "applied_first": applied_first,
    "intent_last": intent_last,
    "tries_again": tries_again,
    "forgets": forgets,
}
"""By name."""
