"""The parts of SQLite databases: rows by primary key or rowid, and what the schema says.

The bytes are opened as a database in memory, from which nothing but reading is allowed. Only the file counts:
what still stands in a write-ahead log (`-wal`) is another file's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from coagent.toolsmith.part_documents import PARTS_MAX, Unclear, escape

MAGIC = b"SQLite format 3\x00"
"""How an SQLite database begins (https://www.sqlite.org/fileformat.html)."""

_SIZE_MAX_BYTES = 16 << 20
_STEPS_MAX = 20_000  # of 1,000 operations of SQLite's virtual machine
_READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_PRAGMA)
_PRAGMAS = ("user_version", "application_id")


def sqlite_parts(path: str, data: bytes) -> dict[str, str] | None:
    """Return the rows and the schema of an SQLite database, or None.

    A database with virtual tables has no parts: to read them would run their modules.
    """
    if len(data) > _SIZE_MAX_BYTES or len(data) < 100:
        return None
    # Bytes 18 and 19 say that there may be a write-ahead log; in memory there is none.
    plain = data[:18] + b"\x01\x01" + data[20:]
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(plain)
        _restrict(connection)
        return _parts(path, connection)
    except (sqlite3.Error, UnicodeDecodeError, Unclear, MemoryError, OverflowError):
        return None
    finally:
        connection.close()


def _restrict(connection: sqlite3.Connection) -> None:
    connection.text_factory = bytes
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SIZE_MAX_BYTES)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {pragma}")
    steps = iter(range(_STEPS_MAX))
    connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
    )


def _parts(path: str, connection: sqlite3.Connection) -> dict[str, str]:
    parts: dict[str, str] = {}
    for pragma in _PRAGMAS:
        (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
        _put(parts, f"schema:{path}#pragma/{pragma}", value)
    entries = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    for kind, name, sql in entries:
        text = b"" if sql is None else sql
        if text[:14].upper() == b"CREATE VIRTUAL":
            raise Unclear
        _put(parts, f"schema:{path}#{kind.decode()}/{escape(name.decode())}", text)
        if kind == b"table":
            for key, row in _rows(connection, name.decode()):
                _put(parts, f"row:{path}#{escape(name.decode())}/{key}", row)
    return parts


def _put(parts: dict[str, str], key: str, value: Any) -> None:
    if key in parts or len(parts) >= PARTS_MAX:
        raise Unclear
    parts[key] = repr(value)


def _rows(connection: sqlite3.Connection, table: str) -> Iterable[tuple[str, tuple[Any, ...]]]:
    columns = [  # without those that are computed
        (name.decode(), primary)
        for _, name, _, _, _, primary, hidden in connection.execute(f"PRAGMA table_xinfo({_quote(table)})")
        if not hidden
    ]
    primary = [name for name, place in sorted(columns, key=lambda item: int(item[1])) if place]
    if table == "sqlite_sequence":
        primary = ["name"]
    if not primary:
        taken = {name.lower() for name, _ in columns}
        primary = [next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), "")]
        if primary == [""]:
            raise Unclear
        selected = primary[0]
    else:
        selected = ", ".join(_quote(name) for name in primary)
    values = ", ".join(_quote(name) for name, _ in columns)
    for row in connection.execute(f"SELECT {selected}, {values} FROM {_quote(table)}"):
        yield "/".join(_step(cell) for cell in row[: len(primary)]), row[len(primary) :]


def _step(value: Any) -> str:
    """Return a value of a primary key as one step; text stands as it is, so that people can write it."""
    if isinstance(value, bytes):
        return escape(value.decode())
    return "NULL" if value is None else str(value)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
