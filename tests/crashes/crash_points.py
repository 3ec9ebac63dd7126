"""Where a process is killed, or stopped: it does that to itself, at the n-th point of a kind."""

from __future__ import annotations

import mmap
import os
import signal
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from crash_plan import Shot

from coagent.log.base import Log
from coagent.runtime.deciding import Decisions
from coagent.runtime.domain import Domain, _Open
from coagent.runtime.recovery import Recovery
from coagent.runtime.tenure import Tenure, awake_s
from coagent.targets.base import Target
from coagent_lab.sim.crash import MortalLog

_SLOT = struct.Struct("=d?xxxxxxx")
SLOTS = 8


class Board:
    """What the processes of a run and the one that watches over them tell each other, in shared memory."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOT.size * (SLOTS + 1))

    def _get(self, slot: int) -> tuple[float, bool]:
        return _SLOT.unpack_from(self._memory, slot * _SLOT.size)

    def _set(self, slot: int, asleep_s: float, flag: bool) -> None:
        _SLOT.pack_into(self._memory, slot * _SLOT.size, asleep_s, flag)

    def asleep_s(self, slot: int) -> float:
        """Return for how long a process has stood still beside the real time that has passed, in seconds."""
        return self._get(slot)[0]

    def sleep(self, slot: int, seconds: float) -> None:
        """Let time pass for a process that stands still."""
        self._set(slot, self.asleep_s(slot) + seconds, self.busy(slot))

    def busy(self, slot: int) -> bool:
        """Tell whether a process must not be stopped just now."""
        return self._get(slot)[1]

    def set_busy(self, slot: int, busy: bool) -> None:
        """Say so."""
        self._set(slot, self.asleep_s(slot), busy)

    @property
    def open(self) -> bool:
        """Whether a person may decide: everybody who has begun something is either dead or at work."""
        return self._get(SLOTS)[1]

    @open.setter
    def open(self, value: bool) -> None:
        self._set(SLOTS, 0.0, value)


class Points:
    """Counts the points of one process, and ends it at one of them.

    Args:
        shot: Which; None: it lives.
        busy: Tells whether a stop would not be fair, since something has asked whether it may act.
    """

    def __init__(self, shot: Shot | None, busy: Callable[[], bool] = lambda: False) -> None:
        self._shot, self._busy = shot, busy
        self.counts: Counter[str] = Counter()

    def pass_(self, point: str, *, may_stop: bool = True) -> None:
        """Pass a point.

        Args:
            point: Its kind.
            may_stop: Whether a stop is fair here; if not, it comes at the next point of its kind.
        """
        self.counts[point] += 1
        shot = self._shot
        if shot is None or shot.point != point or self.counts[point] < shot.nth:
            return
        if shot.signal is signal.SIGSTOP and (not may_stop or self._busy()):
            return
        self._shot = None
        os.kill(os.getpid(), shot.signal)

    # what `MortalLog` asks of a body

    async def pass_point(self) -> None:
        """Pass a point at the log."""
        self.pass_("append")

    def live(self) -> None:
        """Go on."""


class CrashDomain(Domain):
    """A domain whose process passes points, and whose clock goes on while it stands still."""

    points: Points
    clock_s: Callable[[], float] = staticmethod(awake_s)
    log_made: Callable[[Log], Log] = staticmethod(lambda log: log)
    """Puts something between the domain and its log, to see what is noticed."""

    async def _assembled(self, log: Log) -> _Open:
        return await super()._assembled(self.log_made(MortalLog(log, self.points)))  # type: ignore[arg-type]

    def _tenure(self, log: Log) -> Tenure:
        return Tenure(log, now_s=self.clock_s)


def with_points(target: Target, points: Points) -> Target:
    """Return a target with points before and after each put."""
    put, put_many = target.put, target.put_many

    async def putting(key: Any, value: Any, *, expected: Sequence[Any]) -> None:
        points.pass_("put")
        await put(key, value, expected=expected)
        points.pass_("put")

    async def putting_many(changes: Any) -> None:
        points.pass_("put")
        await put_many(changes)
        points.pass_("put")

    target.put, target.put_many = putting, putting_many  # type: ignore[method-assign]
    return target


def watch_recovery(points: Points) -> None:
    """Put points before and after each step of a recovery; in a process that was forked for it."""

    def watched(act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def acting(*arguments: Any, **options: Any) -> Any:
            points.pass_("recover")
            result = await act(*arguments, **options)
            points.pass_("recover")
            return result

        return acting

    for of, names in (
        (Recovery, ("_take_from", "_adopt", "_go_on", "_end")),
        (Decisions, ("_find_out", "_record", "_drop", "_resolve_object")),
    ):
        for name in names:
            setattr(of, name, watched(getattr(of, name)))
