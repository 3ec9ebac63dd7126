"""Throw-away databases in which a statement runs over the rows of its position in the order.

SQLite statements run in memory, PostgreSQL's in the temporary schema of a connection whose transaction is
rolled back, so that types, functions and constraints are the real ones. Neither touches the live tables.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from coagent.errors import TargetError, TargetUnavailable, ToolFailed
from coagent.protocol.values import Value
from coagent.systems.sql.catalogs import create_all, show_catalogs
from coagent.systems.sql.functions import Allowed
from coagent.systems.sql.kept import Kept, prepare_chance, set_clock, start_chance
from coagent.systems.sql.limits import Result, StatementGuard, run_statement, within_limits
from coagent.systems.sql.rewriting import names_in
from coagent.systems.sql.routines import Routines, routines_of
from coagent.systems.sql.scratch_only import require_no_lock, require_scratch_only, rows_written
from coagent.systems.sql.scratch_tables import Rows, create_bare, in_order, load, load_whole
from coagent.systems.sql.session import ConstraintFailed, Schema, SqlSession
from coagent.systems.sql.sqlite import SqliteSession
from coagent.systems.sql.statements import Statement, nearest

if TYPE_CHECKING:
    from coagent.systems.sql.postgres import PostgresSession

_MISSING = re.compile(r"no such (?:table|column): (\S+)|(?:relation|column) \"?([^\"\s]+)\"? does not exist")


class ScratchResult(NamedTuple):
    """What a statement did: its result, and all tables as it left them."""

    result: Result
    rows: Rows
    sequences: dict[str, Value]
    schemas: dict[str, Schema]


class Work(NamedTuple):
    """A statement, and what it needs.

    Args:
        statement: The statement.
        schemas: Of the tables and views that are made for it.
        rows: Of the tables.
        sequences: The last numbers given out, by table.
        partial: The tables of which only some columns are made, with these.
        kept: Its hour, and what chance starts from; None where it needs neither.
        routines: The functions of the schema that may run.
    """

    statement: Statement
    schemas: Mapping[str, Schema]
    rows: Rows
    sequences: Mapping[str, Value]
    partial: Mapping[str, list[str]]
    kept: Kept | None
    routines: Routines


class Scratch:
    """Runs statements in throw-away databases.

    Args:
        url: None for SQLite; for PostgreSQL a server on which temporary tables may be made.
        space: The schema of a PostgreSQL database whose types and functions the statements find.
        role: Whose rights they have there; by default those of the URL's user.
    """

    def __init__(self, url: str | None = None, *, space: str = "public", role: str | None = None) -> None:
        self.url = url
        self._space = space
        self._role = role
        self._allowed: Allowed | None = None
        self._idle: list[PostgresSession] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)

    @property
    def servers(self) -> frozenset[str] | None:
        """The functions that every PostgreSQL server has; None where no statement has run yet."""
        return self._allowed.servers if self._allowed else None

    def routines(self, texts: Iterable[str]) -> Routines:
        """Return the functions of the schema that some texts call, also through one another.

        Raises:
            ToolFailed: One of them cannot be called apart from the live tables.
        """
        with self._session() as session:
            return routines_of(session, self._space, texts, self._allowed_functions(session))

    def query(self, work: Work, guard: StatementGuard) -> ScratchResult:
        """Run a query.

        Raises:
            ToolFailed: The database refuses it, or it runs into a limit.
        """
        with self._session() as session, within_limits(session, guard):
            if work.statement.catalogs:
                create_all(session, work.schemas)
                for table, last in work.sequences.items():
                    session.set_sequence(table, work.schemas[table], last)
                session.execute("SAVEPOINT made") if self.url else None
                text = show_catalogs(session, work.statement.text, self._space) if self.url else None
                return ScratchResult(self._run(session, work, guard, text), {}, {}, {})
            self._make(session, work)
            return ScratchResult(self._run(session, work, guard), {}, {}, {})

    def change(self, work: Work, guard: StatementGuard, checked: bool = True) -> ScratchResult:
        """Run a statement that changes rows or schemas, with its foreign keys checked or not.

        Raises:
            ToolFailed: The database refuses it, for a constraint perhaps, or it runs into a limit.
        """
        rows = work.rows
        with self._session() as session, within_limits(session, guard):
            with _constraints(session, work.schemas if checked else {}, lambda: self._make(session, work)):
                result = self._run(session, work, guard)
            left = self._schemas_after(session, work)
            tables = {table: schema for table, schema in left.items() if "view" not in schema}
            for table in tables:
                _require_small(session, table, len(rows.get(table, {})), guard)
            return ScratchResult(
                result,
                {table: session.rows(table, schema) for table, schema in tables.items()},
                {table: session.sequence(table, schema) for table, schema in tables.items()},
                left,
            )

    def _schemas_after(self, session: SqlSession, work: Work) -> dict[str, Schema]:
        """Return the schemas of what there is when a statement has run."""
        if work.statement.kind == "change":
            return dict(work.schemas)
        found = {name: session.schema(name) for name in [*session.tables(), *session.views()]}
        return {name: schema for name, schema in found.items() if schema is not None}

    def _make(self, session: SqlSession, work: Work) -> None:
        """Make and fill the tables, and what acts on them."""
        if isinstance(session, SqliteSession) and work.kept is not None:
            set_clock(session.connection, work.kept)
        changes = work.statement.kind == "change"
        if self.url is not None and work.kept is not None:
            prepare_chance(session)
        early = changes and self._in_defaults(work)
        if early:
            work.routines.create(session, self._space, work.kept)
        views: list[tuple[str, Schema]] = []
        for table, schema in in_order(work.schemas):
            if "view" in schema:
                views.append((table, schema))
            elif table in work.partial:
                create_bare(session, table, schema, work.partial[table])
                load(session, table, schema, work.rows[table].values(), work.partial[table])
            else:
                made = self._at_its_hour(schema, work) if changes else schema
                session.create(table, made, deferred=True)
                load_whole(session, table, schema, work.rows.get(table, {}))
        for table, last in work.sequences.items():
            session.set_sequence(table, work.schemas[table], last)
        if self.url is not None:
            if not early:
                work.routines.create(session, self._space, work.kept)
            if work.kept is not None:
                start_chance(session, work.kept)
        for view, schema in views:
            text = schema["view"]
            session.create(view, {**schema, "view": self._text(text, work)}, deferred=True)
        if work.statement.kind != "query":
            for schema in work.schemas.values():
                for trigger in schema["triggers"]:
                    session.execute(self._text(trigger, work))

    def _in_defaults(self, work: Work) -> bool:
        """Tell whether a default calls a function of the schema, which has to be there before the table."""
        columns = [column for schema in work.schemas.values() for column in schema["columns"].values()]
        texts = [column["default"] for column in columns if column["default"] is not None]
        return bool(work.routines.names) and any(names_in(text, work.routines.names) for text in texts)

    def _text(self, text: str, work: Work) -> str:
        """Return a text as it runs here: a definition of the schema must stay as it is."""
        if self.url is None or work.statement.kind == "definition":
            return text
        return work.routines.text(text, work.kept)

    def _at_its_hour(self, schema: Schema, work: Work) -> Schema:
        """Return a schema whose defaults look at the hour that is kept."""
        if self.url is None or (work.kept is None and not work.routines.names):
            return schema
        columns = {
            name: column
            if column["default"] is None or column["generated"]
            else {**column, "default": work.routines.text(column["default"], work.kept)}
            for name, column in schema["columns"].items()
        }
        return {**schema, "columns": columns}

    def _allowed_functions(self, session: SqlSession) -> Allowed:
        if self._allowed is None:
            self._allowed = Allowed(session)
        return self._allowed

    def _run(self, session: SqlSession, work: Work, guard: StatementGuard, text: str | None = None) -> Result:
        statement = work.statement
        if text is None:
            text = statement.text
        if self.url is not None:
            names = work.routines.names
            allowed = self._allowed_functions(session)
            allowed.refuse(session, statement.text, names, catalogs=statement.catalogs)
            for schema in work.schemas.values():
                if "view" in schema and not statement.catalogs:
                    allowed.refuse(session, schema["view"], names)
            text = self._text(text, work)
            if statement.kind != "definition":
                # Temporary tables can be written all the same, and nothing else.
                session.execute("SET TRANSACTION READ ONLY")
                require_scratch_only(session, text)
        before = rows_written(session) if work.routines.volatile and statement.kind == "query" else None
        result = _run_statement(session, statement, text, work.schemas, guard)
        if before is not None and rows_written(session) != before:
            raise ToolFailed(
                "the query calls a function that changes rows", "Write the change as a statement."
            )
        if self.url is not None and statement.kind == "definition":
            require_no_lock(session)
        if result.changed > guard.limits.changed_rows and statement.kind != "query":
            raise _too_many(result.changed, guard)
        return result

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
            server = connect_postgres(self.url, self._space, scratch=True, role=self._role)
            session = PostgresSession(server, "pg_temp")
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
def _constraints(
    session: SqlSession, schemas: Mapping[str, Schema], make: Callable[[], None]
) -> Iterator[None]:
    """Check the foreign keys of these tables when the statement has run, for the rows that it has changed."""
    make()
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


def _run_statement(
    session: SqlSession, statement: Statement, text: str, schemas: Mapping[str, Schema], guard: StatementGuard
) -> Result:
    try:
        return run_statement(
            session, text, guard, returns=statement.returns, changes=statement.kind != "query"
        )
    except (ConstraintFailed, TargetUnavailable):
        raise
    except TargetError as error:
        limit = guard.limit_error(error)
        if limit is not None:
            raise limit from None
        found = _MISSING.search(str(error))
        cure = ""
        if found:
            name = (found[1] or found[2]).rpartition(".")[2]
            known = {column for schema in schemas.values() for column in schema["columns"]}
            cure = nearest(name, sorted(known | set(schemas)))
        raise ToolFailed(f"the statement failed: {error}", cure) from None


def _require_small(session: SqlSession, table: str, loaded: int, guard: StatementGuard) -> None:
    """Refuse a change that leaves so much in a table that reading it would take all the memory.

    Raises:
        ToolFailed: It does.
    """
    limits = guard.limits
    sqlite = isinstance(session, SqliteSession)  # its pages are counted as they are written
    size = "0" if sqlite else "coalesce(sum(octet_length(t.*::text)), 0)"
    count, size_bytes = session.execute(f"SELECT count(*), {size} FROM {session.name(table)} t").fetchone()
    if count - loaded > limits.changed_rows:
        raise _too_many(count - loaded, guard)
    if size_bytes > limits.scratch_bytes:
        raise ToolFailed(
            f"the statement would leave {size_bytes} bytes in {table!r}, more than {limits.scratch_bytes}",
            "Change fewer rows at once, or smaller values.",
        )


def _too_many(count: int, guard: StatementGuard) -> ToolFailed:
    return ToolFailed(
        f"the statement changes {count} rows, more than the {guard.limits.changed_rows} of one call",
        "Split it, by ranges of the key perhaps.",
    )
