"""Time for agents: the real clock, and a virtual one that jumps to the next deadline when everybody waits."""

from __future__ import annotations

import heapq
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from coagent.errors import CoAgentError


class Clock(ABC):
    """What agents and waits need of time."""

    @abstractmethod
    def now_s(self) -> float:
        """Return seconds since an arbitrary start."""

    def moment_s(self) -> float:
        """Return the same, at next to no cost, for how long things take; nothing is decided by it."""
        return self.now_s()

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""

    @abstractmethod
    async def wait(self, event: anyio.Event) -> None:
        """Return when the event is set."""

    @asynccontextmanager
    async def participant(self) -> AsyncIterator[None]:
        """Hold while a task lives whose thinking takes time; a virtual clock needs to know them all."""
        yield


class RealClock(Clock):
    """Wall-clock time."""

    def now_s(self) -> float:
        return anyio.current_time()

    def moment_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def wait(self, event: anyio.Event) -> None:
        await event.wait()


class VirtualClock(Clock):
    """Discrete-event time: it stands still while any participant works and jumps when all of them wait.

    Deadlines that coincide are served in the order in which they were set, so a run is deterministic.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._participants = 0
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._waits: dict[int, anyio.Event] = {}
        self._numbers = itertools.count()

    def now_s(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        event = anyio.Event()
        heapq.heappush(self._sleepers, (self._now + max(seconds, 0.0), next(self._numbers), event))
        self._maybe_advance()
        await event.wait()

    async def wait(self, event: anyio.Event) -> None:
        number = next(self._numbers)
        self._waits[number] = event
        try:
            self._maybe_advance()
            await event.wait()
        finally:
            del self._waits[number]

    @asynccontextmanager
    async def participant(self) -> AsyncIterator[None]:
        self._participants += 1
        try:
            yield
        finally:
            self._participants -= 1
            self._maybe_advance()

    def _maybe_advance(self) -> None:
        waiting = sum(not event.is_set() for event in self._waits.values())
        if len(self._sleepers) + waiting < self._participants or self._participants == 0:
            return
        if not self._sleepers:
            raise CoAgentError(
                "every agent waits for another one and none can go on",
                "This is a defect of CoAgent: report it.",
            )
        self._now, _, event = heapq.heappop(self._sleepers)
        event.set()
