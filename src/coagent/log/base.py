"""The append-only event log: the one order that all processes of a domain share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from coagent.errors import ConfigurationError
from coagent.log.codec import Recorded, decode_recorded, decode_state
from coagent.processes import Process
from coagent.protocol.checkpoint import KernelState
from coagent.protocol.events import Event


class HeadMoved(Exception):
    """Others have appended since: nothing was written; read what they wrote, then decide anew."""


class NothingYet(ConfigurationError):
    """A log that has not been begun."""


class Absent(NothingYet):
    """A log of which nothing is there, not even its file."""


class LogSettings(NamedTuple):
    """What a log is begun with, and what everybody who opens it has to agree with.

    Args:
        protocol: The protocol of its domain.
        order: "fixed" or "early" (rule 10).
        targets: The identities of the live systems that it is about (`Target.identity`).
    """

    protocol: str
    order: str
    targets: tuple[str, ...]


class Checkpoint(NamedTuple):
    """The state of the kernel after an event, by which the events up to it need not be read."""

    number: int
    state: KernelState


class Lease(NamedTuple):
    """How long a process still counts as alive, unless it says again that it is.

    Args:
        owner: What names whoever holds it: what stands at agents (`events.Attached`) and never comes again.
        process: In which that is.
        left_s: How much is left of it, in seconds by the log's clock; 0 or less: it has run out.
    """

    owner: str
    process: Process
    left_s: float


class Log(ABC):
    """A log of events, numbered from 1 without gaps.

    Appending names the head that the writer has seen. That compare-and-set is what orders rival processes;
    no lock is held between calls.
    """

    shared: bool = False
    """Whether other processes may append, so that waiting means looking again."""

    unix_ms: Callable[[], int] = staticmethod(lambda: int(time.time() * 1000))
    """The time that records are given, in Unix milliseconds: this host's, unless somebody sets another."""

    instant: bool = False
    """Whether `note` appends at once, and nobody else can have appended."""

    by_itself: bool = False
    """Whether its events are of format 1, in which agents commit without an event of their own."""

    @property
    @abstractmethod
    def head(self) -> int:
        """The number of the last event that this process has appended or read."""

    @property
    @abstractmethod
    def settings(self) -> LogSettings:
        """What the log was begun with."""

    @abstractmethod
    async def append(self, events: Sequence[Event]) -> None:
        """Append events after `head`, all or none; when it returns they survive the death of the process.

        Raises:
            HeadMoved: Another process has appended after `head`.
            LogError: The log cannot be written (disk full, locked, read-only).
            LogUnavailable: Its server was away for too long. Where it went away meanwhile, the events may
                be there all the same; `read` returns them then.
        """

    @property
    def contended(self) -> bool:
        """Whether others came first of late, so that it pays to `hold` before deciding what to append."""
        return False

    async def hold(self) -> None:  # noqa: B027 - where others seldom come first, trying again is enough
        """Wait for one's turn to append; others wait then until this task has appended, or has let go.

        Whoever decides anew each time others came first might never come first. It may be ended by the log
        at any time (a process that was stopped must not hold up others), so `append` may fail all the same.

        Raises:
            LogError: The log cannot be written.
        """

    async def let_go(self) -> None:  # noqa: B027
        """Let others append again, where nothing was appended since `hold`."""

    def note(self, event: Event) -> None:
        """Append one event to an instant log."""
        raise NotImplementedError(f"{type(self).__name__} is no instant log")

    @abstractmethod
    async def read(self) -> Sequence[Event]:
        """Return some of the events after `head`, and move `head` past them; none where that is the end.

        Raises:
            LogError: A record is damaged, or comes from a newer version.
        """

    def stale(self, *, now: bool = False) -> bool:
        """Tell, at next to no cost, whether others may have appended since `read` was called last.

        Args:
            now: Whether it matters what they have done in the last moment, too.
        """
        return False

    async def attend(self) -> None:  # noqa: B027 - a file needs nothing
        """Do what is to be done for an open log in the background; returns where that is nothing."""

    async def checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint, and move `head` there; to be called before anything is read.

        Raises:
            LogError: It is damaged.
        """
        return None

    async def keep(self, checkpoint: Checkpoint) -> None:  # noqa: B027 - a log in memory keeps none
        """Keep a checkpoint; older records may be archived from then on.

        Raises:
            LogError: It cannot be written; nothing has changed.
        """

    @property
    def chain(self) -> int:
        """What tells the records up to the head from others of the same numbers; 0 where nothing does."""
        return 0

    async def has(self, number: int, chain: int) -> bool:
        """Tell whether it went this way: whether `chain` was that of `number`, as it was kept on this host.

        Raises:
            LogError: That cannot be read.
        """
        return True

    @property
    def since_checkpoint(self) -> int:
        """How many events there have been since the last checkpoint; 0 where none is needed.

        Large ones count for several.
        """
        return 0

    async def tidy(self) -> int:
        """Move some old records that no process starts from to where they do not weigh.

        It costs next to nothing where there is nothing to do. Other processes may go on meanwhile.

        Returns:
            How many records were moved; while it is not 0, there may be more.

        Raises:
            LogError: They cannot be moved; they stay where they are.
        """
        return 0

    # ---- leases: rows beside the log, by its clock; a log that is not shared has none ----------------------

    async def take_lease(self, owner: str, process: Process, seconds: float) -> None:
        """Begin a lease.

        Args:
            owner: A name that has never held one.
            process: In which it is.
            seconds: How long it lasts, by the log's clock.

        Raises:
            LogError: The log cannot be written.
        """
        raise NotImplementedError(f"{type(self).__name__} has no leases")

    async def renew_lease(self, owner: str, seconds: float) -> bool:
        """Let a lease last for so long from now on; also one that has run out, while nobody has ended it.

        Returns:
            Whether there was one; False where it has been ended, and then it does not begin again.

        Raises:
            LogError: The log cannot be written.
        """
        raise NotImplementedError(f"{type(self).__name__} has no leases")

    async def end_lease(self, owner: str, *, late: bool = False) -> bool:
        """End a lease, in one transaction: whoever holds it cannot renew it any more.

        Args:
            owner: Whose it is.
            late: Only if it has run out by the log's clock.

        Returns:
            Whether there is none any more.

        Raises:
            LogError: The log cannot be written.
        """
        raise NotImplementedError(f"{type(self).__name__} has no leases")

    async def leases(self) -> Sequence[Lease]:
        """Return all leases, those that have run out too.

        Raises:
            LogError: The log cannot be read.
        """
        return ()

    @abstractmethod
    async def close(self) -> None:
        """Release files and connections."""


class Reader(ABC):
    """A log for reading alone: it changes nothing, also while others write."""

    settings: LogSettings
    """What the log was begun with."""

    by_itself: bool
    """Whether its events are of format 1, in which agents commit without an event of their own."""

    last_old: int
    """The number of the last event of format 1 in a log that has been brought to today's; 0: none is."""

    @property
    @abstractmethod
    def head(self) -> int:
        """The number of the last record read."""

    @property
    @abstractmethod
    def last(self) -> int:
        """The number of the last record that there is."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How large the log is, in bytes."""

    def checkpoint(self, tail: int | None = 0, first: int | None = None) -> Checkpoint | None:
        """Return a checkpoint and go on from there; to be called before anything is read.

        Args:
            tail: How many of the last records are to be read after it, at the least; None: as many as there
                are.
            first: The number of a record that is to be read, in the place of that.

        Returns:
            The last that will do; None where reading has to begin at the first record.

        Raises:
            LogError: It is damaged, or so many records are not there any more.
        """
        found = self.checkpoint_text(tail, first)
        return None if found is None else Checkpoint(found[0], decode_state(found[1]))

    @abstractmethod
    def checkpoint_text(self, tail: int | None = 0, first: int | None = None) -> tuple[int, str] | None:
        """Return the same as its number and text, not understood."""

    def read(self) -> list[Event]:
        """Return some of the events since the last time; none where there are no more for now.

        Raises:
            LogError: A record is missing or damaged.
        """
        return [event for event, _ in self.recorded()]

    def recorded(self) -> list[Recorded]:
        """Return the same with the times at which they were appended.

        Raises:
            LogError: A record is missing or damaged.
        """
        return [decode_recorded(record) for _, record in self.texts()]

    @abstractmethod
    def texts(self) -> list[tuple[int, str]]:
        """Return the same as numbers and texts of records, in their order and place, but not understood.

        Raises:
            LogError: A record is missing or damaged.
        """

    @abstractmethod
    def backwards(self) -> Iterator[tuple[int, str]]:
        """Yield the numbers and texts of all records of today's format, archived ones too, newest first.

        Raises:
            LogError: An archive is damaged.
        """

    @abstractmethod
    def leases(self) -> list[Lease]:
        """Return the leases of processes that have the domain open, or had it when they died.

        Raises:
            LogError: The log cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Release files and connections."""
