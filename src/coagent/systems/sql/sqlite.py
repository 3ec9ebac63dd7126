"""SQLite as schemas, rows and sequences.

A table is changed by making it anew with the wanted text and copying its rows, as SQLite's documentation of
ALTER TABLE advises (section 7). Foreign keys are not enforced on this connection: every statement was checked
against them where it ran first, and the rows of one change arrive in an order of their own.
"""

from __future__ import annotations

import os
import re
import sqlite3
import urllib.parse
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.values import Value
from coagent.systems.sql.session import (
    ConstraintFailed,
    DatabaseBusy,
    Schema,
    SqlSession,
    first_values,
    quote_name,
)

_ASIDE = "coagent_replaced"
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_PASSING = {
    sqlite3.SQLITE_NOMEM: "The memory is used up; end some programs.",
    sqlite3.SQLITE_INTERRUPT: "Try again.",
    sqlite3.SQLITE_IOERR: "Look at the disk under it (dmesg), and whether there is space left.",
    sqlite3.SQLITE_CORRUPT: "Restore it from a copy (sqlite3 .recover).",
    sqlite3.SQLITE_FULL: "Free some disk space; nothing was changed.",
    sqlite3.SQLITE_CANTOPEN: "Put the file back in its place, and check the permissions of its folder.",
    sqlite3.SQLITE_SCHEMA: "Try again.",
    sqlite3.SQLITE_NOTADB: "Put a SQLite database in its place.",
}


def connect_sqlite(path: str, *, create: bool = True) -> sqlite3.Connection:
    """Open a database file, without waiting for anybody; transactions are explicit.

    Args:
        path: The file.
        create: Whether to make it where it is not there.

    Raises:
        TargetError: It cannot be opened.
    """
    url = f"file:{urllib.parse.quote(os.path.abspath(path))}?mode={'rwc' if create else 'rw'}"
    try:
        connection = sqlite3.connect(url, uri=True, isolation_level=None, check_same_thread=False, timeout=0)
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA legacy_alter_table = ON")
    except sqlite3.Error as error:
        raise _failure(error, path) from None
    return connection


class SqliteSession(SqlSession):
    """Reads and writes over one SQLite connection.

    Args:
        connection: Made by `connect_sqlite`.
        path: The file, for messages.
    """

    placeholder = "?"
    connection: sqlite3.Connection

    def __init__(self, connection: sqlite3.Connection, path: str = "") -> None:
        self.connection = connection
        self._path = path
        self.place = (0, 0)
        """Device and inode of the file."""
        self._schemas: dict[str, Schema | None] = {}
        self._version = -1

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        try:
            return self.connection.execute(statement, parameters)
        except sqlite3.IntegrityError as error:
            raise ConstraintFailed(str(error)) from None
        except (sqlite3.Error, OverflowError, sqlite3.Warning) as error:
            raise _failure(error, self._path) from None

    def begin(self, statement: str, lock_s_max: float, statement_s_max: float) -> None:
        self.execute(f"PRAGMA busy_timeout = {int(lock_s_max * 1000)}")
        self.execute(statement)

    def tables(self) -> list[str]:
        found = self.execute(
            "SELECT lower(name) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
            "ESCAPE '\\' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY 1"
        )
        return [name for name in first_values(found.fetchall()) if "/" not in name and "(" not in name]

    def views(self) -> list[str]:
        found = self.execute("SELECT lower(name) FROM sqlite_master WHERE type = 'view' ORDER BY 1")
        return [name for name in first_values(found.fetchall()) if "/" not in name and "(" not in name]

    def schema(self, table: str) -> Schema | None:
        version = self.execute("PRAGMA schema_version").fetchone()[0]
        if version != self._version:
            self._schemas.clear()
            self._version = version
        if table not in self._schemas:
            self._schemas[table] = self._schema(table)
        return self._schemas[table]

    def _schema(self, table: str) -> Schema | None:
        made = self.execute(
            "SELECT sql, type FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = ?",
            (table,),
        ).fetchone()
        if made is not None and made[1] == "view":
            return self._view(table, made[0])
        if made is None or table not in self.tables():
            return None
        text = made[0]
        columns: dict[str, dict[str, Any]] = {}
        key: dict[int, str] = {}
        for _, name, declared, not_null, default, place, hidden in self.execute(
            f"PRAGMA table_xinfo({quote_name(table)})"
        ).fetchall():
            columns[name] = {
                "type": declared,
                "kind": _kind(declared, text),
                "null": not (not_null or place),
                "default": default,
                "generated": hidden in (2, 3),
            }
            if place:
                key[place] = name
        names = [key[place] for place in sorted(key)]
        without_rowid = re.search(r"\)[^)]*WITHOUT\s+ROWID[^)]*\Z", text, re.IGNORECASE) is not None
        alias = len(names) == 1 and columns[names[0]]["type"].upper() == "INTEGER" and not without_rowid
        indexes = self.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND lower(tbl_name) = ? AND sql IS NOT NULL "
            "ORDER BY name",
            (table,),
        ).fetchall()
        return {
            "dialect": "sqlite",
            "columns": columns,
            "key": names or ["_rowid_"],
            "unique": self._unique(table),
            "references": self._references(table),
            "sequences": names if alias else [] if names else ["_rowid_"],
            "autoincrement": alias and re.search(r"\bAUTOINCREMENT\b", text, re.IGNORECASE) is not None,
            "triggers": self.triggers(table),
            "create": [text, *first_values(indexes)],
        }

    def triggers(self, table: str) -> list[str]:
        """Return the texts of a table's triggers, in the order in which they were made."""
        found = self.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = ? ORDER BY rowid",
            (table,),
        )
        return first_values(found.fetchall())

    @contextmanager
    def without_triggers(self, tables: Collection[str]) -> Iterator[None]:
        # They can be switched off only since Python 3.12. Within a transaction nobody sees them gone.
        texts = [text for table in sorted(tables) for text in self.triggers(table)]
        names = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = ?"
        for table in tables if texts else ():
            for name in first_values(self.execute(names, (table,)).fetchall()):
                self.execute(f"DROP TRIGGER {quote_name(name)}")
        yield
        for text in texts:
            self.execute(text)

    def _view(self, view: str, text: str) -> Schema:
        return {
            "dialect": "sqlite",
            "view": text,
            "columns": {},
            "key": [],
            "unique": [],
            "references": [],
            "sequences": [],
            "autoincrement": False,
            "triggers": self.triggers(view),
            "create": [text],
        }

    def _unique(self, table: str) -> list[list[str] | None]:
        found: list[list[str] | None] = []
        for _, index, unique, origin, partial in self.execute(
            f"PRAGMA index_list({quote_name(table)})"
        ).fetchall():
            if unique and origin != "pk":
                names = [row[2] for row in self.execute(f"PRAGMA index_info({quote_name(index)})").fetchall()]
                found.append(None if partial or None in names else names)
        return sorted(found, key=repr)

    def _references(self, table: str) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for number, _, other, column, to, *_ in self.execute(
            f"PRAGMA foreign_key_list({quote_name(table)})"
        ).fetchall():
            one = found.setdefault(number, {"columns": [], "table": other.lower(), "to": []})
            one["columns"].append(column)
            if to is not None:
                one["to"].append(to)
        return [found[number] for number in sorted(found)]

    def create(self, table: str, schema: Schema, *, deferred: bool = False) -> None:
        for statement in schema["create"]:
            if not re.match(r"CREATE\s+(TABLE|VIEW|(UNIQUE\s+)?INDEX)\b", statement, re.IGNORECASE):
                raise TargetError(f"a schema holds CREATE TABLE and CREATE INDEX, not {statement[:40]!r}")
            self.execute(statement)
        for statement in () if deferred else schema["triggers"]:
            self.execute(statement)

    def alter(self, table: str, now: Schema, wanted: Schema) -> None:
        if now["create"][0] == wanted["create"][0]:
            self._drop_indexes(table)
            for statement in wanted["create"][1:]:
                self.execute(statement)
            return
        sequence = self.sequence(table, now)
        self._drop_indexes(table)
        self.execute(f"ALTER TABLE {quote_name(table)} RENAME TO {_ASIDE}")
        self.execute(wanted["create"][0])
        pairs = copied_columns(now, wanted)
        if now["key"] == wanted["key"] == ["_rowid_"]:
            pairs.append(("_rowid_", "_rowid_"))
        if pairs:
            new = ", ".join(quote_name(name) for name, _ in pairs)
            old = ", ".join(quote_name(name) for _, name in pairs)
            self.execute(f"INSERT INTO {quote_name(table)} ({new}) SELECT {old} FROM {_ASIDE}")
        self.execute(f"DROP TABLE {_ASIDE}")
        for statement in wanted["create"][1:]:
            self.execute(statement)
        for statement in wanted["triggers"]:
            self.execute(statement)
        if wanted["autoincrement"] and sequence is not None:
            self.set_sequence(table, wanted, sequence)

    def _drop_indexes(self, table: str) -> None:
        for name in first_values(
            self.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND lower(tbl_name) = ? "
                "AND sql IS NOT NULL",
                (table,),
            ).fetchall()
        ):
            self.execute(f"DROP INDEX {quote_name(name)}")

    def sequence(self, table: str, schema: Schema) -> Value:
        if not schema["sequences"]:
            return None
        found = self.execute(f"SELECT max(_rowid_) FROM {quote_name(table)}").fetchone()
        last = found[0] or 0
        if schema["autoincrement"]:  # a row may have been given a larger number than was given out
            counted = self.execute(
                "SELECT seq FROM sqlite_sequence WHERE lower(name) = ?", (table,)
            ).fetchone()
            last = max(last, counted[0] if counted else 0)
        return {schema["sequences"][0]: last}

    def set_sequence(self, table: str, schema: Schema, value: Value) -> None:
        if schema["autoincrement"] and value is not None:
            self.execute("DELETE FROM sqlite_sequence WHERE lower(name) = ?", (table,))
            if last := value[schema["sequences"][0]]:
                self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))


def copied_columns(now: Schema, wanted: Schema) -> list[tuple[str, str]]:
    """Return (new name, old name) of the columns whose values a changed table keeps.

    A column that is new in the place and with the definition of one that is gone is the same one, renamed.
    """
    old, new = list(now["columns"]), list(wanted["columns"])
    pairs = [(name, name) for name in new if name in now["columns"]]
    if len(old) == len(new):
        pairs += [
            (name, old[at])
            for at, name in enumerate(new)
            if name not in now["columns"]
            and old[at] not in wanted["columns"]
            and now["columns"][old[at]] == wanted["columns"][name]
        ]
    return [(name, other) for name, other in pairs if not wanted["columns"][name]["generated"]]


def _failure(error: Exception, path: str) -> TargetError:
    """Return the error that stands for a failure (sqlite.org/rescode.html)."""
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code in _BUSY:
        return DatabaseBusy(
            f"database {path!r} is locked by another program",
            "Wait until that has finished; if it lasts, look which one it is (lsof, fuser).",
        )
    if code in _PASSING or extended == sqlite3.SQLITE_READONLY_DBMOVED:
        cure = _PASSING.get(code, "Put the file back in its place.")
        return TargetUnavailable(f"database {path!r} cannot be used: {error}", cure)
    if code == sqlite3.SQLITE_READONLY and path and os.statvfs(path).f_flag & os.ST_RDONLY:
        return TargetUnavailable(
            f"database {path!r} is on a read-only file system", "Mount it writable.", by_itself=False
        )
    return TargetError(f"SQLite refuses: {error}")


def _kind(declared: str, text: str) -> str:
    """Return the kind of a column by its affinity (sqlite.org/datatype3.html, section 3.1)."""
    name = declared.upper()
    if "INT" in name:
        return "number"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "other" if "COLLATE" in text.upper() else "text"
    if "BLOB" in name or not name:
        return "other"
    return "number"
