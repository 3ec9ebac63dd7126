"""Tasks of a domain that outlive the call that set them off, and end with the domain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")
_CLOSE_S_MAX = 10.0
"""How long the end of a domain waits, in seconds; what is not done by then is not known to be done."""


class Tasks:
    """Runs things in the background of a domain.

    What has begun in a system that nobody can see into is carried to its end, whatever becomes of who began
    it.
    """

    def __init__(self) -> None:
        self._group: TaskGroup | None = None
        self._carried = 0
        self._ended: anyio.Event | None = None

    async def open(self) -> None:
        """Begin; ended by `close` in the same task."""
        self._group = anyio.create_task_group()
        await self._group.__aenter__()

    async def close(self, *, at_once: bool = False) -> None:
        """Wait for what has to come to its end, and cancel the rest.

        Args:
            at_once: Do not wait.
        """
        assert self._group is not None, "tasks are closed after they were opened"
        with anyio.move_on_after(0 if at_once else _CLOSE_S_MAX, shield=True):
            await self.settled()
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)
        self._group = None

    async def settled(self) -> None:
        """Return when nothing is being carried to its end."""
        while self._carried:
            self._ended = self._ended or anyio.Event()
            await self._ended.wait()

    def start(self, act: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Start something that may be cancelled when the domain is closed; it must not raise."""
        assert self._group is not None, "the domain is open"
        self._group.start_soon(act, *arguments)

    async def carry(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do something that goes on to its end even if the caller is cancelled.

        Raises:
            Exception: What `act` raised.
        """
        assert self._group is not None, "the domain is open"
        done = anyio.Event()
        results: list[T] = []
        failures: list[Exception] = []

        async def run() -> None:
            try:
                with anyio.CancelScope(shield=True):
                    results.append(await act())
            except Exception as failure:
                failures.append(failure)
            finally:
                done.set()
                self._carried -= 1
                if self._ended is not None:
                    self._ended.set()
                    self._ended = None

        self._carried += 1
        self._group.start_soon(run)
        await done.wait()
        if failures:
            raise failures[0]
        return results[0]
