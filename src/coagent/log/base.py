"""The append-only event log: the one order that all processes of a domain share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from coagent.protocol.events import Event


class HeadMoved(Exception):
    """Others have appended since: nothing was written; read what they wrote, then decide anew."""


class Log(ABC):
    """A log of events, numbered from 1 without gaps.

    Appending names the head that the writer has seen. That compare-and-set is what orders rival processes;
    no lock is held between calls.
    """

    shared: bool = False
    """Whether other processes may append, so that waiting means looking again."""

    @property
    @abstractmethod
    def head(self) -> int:
        """The number of the last event that this process has appended or read."""

    @abstractmethod
    def append(self, events: Sequence[Event]) -> None:
        """Append events after `head`, all or none; when it returns they survive the death of the process.

        Raises:
            HeadMoved: Another process has appended after `head`.
            LogError: The log cannot be written (disk full, locked, read-only).
        """

    @abstractmethod
    def read(self) -> Sequence[Event]:
        """Return the events after `head`, and move `head` past them.

        Raises:
            LogError: A record is damaged, or comes from a newer version.
        """

    @property
    @abstractmethod
    def protocol(self) -> str:
        """The protocol under which the log was begun."""

    def try_lock(self) -> bool:
        """Take the domain's lock for work that the log cannot order (declared tools), if nobody holds it.

        It may be taken several times over by one process. It is released when the process dies.
        """
        return True

    def unlock(self) -> None:
        """Give the lock back, once for each time it was taken."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release files and connections."""
