"""Old records of a log: moved out of its file once no process starts from them, and still readable.

They lie beside the log, in `NAME.archive/FIRST-LAST.jsonl.gz`: one record a line, as `[number, checksum,
record]`. Where a checkpoint stood right before the first of them, it goes with them as the first line,
`["state", number, chain, checksum, state]`, so that a reader may begin there.

Order of work, by which a crash at any moment neither loses nor repeats a record: a segment is written, synced
and given its name; only then do its records leave the log, in one transaction. Whoever archives next first
takes out of the log what the archive holds already.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from coagent.errors import LogError
from coagent.log.chain import Gap, Position
from coagent.log.codec import checksum
from coagent.log.sqlite_schema import ASIDE, bytes_used, connected, read_after
from coagent.private import open_private, private_folder

SEGMENT_RECORDS = 20_000
"""How many records a segment holds at the most."""
KEPT_RECORDS = 20_000
"""How many of the last records stay in the log itself, for whoever looks back a little."""
KEPT_BYTES = 64 * 1024 * 1024
"""How large the log may be, in bytes, before fewer stay."""
_BUSY_TIMEOUT_MS = 10_000
_ROWS_AT_ONCE = 200
_SUFFIX = ".jsonl.gz"
_STATE = "state"


class Segment(NamedTuple):
    """A file of archived records."""

    first: int
    last: int
    path: Path


class Archive:
    """The archived records of a log.

    Args:
        log: The log's file.
        segment_records: How many records a segment holds at the most.
        kept_records: How many of the last records stay in the log.
        kept_bytes: How large the log may be, in bytes, before fewer stay.
    """

    def __init__(
        self,
        log: Path,
        *,
        segment_records: int = SEGMENT_RECORDS,
        kept_records: int = KEPT_RECORDS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._log = log
        self._folder = log.with_name(f"{log.name}.archive")
        self._segment_records = segment_records
        self._kept_records, self._kept_bytes = kept_records, kept_bytes

    # ---- filling it ----------------------------------------------------------------------------------------

    def fill(self) -> int:
        """Move a segment of records that no process starts from into the archive, if there are so many.

        Returns:
            How many records were moved; 0 where there is nothing to do, or another process is doing it.

        Raises:
            LogError: It cannot be written; nothing is lost.
        """
        try:
            with contextlib.closing(connected(self._log)) as connection:
                connection.execute(f"pragma busy_timeout = {_BUSY_TIMEOUT_MS}")
                if self._due(connection) is None:
                    return 0
                with self._alone() as alone:
                    return self._fill(connection) if alone else 0
        except (sqlite3.Error, OSError) as error:
            raise LogError(
                f"old records of log {str(self._log)!r} cannot be archived: {error}",
                "They stay where they are; free some disk space, and they will be archived later.",
            ) from error

    def _due(self, connection: sqlite3.Connection) -> tuple[int, int] | None:
        """Return the first and the last record to be moved now, if there are any.

        What is moved ends at a checkpoint, and never at the last one: records stay behind it, by which a
        process that has slept notices that it is not at the end of the log.
        """
        first, head = connection.execute("select min(number), max(number) from coagent_records").fetchone()
        if first is None:
            return None
        until, newest = connection.execute(
            "select min(number), (select max(number) from coagent_checkpoints) "
            "from coagent_checkpoints where number >= ?",
            (first,),
        ).fetchone()
        if until is None or until >= min(newest, head):
            return None
        if head - until < self._kept_records and bytes_used(connection) <= self._kept_bytes:
            return None
        return first, min(until, first + self._segment_records - 1)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Yield whether no other process archives this log; none begins until this one is done."""
        descriptor = os.open(private_folder(self._folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def _fill(self, connection: sqlite3.Connection) -> int:
        for partial in self._folder.glob("*.partial"):
            partial.unlink()
        self._finish_interrupted(connection)
        due = self._due(connection)
        if due is None:
            return 0
        first, last = due
        state = connection.execute(
            "select number, chain, checksum, state from coagent_checkpoints where number = ?", (first - 1,)
        ).fetchone()
        rows = connection.execute(
            "select number, checksum, record from coagent_records where number between ? and ? "
            "order by number",
            due,
        )
        moved = self._write(first, last, state, rows)
        _drop(connection, last)
        return moved

    def _finish_interrupted(self, connection: sqlite3.Connection) -> None:
        """Take out of the log what the archive holds already."""
        segments = self.segments()
        first = connection.execute("select min(number) from coagent_records").fetchone()[0]
        if not segments or first is None or first > segments[-1].last:
            return
        last = segments[-1]
        end = connection.execute(
            "select checksum from coagent_records where number = ?", (last.last,)
        ).fetchone()
        if end is not None and end[0] == _end_of(last):
            _drop(connection, last.last)
        elif first == 1:
            self._set_aside()  # the archive is of a log that was here before
        else:
            raise LogError(
                f"archive {str(self._folder)!r} does not belong to log {str(self._log)!r}",
                "Restore both from one copy, or move the archive aside.",
            )

    def _set_aside(self) -> None:
        number = 1
        while (place := self._folder.with_name(f"{self._folder.name}.{number}")).exists():
            number += 1
        self._folder.rename(place)
        private_folder(self._folder)

    def _write(
        self, first: int, last: int, state: tuple[Any, ...] | None, rows: Iterator[tuple[int, int, str]]
    ) -> int:
        path = self._folder / f"{first:012}-{last:012}{_SUFFIX}"
        partial = path.with_suffix(".partial")
        written = 0
        with os.fdopen(open_private(partial, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=3, mtime=0) as packed:
                if state is not None:
                    packed.write(json.dumps([_STATE, *state]).encode() + b"\n")
                while some := list(islice(rows, _ROWS_AT_ONCE)):
                    packed.write("".join(map(_line, some)).encode())
                    written += len(some)
            file.flush()
            os.fsync(file.fileno())
        if written != last - first + 1:
            partial.unlink()
            raise LogError(f"log {str(self._log)!r} lacks a record between {first} and {last}", ASIDE)
        os.replace(partial, path)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return written

    # ---- reading it ----------------------------------------------------------------------------------------

    def segments(self) -> list[Segment]:
        """Return the files of archived records, oldest first."""
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            first, _, last = path.name.removesuffix(_SUFFIX).partition("-")
            if first.isdecimal() and last.isdecimal():
                found.append(Segment(int(first), int(last), path))
        return sorted(found)

    def after(self, at: Position) -> tuple[list[str], Position]:
        """Return the records after a place that lie in one segment, and the place after them.

        Returns:
            None of them where the next record is not archived.

        Raises:
            LogError: The segment is damaged.
        """
        segment = next(
            (segment for segment in self.segments() if segment.first <= at.number + 1 <= segment.last), None
        )
        if segment is None:
            return [], at
        records: list[str] = []
        number, chain = at
        for recorded, stored, record in _rows(segment):
            if recorded < number or (recorded == number and stored == chain):
                continue
            if recorded != number + 1 or checksum(record, chain) != stored:
                if records:
                    break  # whoever asks for more is told of it
                raise LogError(
                    f"record {recorded} in archive {str(segment.path)!r} is damaged, or not in its place",
                    "Restore a copy of it.",
                )
            number, chain = recorded, stored
            records.append(record)
        return records, Position(number, chain)

    def backwards(self) -> Iterator[tuple[int, str]]:
        """Yield the numbers and texts of the archived records, newest first.

        Raises:
            LogError: A segment is damaged.
        """
        for segment in reversed(self.segments()):
            for number, _, record in reversed(list(_rows(segment))):
                yield number, record

    def checkpoint(self, least: int, most: int) -> tuple[Position, str] | None:
        """Return the last checkpoint in the archive of which the number lies between two.

        Raises:
            LogError: It is damaged.
        """
        for segment in reversed(self.segments()):
            if least <= segment.first - 1 <= most and (found := _state_of(segment)) is not None:
                return found
        return None

    def first_checkpoint(self) -> tuple[Position, str] | None:
        """Return the first checkpoint in the archive.

        Raises:
            LogError: It is damaged.
        """
        return next((found for segment in self.segments() if (found := _state_of(segment)) is not None), None)


def read_on(
    connection: sqlite3.Connection, at: Position, path: Path, count: int, old: bool = False
) -> tuple[list[str], Position]:
    """Return some records after a place, from the log or from its archive, and the place after them.

    Args:
        connection: To the log.
        at: The place.
        path: Of the log.
        count: How many at most, from the log.
        old: See `read_after`.

    Raises:
        LogError: A record is missing or damaged.
    """
    try:
        return read_after(connection, at, path, count, old)
    except Gap:
        records, end = Archive(path).after(at)
        if not records:
            raise
        return records, end


def emptied(path: Path) -> LogError | None:
    """Return what is wrong with a file of 0 bytes beside which records of the log lie; None: nothing.

    Such a file alone is a log that is being begun, or was when its process died: it is begun again. But
    SQLite would throw away, unasked, the latest records that lie in `NAME-wal` beside it.
    """
    wal = path.with_name(f"{path.name}-wal")
    try:
        # In this order: whoever begins a log makes the file first, and then what lies beside it.
        beside = str(wal) if wal.exists() and wal.stat().st_size else None
        if path.stat().st_size:
            return None
    except OSError:  # a new log, or whoever opens it will say what is wrong
        return None
    if beside is None and (segments := Archive(path).segments()):
        beside = str(segments[0].path.parent)
    if beside is None:
        return None
    return LogError(
        f"log {str(path)!r} is empty, though records of it lie in {beside!r}: it has lost all it held",
        "Restore a copy of it. To start afresh, move the empty file and what lies beside it away.",
    )


def _drop(connection: sqlite3.Connection, last: int) -> None:
    connection.execute("begin immediate")
    try:
        connection.execute("delete from coagent_records where number <= ?", (last,))
        connection.execute("delete from coagent_checkpoints where number < ?", (last,))
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _line(row: tuple[int, int, str]) -> str:
    number, stored, record = row
    return f"[{number},{stored},{json.dumps(record)}]\n"


def _lines(segment: Segment) -> Iterator[Any]:
    try:
        with gzip.open(segment.path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    except (OSError, EOFError, ValueError) as error:
        raise LogError(
            f"archive {str(segment.path)!r} cannot be read: {error}", "Restore a copy of it."
        ) from None


def _rows(segment: Segment) -> Iterator[tuple[int, int, str]]:
    for line in _lines(segment):
        if line[0] != _STATE:
            number, stored, record = line
            yield number, stored, record


def _end_of(segment: Segment) -> int:
    """Return the checksum of the last record of a segment."""
    chain = 0
    for _, chain, _ in _rows(segment):  # noqa: B007 - the last one is wanted
        pass
    return chain


def _state_of(segment: Segment) -> tuple[Position, str] | None:
    line = next(_lines(segment), None)
    if line is None or line[0] != _STATE:
        return None
    _, number, chain, stored, text = line
    if checksum(text) != stored:
        raise LogError(f"the checkpoint in archive {str(segment.path)!r} is damaged", "Restore a copy of it.")
    return Position(number, chain), text
