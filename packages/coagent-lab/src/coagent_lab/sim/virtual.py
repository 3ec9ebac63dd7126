"""An event loop whose time goes on only when everybody waits: an hour takes as long as what happens in it.

Whatever runs on it runs unchanged: sleeps, time limits and the clock of the loop all go by this time, so one
seed says when everything happens. Tasks and cancel scopes are numbered as they are made: sets of them are
cancelled in the order of their hashes, which would be by where in memory each of them lies.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from math import inf
from typing import Any, TypeVar
from unittest.mock import patch

import anyio
from anyio._backends import _asyncio as backend

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


class _Numbered(asyncio.Task[Any]):
    """A task that lies in a set where its number says."""

    def __init__(self, loop: VirtualLoop, work: Coroutine[Any, Any, Any], **named: Any) -> None:
        self._number = next(loop.numbers)
        super().__init__(work, loop=loop, **named)

    def __hash__(self) -> int:
        return self._number


class _NumberedScope(backend.CancelScope):
    """A cancel scope that does so."""

    def __init__(self, deadline: float = inf, shield: bool = False) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "such runs have virtual time"
        self._number = next(loop.numbers)
        super().__init__(deadline, shield)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop; nothing in it may use threads."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self._now_s = 0.0
        self._turns = self._turns_at_once = 0
        self.endless = ""
        """Why everything was cancelled."""
        self.numbers = count(1)
        """Of its tasks and scopes."""
        super().__init__(selector)
        self.set_task_factory(lambda loop, work, **named: _Numbered(self, work, **named))

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
    with patch.object(backend, "CancelScope", _NumberedScope):
        return anyio.run(act, backend_options={"loop_factory": VirtualLoop})
