"""Processes of the simulation: domains over one log, each in a task of its own, that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from anyio.abc import TaskGroup

from coagent.runtime.domain import Domain


@contextmanager
def watched_over(seconds_max: float, progress: Callable[[], int], progress_max: int) -> Iterator[None]:
    """Cancel everything, even what is shielded, once nothing happens: what hangs is not left otherwise.

    Args:
        seconds_max: How long nothing may happen. A slow machine is no failure as long as something does.
        progress: How much has happened.
        progress_max: How much may: beyond, it goes on for ever.
    """
    loop, seen = asyncio.get_running_loop(), -1
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal seen, timer
        now = progress()
        if seen < now <= progress_max:
            seen, timer = now, loop.call_later(seconds_max, look)
            return
        for task in asyncio.all_tasks():
            task.cancel()

    timer = loop.call_later(seconds_max, look)
    try:
        yield
    finally:
        timer.cancel()


class Process:
    """One process of a domain.

    Args:
        make: Makes its domain, not opened yet.
    """

    def __init__(self, make: Callable[[], Domain]) -> None:
        self._make = make
        self._domain: Domain | None = None
        self._stop = anyio.Event()
        self._stopped = anyio.Event()
        self._failure: Exception | None = None

    @property
    def domain(self) -> Domain:
        """Its domain, open."""
        assert self._domain is not None, "the process has been started"
        return self._domain

    async def start(self, tasks: TaskGroup) -> None:
        """Open its domain.

        Raises:
            CoAgentError: It cannot be opened.
        """
        self._stop, self._stopped, self._failure = anyio.Event(), anyio.Event(), None
        started = anyio.Event()
        tasks.start_soon(self._live, started)
        await started.wait()
        self._raise()

    async def _live(self, started: anyio.Event) -> None:
        try:
            async with self._make() as domain:
                self._domain = domain
                started.set()
                await self._stop.wait()
        except Exception as failure:
            self._failure = failure
        finally:
            started.set()
            self._stopped.set()

    async def end(self) -> None:
        """Close its domain."""
        self._stop.set()
        await self._stopped.wait()
        self._raise()

    async def kill(self) -> None:
        """End it at once: what it had not recorded is lost."""
        self.domain.abandon()
        self._stop.set()
        await self._stopped.wait()

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
