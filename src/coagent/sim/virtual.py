"""An event loop whose time goes on only when everybody waits: an hour takes as long as what happens in it.

Whatever runs on it runs unchanged: sleeps, time limits and the clock of the loop all go by this time, so one
seed says when everything happens.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")
TURNS_MAX = 300_000
"""When the loop has turned so often, a run never ends."""
_TURNS_AT_ONCE_MAX = 1000
_TICK_S = 1e-6
"""How much time passes, in seconds, with each turn beyond so many in which none would have."""


class _Jumping(selectors.DefaultSelector):
    """Waits for no file: it lets the time pass that there would have been to wait."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.turn(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop; nothing in it may use threads."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self._now_s = 0.0
        self._turns = self._turns_at_once = 0
        self.endless = ""
        """Why everything was cancelled."""
        super().__init__(selector)

    def time(self) -> float:
        return self._now_s

    def turn(self, timeout_s: float | None) -> None:
        """Let time pass; where a run would never end, everything in it is cancelled.

        Args:
            timeout_s: How much, in seconds; None: there is nothing to wait for.
        """
        self._turns += 1
        self._turns_at_once = 0 if timeout_s else self._turns_at_once + 1
        if timeout_s is not None and self._turns <= TURNS_MAX:
            # Who waits for less than a float can add to the time would look at the clock again, for ever.
            self._now_s += _TICK_S if self._turns_at_once > _TURNS_AT_ONCE_MAX else timeout_s
        elif self.endless:
            raise RuntimeError(f"it does not end even when it is cancelled: {self.endless}")
        else:
            self.endless = (
                "everybody waits, and nothing is left that could happen"
                if timeout_s is None
                else f"it never ends: {TURNS_MAX} turns of the event loop in {self._now_s:.0f} s"
            )
            self._turns = 0
            for task in asyncio.all_tasks(self):
                task.cancel()


def run_virtually(act: Callable[[], Awaitable[T]]) -> T:
    """Run something to its end in virtual time; it is cancelled where it would have none."""
    return anyio.run(act, backend_options={"loop_factory": VirtualLoop})
