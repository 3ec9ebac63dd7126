"""Who goes first where a call makes room for itself: what was reversed for it has to run again, but not yet.

A call reverses what stands above it, one after another. Were those run again at once, in this process or in
another one, they would stand in its way anew, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from coagent.protocol.calls import Call, CallId, Footprint, Position
from coagent.protocol.conflicts import conflict
from coagent.runtime.runner import Parts

_AT_ONCE_MAX = 2
"""How often a call runs again at once that is reversed again and again."""
_FORGOTTEN_S = 30.0

_Wanted: TypeAlias = tuple[Callable[[], Position], Footprint]


class RightOfWay:
    """Knows what calls of this process make room for, and how often others have been reversed lately.

    Args:
        parts: The domain's.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._wanted: list[_Wanted] = []
        self._again: dict[CallId, tuple[int, float]] = {}

    @contextmanager
    def wanted(self, position: Callable[[], Position], footprint: Footprint) -> Iterator[None]:
        """Hold while a call makes room for itself.

        Args:
            position: Where it stands.
            footprint: What it touches.
        """
        one = position, footprint
        self._wanted.append(one)
        try:
            yield
        finally:
            self._wanted.remove(one)
            self._parts.recorder.wake()

    async def give(self, call: Call, footprint: Footprint, gone: Callable[[], bool]) -> None:
        """Let those go first that a call was reversed for, before it runs again.

        Those of this process are known. Of those of others nothing is known but that the call is reversed
        again and again; so it waits longer each time.

        Args:
            call: The call.
            footprint: What it touches.
            gone: Whether it is not to run again any more.
        """
        recorder, clock = self._parts.recorder, self._parts.clock
        await recorder.until(lambda: gone() or not self._is_wanted(call, footprint), self._parts.meanwhile)
        if not recorder.log.shared:
            return
        count, last_s = self._again.get(call.id, (0, 0.0))
        now_s = clock.now_s()
        count = 0 if now_s - last_s > _FORGOTTEN_S else count + 1
        self._again = {one: at for one, at in self._again.items() if now_s - at[1] <= _FORGOTTEN_S}
        self._again[call.id] = count, now_s
        if count > _AT_ONCE_MAX:
            await self._parts.patience.pause(count)

    def _is_wanted(self, call: Call, footprint: Footprint) -> bool:
        return any(position() < call.position and conflict(one, footprint) for position, one in self._wanted)


def both(one: Footprint, other: Footprint) -> Footprint:
    """Return what two calls touch together."""
    return Footprint(one.reads | other.reads, one.scans | other.scans, one.writes | other.writes)
