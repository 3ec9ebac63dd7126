"""A log of a SQLite file, for reading alone: it changes nothing, also while others write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from coagent.errors import LogError, NotPrivate
from coagent.log.archive import Archive
from coagent.log.base import Checkpoint
from coagent.log.codec import decode, decode_state
from coagent.log.sqlite_schema import (
    Position,
    connected,
    last_number,
    latest_checkpoint,
    meta_of,
    read_after,
    settings_of,
)
from coagent.private import check_private
from coagent.protocol.events import Event

_READ_AT_ONCE = 2000


class LogReader:
    """Reads events as they come.

    Args:
        path: The file.

    Raises:
        LogError: It is no log, cannot be read, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            check_private(path)
            self._connection = connected(path, reading=True)
            meta = meta_of(self._connection)
        except NotPrivate as error:
            raise LogError(error.cause, error.cure) from None
        except (sqlite3.Error, OSError) as error:
            raise LogError(
                f"{str(path)!r} cannot be read as a log: {error}", "Name a log of CoAgent's."
            ) from error
        try:
            self.settings, version = settings_of(path, meta)
        except LogError:
            self._connection.close()
            raise
        self.by_itself = version == 1
        self._at = Position(0, 0)

    @property
    def head(self) -> int:
        """The number of the last record read."""
        return self._at.number

    def checkpoint(self, tail: int = 0) -> Checkpoint | None:
        """Return a checkpoint and go on from there; to be called before anything is read.

        Args:
            tail: How many of the last records are to be read after it, at the least.

        Returns:
            The last that will do; None where reading has to begin at the first record.

        Raises:
            LogError: It is damaged.
        """
        if self.by_itself:
            return None
        most = last_number(self._connection) - tail
        found = latest_checkpoint(self._connection, self._path, most)
        if found is None:
            return None
        self._at = found[0]
        return Checkpoint(self._at.number, decode_state(found[1]))

    def history(self) -> Iterator[Event]:
        """Yield all events from the first, those that are archived too; to be called before anything is read.

        Raises:
            LogError: A record is missing or damaged.
        """
        for number, chain, record in Archive(self._path).records():
            self._at = Position(number, chain)
            yield decode(record)
        yield from self._old()
        while events := self.read():
            yield from events

    def _old(self) -> Iterator[Event]:
        """Yield the events of a log that was begun in format 1 and has been brought to this one."""
        has_old = self._connection.execute(
            "select 1 from sqlite_master where name = 'coagent_log'"
        ).fetchone()
        at = self._at
        while has_old is not None and not self.by_itself:
            records, at = read_after(self._connection, at, self._path, _READ_AT_ONCE, old=True)
            if not records:
                break
            self._at = at
            yield from map(decode, records)

    def read(self) -> list[Event]:
        """Return some of the events since the last time; none where there are no more for now.

        Raises:
            LogError: A record is missing or damaged.
        """
        try:
            records, self._at = read_after(
                self._connection, self._at, self._path, _READ_AT_ONCE, self.by_itself
            )
        except sqlite3.Error as error:
            raise LogError(f"log {str(self._path)!r} cannot be read: {error}") from error
        return [decode(record) for record in records]

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
