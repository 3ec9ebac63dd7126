"""The log of a domain that lives and dies with its process."""

from __future__ import annotations

from collections.abc import Sequence

from coagent.log.base import Log
from coagent.protocol.events import Event


class MemoryLog(Log):
    """Events in a list."""

    def __init__(self, protocol: str) -> None:
        self.events: list[Event] = []
        self._protocol = protocol

    @property
    def head(self) -> int:
        return len(self.events)

    @property
    def protocol(self) -> str:
        return self._protocol

    def append(self, events: Sequence[Event]) -> None:
        self.events.extend(events)

    def read(self) -> Sequence[Event]:
        return ()

    def close(self) -> None:
        return None
