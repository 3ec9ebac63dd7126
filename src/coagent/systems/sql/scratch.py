"""Throw-away databases in which a statement runs over the rows of its position in the order.

SQLite statements run in memory, PostgreSQL's in the temporary schema of a connection whose transaction is
rolled back, so that types, functions and constraints are the real ones. Neither touches the live tables.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from coagent.errors import TargetError, TargetUnavailable, ToolFailed
from coagent.protocol.values import Value
from coagent.systems.sql.functions import refuse_functions
from coagent.systems.sql.limits import Result, Watch, run, watched
from coagent.systems.sql.session import ConstraintFailed, Row, Schema, SqlSession, quoted
from coagent.systems.sql.sqlite import SqliteSession
from coagent.systems.sql.statements import Statement, nearest

if TYPE_CHECKING:
    from coagent.systems.sql.postgres import PostgresSession

Rows: TypeAlias = dict[str, dict[str, Row]]
"""Table to key to row."""

_MISSING = re.compile(r"no such (?:table|column): (\S+)|(?:relation|column) \"?([^\"\s]+)\"? does not exist")


class Ran(NamedTuple):
    """What a statement did: its result, and all tables as it left them."""

    result: Result
    rows: Rows
    sequences: dict[str, Value]
    schemas: dict[str, Schema]


class Scratch:
    """Runs statements in throw-away databases.

    Args:
        url: None for SQLite; for PostgreSQL a server on which temporary tables may be made.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = url
        self._idle: list[PostgresSession] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)

    def query(
        self,
        statement: Statement,
        schemas: Mapping[str, Schema],
        rows: Rows,
        partial: Mapping[str, list[str]],
        watch: Watch,
    ) -> Ran:
        """Run a query over tables, of which some have only the columns in `partial`.

        Raises:
            ToolFailed: The database refuses it, or it runs into a limit.
        """
        with self._session() as session, watched(session, watch):
            for table, schema in schemas.items():
                if table in partial:
                    _create_bare(session, table, schema, partial[table])
                    _load(session, table, schema, rows[table].values(), partial[table])
                else:
                    session.create(table, schema, deferred=True)
                    _load_whole(session, table, schema, rows[table])
            return Ran(_run(session, statement, schemas, watch), {}, {}, {})

    def change(
        self,
        statement: Statement,
        schemas: Mapping[str, Schema],
        rows: Rows,
        sequences: Mapping[str, Value],
        watch: Watch,
        checked: bool = True,
    ) -> Ran:
        """Run a statement that changes rows or schemas, with its foreign keys checked or not.

        Raises:
            ToolFailed: The database refuses it, for a constraint perhaps, or it runs into a limit.
        """
        with self._session() as session, watched(session, watch):
            for table, schema in schemas.items():
                session.create(table, schema, deferred=True)
                _load_whole(session, table, schema, rows.get(table, {}))
            for table, last in sequences.items():
                session.set_sequence(table, schemas[table], last)
            with _constraints(session, schemas if checked else {}):
                result = _run(session, statement, schemas, watch)
            left: dict[str, Schema] = {}
            for table in session.tables():
                found = session.schema(table)
                if found is not None:
                    _require_small(session, table, len(rows.get(table, {})), watch)
                    left[table] = found
            return Ran(
                result,
                {table: session.rows(table, schema) for table, schema in left.items()},
                {table: session.sequence(table, schema) for table, schema in left.items()},
                left,
            )

    @contextmanager
    def _session(self) -> Iterator[SqlSession]:
        if self.url is None:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            try:
                yield SqliteSession(connection)
            finally:
                connection.close()
            return
        from coagent.systems.sql.postgres import PostgresSession, connect_postgres

        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is None:
            session = PostgresSession(connect_postgres(self.url, "pg_temp"), "pg_temp")
        session.execute("BEGIN")
        try:
            yield session
        finally:
            if not session.broken:
                session.execute("ROLLBACK")
                with self._lock:
                    self._idle.append(session)


def _close_all(sessions: list[PostgresSession]) -> None:
    while sessions:
        sessions.pop().close()


@contextmanager
def _constraints(session: SqlSession, schemas: Mapping[str, Schema]) -> Iterator[None]:
    """Check the foreign keys of these tables when the statement has run, for the rows that it has changed."""
    try:
        if not schemas:
            yield
            return
        if isinstance(session, SqliteSession):
            session.execute("PRAGMA foreign_keys = ON")
            session.execute("BEGIN")
            session.execute("PRAGMA defer_foreign_keys = ON")
            yield
            session.execute("COMMIT")
            return
        session_: Any = session
        for table, schema in schemas.items():
            session_.refer(table, schema, late=True)
        yield
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except ConstraintFailed as error:
        raise ToolFailed(f"a constraint is violated: {error}", "Nothing was changed.") from None


def _create_bare(session: SqlSession, table: str, schema: Schema, columns: list[str]) -> None:
    """Make a table of some columns without constraints, for rows of which only these are known."""
    alias = schema["dialect"] == "sqlite" and schema["sequences"]
    parts = [
        f"{quoted(name)} {schema['columns'][name]['type']}" + (" PRIMARY KEY" if [name] == alias else "")
        for name in columns
        if name in schema["columns"]
    ]
    session.execute(f"CREATE TABLE {session.name(table)} ({', '.join(parts) or 'nothing int'})")


def _load(
    session: SqlSession, table: str, schema: Schema, rows: Iterable[Mapping[str, Value]], columns: list[str]
) -> None:
    rows = list(rows)
    names = ", ".join(quoted(name) if name != "_rowid_" else name for name in columns)
    marks = ", ".join(
        session.assigned(name, schema) if name != "_rowid_" else session.placeholder for name in columns
    )
    always = " OVERRIDING SYSTEM VALUE" if schema["dialect"] == "postgres" else ""
    connection = session.connection
    many = connection.executemany if schema["dialect"] == "sqlite" else connection.cursor().executemany
    if columns and rows:
        many(
            f"INSERT INTO {session.name(table)} ({names}){always} VALUES ({marks})",
            [[row[name] for name in columns] for row in rows],
        )


def _load_whole(session: SqlSession, table: str, schema: Schema, rows: Mapping[str, Row]) -> None:
    columns = [name for name, column in schema["columns"].items() if not column["generated"]]
    if schema["key"] == ["_rowid_"]:
        numbered = [{**row, "_rowid_": int(key)} for key, row in rows.items()]
        _load(session, table, schema, numbered, ["_rowid_", *columns])
    else:
        _load(session, table, schema, rows.values(), columns)


def _run(session: SqlSession, statement: Statement, schemas: Mapping[str, Schema], watch: Watch) -> Result:
    text = statement.text
    if statement.dialect == "postgres":
        refuse_functions(session, text)
        if statement.kind != "definition":
            # Temporary tables can be written all the same, and nothing else.
            session.execute("SET TRANSACTION READ ONLY")
    try:
        result = run(session, text, watch, returns=statement.returns, changes=statement.kind != "query")
    except (ConstraintFailed, TargetUnavailable):
        raise
    except TargetError as error:
        limit = watch.failed(error)
        if limit is not None:
            raise limit from None
        found = _MISSING.search(str(error))
        cure = ""
        if found:
            name = (found[1] or found[2]).rpartition(".")[2]
            known = {column for schema in schemas.values() for column in schema["columns"]}
            cure = nearest(name, sorted(known | set(schemas)))
        raise ToolFailed(f"the statement failed: {error}", cure) from None
    if result.changed > watch.limits.changed_rows and statement.kind != "query":
        raise _too_many(result.changed, watch)
    return result


def _require_small(session: SqlSession, table: str, loaded: int, watch: Watch) -> None:
    """Refuse a change that leaves so much in a table that reading it would take all the memory.

    Raises:
        ToolFailed: It does.
    """
    limits = watch.limits
    sqlite = isinstance(session, SqliteSession)  # its pages are counted as they are written
    size = "0" if sqlite else "coalesce(sum(octet_length(t.*::text)), 0)"
    count, size_bytes = session.execute(f"SELECT count(*), {size} FROM {session.name(table)} t").fetchone()
    if count - loaded > limits.changed_rows:
        raise _too_many(count - loaded, watch)
    if size_bytes > limits.scratch_bytes:
        raise ToolFailed(
            f"the statement would leave {size_bytes} bytes in {table!r}, more than {limits.scratch_bytes}",
            "Change fewer rows at once, or smaller values.",
        )


def _too_many(count: int, watch: Watch) -> ToolFailed:
    return ToolFailed(
        f"the statement changes {count} rows, more than the {watch.limits.changed_rows} of one call",
        "Split it, by ranges of the key perhaps.",
    )
