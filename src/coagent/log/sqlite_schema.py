"""How a log lies in a SQLite file: its tables, what is written about it, and what its errors mean."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from coagent.errors import LogError
from coagent.log.base import LogSettings
from coagent.log.chain import Position, followed
from coagent.log.codec import FORMAT, checksum

_SCHEMA = """
create table if not exists coagent_log_meta (name text primary key, value text not null) strict;
create table if not exists coagent_records (
    number integer primary key autoincrement, checksum integer not null, record text not null
) strict;
create table if not exists coagent_checkpoints (
    number integer primary key, chain integer not null, checksum integer not null, state text not null
) strict;
"""
_LEASES = """
create table if not exists coagent_leases (
    owner text primary key, host text not null, place text not null, pid integer not null,
    started text not null, boot text not null, until_s real not null
) strict
"""
_LIKE_TODAYS = ("2", "3")
"""The formats of logs that are gone on with as they are."""
ASIDE = "Restore a copy, or move the file aside to start afresh."
_CURES = {
    "SQLITE_BUSY": "Another process holds it; end that process or try again.",
    "SQLITE_LOCKED": "Another process holds it; end that process or try again.",
    "SQLITE_FULL": "Free some disk space; what was logged is safe.",
    "SQLITE_IOERR": "Look whether the disk is full or failing; what was logged before is safe.",
    "SQLITE_READONLY": "Make the file and its directory writable.",
    "SQLITE_CANTOPEN": "Make the file and its directory readable and writable.",
    "SQLITE_PERM": "Make the file and its directory readable and writable.",
    "SQLITE_CORRUPT": ASIDE,
    "SQLITE_NOTADB": "It is no log of CoAgent's: name another file.",
}

_DATABASE = b"SQLite format 3\0"
_SYNCHRONOUS = "normal"
"""What waits for the disk: checkpoints do, commits do not."""


def connected(path: Path, *, reading: bool = False) -> sqlite3.Connection:
    """Open a file; transactions are explicit, and nothing waits for a lock."""
    if reading:
        uri = f"file:{quote(str(path.resolve()))}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode = wal")
    connection.execute(f"pragma synchronous = {_SYNCHRONOUS}")
    return connection


def begun(connection: sqlite3.Connection, settings: LogSettings) -> dict[str, str]:
    """Make the tables where they are missing; returns what is written about the log."""
    if not _has(connection, "coagent_records"):
        connection.execute("begin immediate")
        try:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            old = _has(connection, "coagent_log")
            connection.executemany(
                "insert or ignore into coagent_log_meta (name, value) values (?, ?)",
                [
                    ("format", "1" if old else str(FORMAT)),
                    ("protocol", settings.protocol),
                    ("order", "fixed" if old else settings.order),
                    ("targets", json.dumps(settings.targets)),
                ],
            )
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
    if not _has(connection, "coagent_leases"):
        connection.execute(_LEASES)
    meta = meta_of(connection)
    if meta.get("format") in _LIKE_TODAYS:  # but what follows, those who know only it cannot read
        connection.execute("update coagent_log_meta set value = ? where name = 'format'", (str(FORMAT),))
    return meta


def _has(connection: sqlite3.Connection, table: str) -> bool:
    found = connection.execute("select 1 from sqlite_master where type = 'table' and name = ?", (table,))
    return found.fetchone() is not None


def meta_of(connection: sqlite3.Connection) -> dict[str, str]:
    """Return what is written about a log."""
    return dict(connection.execute("select name, value from coagent_log_meta").fetchall())


def settings_of(path: Path, meta: Mapping[str, str]) -> tuple[LogSettings, int]:
    """Return what a log was begun with, and the version of its format.

    Raises:
        LogError: It comes from a newer version, or what is written about it makes no sense.
    """
    try:
        version = int(meta["format"])
        targets = tuple(map(str, json.loads(meta.get("targets", "[]"))))
        settings = LogSettings(meta["protocol"], meta.get("order", "fixed"), targets)
    except (KeyError, ValueError, TypeError) as error:
        raise LogError(f"what log {str(path)!r} says of itself makes no sense: {error!r}", ASIDE) from None
    if version > FORMAT:
        raise LogError(
            f"log {str(path)!r} has format {version}, this version of CoAgent knows {FORMAT}",
            "Install a newer CoAgent.",
        )
    return settings, version


def read_after(
    connection: sqlite3.Connection, at: Position, path: Path, count: int, old: bool = False
) -> tuple[list[str], Position]:
    """Return up to `count` records after a place, and the place after them.

    Args:
        connection: To the file.
        at: The place.
        path: Of the file, for messages.
        count: How many at most.
        old: Whether the log is still of format 1, in which records stand elsewhere and are not chained.

    Raises:
        Gap: The next record is not there.
        LogError: A record is missing or damaged.
    """
    table = "coagent_log" if old else "coagent_records"
    rows = connection.execute(
        f"select number, checksum, record from {table} where number > ? order by number limit ?",
        (at.number, count),
    ).fetchall()
    if not rows and not old:  # of a log of format 1 nobody knows how far it went
        _check_end(connection, at, path)
    return followed(rows, at, str(path), ASIDE, chained=not old)


def _check_end(connection: sqlite3.Connection, at: Position, path: Path) -> None:
    """Refuse a log of which the end is missing."""
    found = connection.execute("select seq from sqlite_sequence where name = 'coagent_records'").fetchone()
    if found is not None and found[0] > at.number:
        # Records may have come in between the two questions.
        now = connection.execute("select max(number) from coagent_records").fetchone()[0] or 0
        if now < found[0]:
            raise LogError(f"log {str(path)!r} lacks its end: records {now + 1} to {found[0]}", ASIDE)


def latest_checkpoint(
    connection: sqlite3.Connection, path: Path, most: int | None = None
) -> tuple[Position, str] | None:
    """Return the last checkpoint: its place and its text.

    Args:
        connection: To the file.
        path: Of the file, for messages.
        most: The number after which a checkpoint is of no use.

    Raises:
        LogError: It is damaged.
    """
    row = connection.execute(
        "select number, chain, checksum, state from coagent_checkpoints where ? is null or number <= ? "
        "order by number desc limit 1",
        (most, most),
    ).fetchone()
    if row is None:
        return None
    number, chain, stored, text = row
    if not isinstance(text, str) or checksum(text) != stored:
        raise LogError(f"the checkpoint at record {number} of log {str(path)!r} is damaged", ASIDE)
    return Position(number, chain), text


def first_checkpoint(connection: sqlite3.Connection, path: Path) -> tuple[Position, str] | None:
    """Return the first checkpoint that is in the file: its place and its text.

    Raises:
        LogError: It is damaged.
    """
    first = connection.execute("select min(number) from coagent_checkpoints").fetchone()[0]
    return None if first is None else latest_checkpoint(connection, path, first)


def first_number(connection: sqlite3.Connection) -> int | None:
    """Return the number of the first record that is in the file; None where there is none."""
    tables = ["coagent_records", *(["coagent_log"] if _has(connection, "coagent_log") else [])]
    found = [connection.execute(f"select min(number) from {table}").fetchone()[0] for table in tables]
    return min((number for number in found if number is not None), default=None)


def last_old_number(connection: sqlite3.Connection) -> int:
    """Return the number of the last record of format 1 in a log that was begun in it; 0 where it was not."""
    if not _has(connection, "coagent_log"):
        return 0
    return connection.execute("select max(number) from coagent_log").fetchone()[0] or 0


def bytes_used(connection: sqlite3.Connection) -> int:
    """Return how much of the file is in use, in bytes; the rest is filled again before it grows."""
    pages, free, size = (
        connection.execute(f"pragma {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def last_number(connection: sqlite3.Connection, old: bool = False) -> int:
    """Return the number of the last record."""
    table = "coagent_log" if old else "coagent_records"
    found: int | None = connection.execute(f"select max(number) from {table}").fetchone()[0]
    if found is None and not old:
        found = connection.execute("select max(number) from coagent_checkpoints").fetchone()[0]
    return found or 0


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process is in the way, for the moment."""
    return _name(error) in ("SQLITE_BUSY", "SQLITE_LOCKED")


def failed(path: Path, act: str, error: sqlite3.Error) -> LogError:
    """Return what an error of SQLite's means for whoever uses the log."""
    name = _name(error)
    return LogError(
        f"log {str(path)!r} cannot be {act}: {error}" + (f" ({name})" if name else ""), cure_of(error, path)
    )


def cure_of(error: Exception, path: Path) -> str:
    """Return what to do about an error of SQLite's; empty where nothing is known.

    A database of which only the beginning is left may count as none: it is damaged all the same.
    """
    name = _name(error)
    if name == "SQLITE_NOTADB" and is_database(path):
        name = "SQLITE_CORRUPT"
    return _CURES.get(name, "")


def is_database(path: Path) -> bool:
    """Tell whether a file begins as the databases of SQLite do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_DATABASE)) == _DATABASE
    except OSError:
        return False


def _name(error: Exception) -> str:
    """Return the primary code of an error, without what is added to it (SQLITE_IOERR_WRITE)."""
    full = getattr(error, "sqlite_errorname", None) or ""
    return "_".join(full.split("_")[:2])
