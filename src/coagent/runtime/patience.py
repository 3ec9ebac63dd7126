"""How long the runtime bears a target that is away: it tries again, more and more slowly, up to a limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from coagent.errors import TargetUnavailable
from coagent.runtime.clock import Clock, VirtualClock

T = TypeVar("T")
LIMIT_S_DEFAULT = 60.0
_WAIT_S_MIN, _WAIT_S_MAX = 0.05, 2.0


class Patience:
    """Tries requests again that failed because a target was away, locked or slow.

    Args:
        clock: What time is measured by.
        limit_s: For how long a call waits, in seconds; 0: it does not.
    """

    def __init__(self, clock: Clock, limit_s: float = LIMIT_S_DEFAULT) -> None:
        self.limit_s = limit_s
        self._clock = clock

    async def pause(self, tried: int, wake: anyio.Event | None = None) -> None:
        """Wait before a target that is away is asked again.

        Args:
            tried: How often it has been asked in vain before.
            wake: Ends the wait.
        """
        wait_s = min(_WAIT_S_MIN * 2 ** min(tried, 10), _WAIT_S_MAX)
        if wake is None or isinstance(self._clock, VirtualClock):
            await self._clock.sleep(wait_s)
            return
        with anyio.move_on_after(wait_s):
            await wake.wait()

    async def retry(self, request: Callable[[], Awaitable[T]], failure: TargetUnavailable) -> T:
        """Make a request again that has just failed.

        Args:
            request: What to do.
            failure: How it failed.

        Raises:
            TargetUnavailable: The target was away for longer than the limit.
        """
        started_s = self._clock.now_s()
        tried = 0
        while failure.by_itself and self._clock.now_s() - started_s < self.limit_s:
            await self.pause(tried)
            tried += 1
            try:
                return await request()
            except TargetUnavailable as again:
                failure = again
        raise self.over(failure) from failure

    def over(self, failure: TargetUnavailable) -> TargetUnavailable:
        """Return the failure that a call ends with, after all its tries."""
        waited = f" (tried again for {self.limit_s:g} s)" if failure.by_itself and self.limit_s else ""
        cure = f"{failure.cure} Then call again: nothing has changed.".strip()
        over = TargetUnavailable(f"{failure.cause}{waited}", cure, by_itself=failure.by_itself)
        over.given_up = True
        return over
