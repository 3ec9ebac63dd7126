"""A log of a SQLite file, for reading alone: it changes nothing, also while others write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from coagent.errors import LogError, NotPrivate
from coagent.log.archive import Archive, emptied, read_on
from coagent.log.base import Absent, Lease, NothingYet, Reader
from coagent.log.chain import Position
from coagent.log.sqlite_leases import leases_of
from coagent.log.sqlite_schema import (
    connected,
    cure_of,
    first_checkpoint,
    first_number,
    last_number,
    last_old_number,
    latest_checkpoint,
    meta_of,
    settings_of,
)
from coagent.private import check_private

_READ_AT_ONCE = 2000


class LogReader(Reader):
    """Reads events as they come.

    Args:
        path: The file.

    Raises:
        NothingYet: It has not been begun.
        LogError: It is no log, cannot be read, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if (wrong := emptied(path)) is not None:
            raise wrong
        if not path.exists():
            raise Absent(f"there is no log {str(path)!r}: nobody has joined this domain yet")
        try:
            check_private(path)
            if not path.stat().st_size:
                raise NothingYet(f"log {str(path)!r} is empty: nobody has joined this domain yet")
            self._connection = connected(path, reading=True)
            if self._connection.execute("select count(*) from sqlite_master").fetchone() == (0,):
                self._connection.close()  # the file is made first, then all tables at once
                raise NothingYet(f"log {str(path)!r} is being begun: nobody has joined this domain yet")
            meta = meta_of(self._connection)
            self.last_old = last_old_number(self._connection)
        except NotPrivate as error:
            raise LogError(error.cause, error.cure) from None
        except (sqlite3.Error, OSError) as error:
            cure = cure_of(error, path) or "Name a log of CoAgent's."
            raise LogError(f"{str(path)!r} cannot be read as a log: {error}", cure) from error
        try:
            self.settings, version = settings_of(path, meta)
        except LogError:
            self._connection.close()
            raise
        self.by_itself = version == 1
        self._at = Position(0, 0)

    @property
    def head(self) -> int:
        return self._at.number

    @property
    def last(self) -> int:
        try:
            return last_number(self._connection, self.by_itself)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    @property
    def size(self) -> int:
        return self._path.stat().st_size

    def checkpoint_text(self, tail: int | None = 0, first: int | None = None) -> tuple[int, str] | None:
        if self.by_itself:
            return None
        try:
            most = first - 1 if first is not None else 0 if tail is None else self.last - tail
            found = self._found(max(most, 0))
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        if found is None:
            return None
        self._at = found[0]
        return self._at.number, found[1]

    def _found(self, most: int) -> tuple[Position, str] | None:
        """Return the last checkpoint up to a number; the first one where the records before it are gone."""
        found = latest_checkpoint(self._connection, self._path, most)
        if found is not None:
            return found
        archive, first = Archive(self._path), first_number(self._connection)
        if first is None or first == 1:
            return None  # what is archived beside it, if anything, is of another log
        segments = archive.segments()
        found = archive.checkpoint(1, most)
        if found is not None or (segments and segments[0].first == 1):
            return found
        return archive.first_checkpoint() or first_checkpoint(self._connection, self._path)

    def texts(self) -> list[tuple[int, str]]:
        old = self.by_itself or self._at.number < self.last_old
        try:
            records, self._at = read_on(self._connection, self._at, self._path, _READ_AT_ONCE, old)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        return list(enumerate(records, self._at.number - len(records) + 1))

    def backwards(self) -> Iterator[tuple[int, str]]:
        number = first = first_number(self._connection) or 0
        try:
            rows = self._connection.execute("select number, record from coagent_records order by number desc")
            for number, record in rows:
                yield number, record
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        if first > 1:
            for recorded, record in Archive(self._path).backwards():
                if recorded < number:
                    yield recorded, record

    def leases(self) -> list[Lease]:
        try:
            return leases_of(self._connection)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> LogError:
        return LogError(f"log {str(self._path)!r} cannot be read: {error}", cure_of(error, self._path))

    def close(self) -> None:
        self._connection.close()
