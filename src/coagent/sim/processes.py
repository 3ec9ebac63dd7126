"""Processes of the simulation: domains over one log, each in a task of its own, that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from anyio.abc import TaskGroup

from coagent.runtime.domain import Domain


@contextmanager
def watched_over(seconds_max: float) -> Iterator[None]:
    """Cancel everything after a while, even what is shielded: a domain that hangs is not left otherwise."""

    def end() -> None:
        for task in asyncio.all_tasks():
            task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds_max, end)
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
