"""Tasks of a domain that outlive the call that set them off, and end with the domain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from coagent.errors import CoAgentError

T = TypeVar("T")
_CLOSE_S_MAX = 10.0
"""How long the end of a domain waits, in seconds; what is not done by then is not known to be done."""


class Caller:
    """Who has set something off that may have to wait before it begins."""

    gone = False
    """Whether it was cancelled, and has heard of nothing."""

    def require(self) -> None:
        """Refuse to begin what nobody waits for: whoever comes in the caller's place knows nothing of it.

        Raises:
            CoAgentError: The caller is gone.
        """
        if self.gone:
            raise CoAgentError("whoever set it off is gone, and it has not begun")


class Tasks:
    """Runs things in the background of a domain.

    What has begun in a system that nobody can see into is carried to its end, whatever becomes of who began
    it.
    """

    def __init__(self) -> None:
        self._group: TaskGroup | None = None
        self._shields: set[anyio.CancelScope] = set()
        """Around what is being carried to its end."""
        self._ended: anyio.Event | None = None

    async def open(self) -> None:
        """Begin; ended by `close` in the same task."""
        self._group = anyio.create_task_group()
        await self._group.__aenter__()

    async def close(self, *, at_once: bool = False) -> None:
        """Wait for what has to come to its end, as long as may be, and cancel the rest.

        Args:
            at_once: Do not wait.
        """
        assert self._group is not None, "tasks are closed after they were opened"
        with anyio.move_on_after(0 if at_once else _CLOSE_S_MAX, shield=True):
            await self.settled()
        for scope in self._shields:  # whatever hangs in there
            scope.cancel()
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)
        self._group = None

    async def settled(self) -> None:
        """Return when nothing is being carried to its end."""
        while self._shields:
            self._ended = self._ended or anyio.Event()
            await self._ended.wait()

    def start(self, act: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Start something that may be cancelled when the domain is closed; it must not raise."""
        assert self._group is not None, "the domain is open"
        self._group.start_soon(act, *arguments)

    async def carry(self, act: Callable[[], Awaitable[T]], caller: Caller | None = None) -> T:
        """Do something that goes on to its end even if the caller is cancelled, but not beyond the domain's.

        Args:
            act: What to do.
            caller: Is told when the caller is cancelled, for what has not begun by then.

        Raises:
            CoAgentError: The domain has ended first.
            Exception: What `act` raised.
        """
        assert self._group is not None, "the domain is open"
        done = anyio.Event()
        results: list[T] = []
        failures: list[Exception] = []
        shield = anyio.CancelScope(shield=True)

        async def run() -> None:
            try:
                with shield:
                    results.append(await act())
            except Exception as failure:
                failures.append(failure)
            finally:
                done.set()
                self._shields.discard(shield)
                if self._ended is not None:
                    self._ended.set()
                    self._ended = None

        self._shields.add(shield)
        self._group.start_soon(run)
        try:
            await done.wait()
        finally:
            if caller is not None:
                caller.gone = not done.is_set()
        if failures:
            raise failures[0]
        if not results:
            raise CoAgentError("the domain has ended, and what became of the call is not known")
        return results[0]
