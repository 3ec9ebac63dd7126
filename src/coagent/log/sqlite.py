"""The log in a SQLite file: several processes of one host share a domain by naming the same file.

WAL mode with synchronous=NORMAL: a commit survives the death of the process, and a power cut loses at most
the last commits, never the file (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coagent.errors import LogError, NotPrivate
from coagent.log.base import HeadMoved, Log
from coagent.log.codec import FORMAT, checksum, decode, encode
from coagent.log.process_lock import ProcessLock
from coagent.private import open_private, private_beside
from coagent.protocol.events import Event

_BUSY_TIMEOUT_S = 10.0
_SCHEMA = """
create table if not exists coagent_log_meta (name text primary key, value text not null) strict;
create table if not exists coagent_log (
    number integer primary key, checksum integer not null, record text not null
) strict;
"""
_INSERT = "insert into coagent_log (number, checksum, record) values (?, ?, ?)"
_ASIDE = "Move the file aside to start afresh, or restore a copy."


class SqliteLog(Log):
    """Events in a table of a SQLite database.

    Args:
        path: The file; it is created where it does not exist.
        protocol: The protocol for a new log; an existing one keeps its own.

    Raises:
        LogError: The file is no log, is damaged, or was written by a newer version.
    """

    shared = True

    def __init__(self, path: Path, protocol: str) -> None:
        self._path = path
        self._head = 0
        self._lock = ProcessLock(path.with_name(path.name + ".lock"))
        if not path.parent.is_dir():
            raise LogError(f"there is no directory {str(path.parent)!r} for the log", "Create it first.")
        try:
            private_beside(path, "-wal", "-shm", ".lock")
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            # Two processes that make the file at once find each other in the way, and switching to WAL does
            # not wait for a lock as everything else does; so they take turns.
            with self._turn():
                self._connection.execute("pragma journal_mode = wal")
                self._connection.execute("pragma synchronous = normal")
                meta = self._begin(protocol)
        except NotPrivate as error:
            raise LogError(error.cause, error.cure) from None
        except (sqlite3.Error, OSError) as error:
            raise self._failed("opened", error) from error
        if int(meta["format"]) > FORMAT:
            self._connection.close()
            raise LogError(
                f"log {str(path)!r} has format {meta['format']}, this version of CoAgent knows {FORMAT}",
                "Upgrade CoAgent: pip install --upgrade coagent-mtpo",
            )
        self._protocol = meta["protocol"]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with os.fdopen(open_private(self._lock.path), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _begin(self, protocol: str) -> dict[str, str]:
        self._connection.executescript(f"begin immediate; {_SCHEMA} commit;")
        self._connection.executemany(
            "insert or ignore into coagent_log_meta (name, value) values (?, ?)",
            [("format", str(FORMAT)), ("protocol", protocol)],
        )
        return dict(self._connection.execute("select name, value from coagent_log_meta").fetchall())

    @property
    def head(self) -> int:
        return self._head

    @property
    def protocol(self) -> str:
        return self._protocol

    def append(self, events: Sequence[Event]) -> None:
        rows = []
        for number, event in enumerate(events, self._head + 1):
            record = encode(event)
            rows.append((number, checksum(record), record))
        execute = self._connection.execute
        try:
            if len(rows) == 1:
                execute(_INSERT, rows[0])
            else:
                execute("begin immediate")
                try:
                    self._connection.executemany(_INSERT, rows)
                    execute("commit")
                except sqlite3.Error:
                    execute("rollback")
                    raise
        except sqlite3.IntegrityError:
            raise HeadMoved from None
        except sqlite3.Error as error:
            raise self._failed("written", error) from error
        self._head += len(rows)

    def read(self) -> Sequence[Event]:
        try:
            found = read_after(self._connection, self._head, self._path)
        except sqlite3.Error as error:
            raise self._failed("read", error) from error
        self._head += len(found)
        return found

    def try_lock(self) -> bool:
        return self._lock.try_acquire()

    def unlock(self) -> None:
        self._lock.release()

    def close(self) -> None:
        self._connection.close()

    def _failed(self, act: str, error: sqlite3.Error | OSError) -> LogError:
        text = str(error)
        cure = _ASIDE
        if "locked" in text or "busy" in text:
            cure = "Another process holds it; end that process or try again."
        elif "full" in text:
            cure = "Free some disk space; what was logged is safe."
        elif "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
            cure = "Make the file and its directory writable."
        return LogError(f"log {str(self._path)!r} cannot be {act}: {text}", cure)


def read_after(connection: sqlite3.Connection, head: int, path: Path) -> list[Event]:
    """Return the events after a head.

    Raises:
        LogError: A record is missing or damaged.
    """
    rows = connection.execute(
        "select number, checksum, record from coagent_log where number > ? order by number", (head,)
    ).fetchall()
    found: list[Event] = []
    for number, stored, record in rows:
        if number != head + len(found) + 1:
            raise LogError(f"log {str(path)!r} lacks record {head + len(found) + 1}", _ASIDE)
        if not isinstance(record, str) or checksum(record) != stored:
            raise LogError(f"record {number} of log {str(path)!r} is damaged", _ASIDE)
        found.append(decode(record))
    return found
