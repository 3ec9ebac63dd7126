"""The log of a domain that lives and dies with its process."""

from __future__ import annotations

from collections.abc import Sequence

from coagent.log.base import Log, LogSettings
from coagent.protocol.events import Event


class MemoryLog(Log):
    """Counts events and keeps none: nobody could read them again. To see them, observe the domain."""

    instant = True

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._head = 0

    @property
    def head(self) -> int:
        return self._head

    @property
    def settings(self) -> LogSettings:
        return self._settings

    async def append(self, events: Sequence[Event]) -> None:
        self._head += len(events)

    def note(self, event: Event) -> None:
        self._head += 1

    async def read(self) -> Sequence[Event]:
        return ()

    async def close(self) -> None:
        return None
