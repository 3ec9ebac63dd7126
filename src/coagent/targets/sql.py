"""A SQL database, SQLite or PostgreSQL: rows, schemas and sequences as objects.

- `sql:orders/42`      a row by its primary key (`sql_keys`): `{column: value}`
- `sql-schema:orders`  the table's schema as data (`sql_session`), so that CREATE, ALTER and DROP are writes
- `sql-seq:orders`     `{column: last number given out}`, so that the ids of two inserting agents are ordered

Changing a schema changes what the rows hold, so whoever writes a schema writes the rows too, in one change:
`put_many` takes them together. Tables of PostgreSQL need a primary key; those of SQLite go by rowid without.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import anyio.to_thread

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.targets.base import GuardFailed, Target
from coagent.targets.sql_session import ConstraintFailed, Schema, SqlSession
from coagent.targets.sql_sqlite import SqliteSession, connect_sqlite

Change: TypeAlias = tuple[Key, Value, Sequence[Value]]
"""(key, new value or None, every value that the object may have now)."""
_Result = TypeVar("_Result")
_Row: TypeAlias = tuple[str, str, Value]
_Rows: TypeAlias = list[_Row]


class Sql(Target):
    """The tables of one database.

    Args:
        url: `sqlite:///path` (four slashes for an absolute path) or `postgresql://user@host/database`.
        scheme: The scheme of its rows; schemas and sequences are `<scheme>-schema` and `<scheme>-seq`.
        schema: The schema of a PostgreSQL database whose tables are meant.

    Raises:
        TargetError: The URL names no engine that is known.
    """

    takes_many = True

    def __init__(self, url: str, *, scheme: str = "sql", schema: str = "public") -> None:
        self.url = url
        self.scheme = scheme
        self.schemes = (scheme, f"{scheme}-schema", f"{scheme}-seq")
        self._space = schema
        self._local = url.startswith("sqlite:///")
        if not self._local and not url.startswith(("postgresql://", "postgres://")):
            raise TargetError(
                f"{url.partition(':')[0]!r} is no database that is known here",
                "Write sqlite:///path or postgresql://user@host/database.",
            )
        self._idle: list[SqlSession] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)

    def canonical(self, key: Key) -> Key:
        scheme, _, path = key.partition(":")
        table, slash, row = path.partition("/")
        if "\0" in key:
            raise TargetError(f"{key!r} has a NUL in it")
        return f"{scheme}:{table.lower() if self._local else table}{slash}{row}"

    def entangled(self, key: Key, others: Collection[Key]) -> bool:
        return bool(others)  # rows refer to each other, and share unique values

    async def get(self, key: Key) -> Value:
        return await self._reading(lambda session: self._get(session, key))

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        return await self._reading(lambda session: {key: self._get(session, key) for key in keys})

    async def list(self, prefix: str) -> dict[Key, Value]:
        return await self._reading(lambda session: self._list(session, prefix))

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await self.put_many([(key, value, expected)])

    async def put_many(self, changes: Sequence[Change]) -> None:
        """Make several changes in one transaction, in an order that the constraints allow.

        Idempotent like `put`: what is already as wanted is left alone.

        Raises:
            GuardFailed: One of the objects has none of the values expected of it; nothing was changed.
            TargetError: The database refuses; nothing was changed.
        """
        await anyio.to_thread.run_sync(self._put_many, changes)

    def snapshot(self, prefix: str = "") -> dict[Key, Value]:
        """Return the rows of all tables under `prefix`; schemas and sequences where it names them."""
        with self._session() as session, _transaction(session, "BEGIN"):
            return self._list(session, prefix or f"{self.scheme}:")

    async def close(self) -> None:
        with self._lock:
            _close_all(self._idle)

    # ---- reading -------------------------------------------------------------------------------------------

    async def _reading(self, read: Callable[[SqlSession], _Result]) -> _Result:
        def run() -> _Result:
            with self._session() as session, _transaction(session, "BEGIN"):
                return read(session)

        # SQLite answers sooner than a thread starts; a server is waited for elsewhere.
        return run() if self._local else await anyio.to_thread.run_sync(run)

    def _split(self, key: Key) -> tuple[str, str, str]:
        scheme, _, path = key.partition(":")
        table, slash, row = path.partition("/")
        if not table or (not row if scheme == self.scheme else bool(slash)):
            raise TargetError(
                f"{key!r} names no object", f"Write {scheme}:table" + "/key" * (scheme == self.scheme)
            )
        return scheme, table, row

    def _get(self, session: SqlSession, key: Key, *, lock: bool = False) -> Value:
        scheme, table, row = self._split(key)
        if scheme.endswith("-schema"):
            return session.schema(table)
        schema = _row_schema(session, table)
        if schema is None:
            return None
        if scheme == self.scheme:
            return session.row(table, schema, row, lock=lock)
        return session.sequence(table, schema)

    def _list(self, session: SqlSession, prefix: str) -> dict[Key, Value]:
        scheme, _, path = prefix.partition(":")
        name, slash, _ = path.partition("/")
        found: dict[Key, Value] = {}
        for table in session.tables():
            if table != name if slash else not table.startswith(name):
                continue
            if scheme.endswith("-schema"):
                found[f"{scheme}:{table}"] = session.schema(table)
                continue
            schema = _row_schema(session, table)
            if schema is None:
                continue
            if scheme == self.scheme:
                rows = session.rows(table, schema)
                found.update({f"{scheme}:{table}/{key}": row for key, row in rows.items()})
            elif (last := session.sequence(table, schema)) is not None:
                found[f"{scheme}:{table}"] = last
        return {key: value for key, value in found.items() if key.startswith(prefix)}

    # ---- writing -------------------------------------------------------------------------------------------

    def _put_many(self, changes: Sequence[Change]) -> None:
        with self._session() as session, _transaction(session, "BEGIN IMMEDIATE" if self._local else "BEGIN"):
            wanted = []
            for key, value, expected in sorted(changes, key=lambda change: change[0]):
                found = self._get(session, key, lock=True)
                if same(found, value):
                    wanted.append((key, value))  # a schema among the others may still change it
                elif any(same(found, one) for one in expected) or self._follows_rows(session, key):
                    wanted.append((key, value))
                else:
                    raise GuardFailed(key, found)
            if not self._local:
                session.execute("SET CONSTRAINTS ALL DEFERRED")
            schemas: _Rows = []
            rows: _Rows = []
            sequences: _Rows = []
            for key, value in wanted:
                scheme, table, row = self._split(key)
                kind = (
                    schemas if scheme.endswith("-schema") else sequences if scheme.endswith("-seq") else rows
                )
                kind.append((table, row, value))
            _in_any_order(session, schemas, lambda one: session.change_schema(one[0], one[2]))
            self._write_rows(session, rows)
            for table, _, value in sequences:
                schema = _row_schema(session, table)
                if schema is not None and not same(session.sequence(table, schema), value):
                    session.set_sequence(table, schema, value)

    def _follows_rows(self, session: SqlSession, key: Key) -> bool:
        """Tell whether the object is nothing but the largest rowid of its table."""
        scheme, table, _ = self._split(key)
        schema = session.schema(table) if self._local and scheme.endswith("-seq") else None
        return schema is not None and not schema["autoincrement"]

    def _write_rows(self, session: SqlSession, rows: _Rows) -> None:
        stuck = _in_any_order(session, rows, lambda one: _write_row(session, one), give_up=True)
        if not stuck:
            return
        # Rows that trade unique values with each other: take them out, and put them in again.
        named = {
            reference["table"]
            for table in session.tables()
            for reference in (session.schema(table) or {"references": []})["references"]
        }
        if not self._local and any(table in named for table, _, _ in stuck):
            _in_any_order(session, stuck, lambda one: _write_row(session, one))
        for table, row, _ in stuck:
            _write_row(session, (table, row, None))
        _in_any_order(session, stuck, lambda one: _write_row(session, one))

    # ---- connections ---------------------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[SqlSession]:
        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is None:
            session = self._connected()
        try:
            yield session
        except BaseException:
            if session.broken:
                session = None
            raise
        finally:
            if session is not None:
                with self._lock:
                    self._idle.append(session)

    def _connected(self) -> SqlSession:
        if self._local:
            try:
                return SqliteSession(connect_sqlite(self.url.removeprefix("sqlite:///")))
            except sqlite3.Error as error:
                raise TargetError(f"{self.url!r} cannot be opened: {error}") from None
        from coagent.targets.sql_postgres import PostgresSession, connect_postgres

        return PostgresSession(connect_postgres(self.url, self._space), self._space)


def _close_all(sessions: list[SqlSession]) -> None:
    while sessions:
        sessions.pop().close()


@contextmanager
def _transaction(session: SqlSession, begin: str) -> Iterator[None]:
    session.execute(begin)
    try:
        yield
        session.execute("COMMIT")
    except BaseException:
        if not session.broken:
            session.execute("ROLLBACK")
        raise


def _row_schema(session: SqlSession, table: str) -> Schema | None:
    known: Any = getattr(session, "row_schema", session.schema)
    schema: Schema | None = known(table)
    return schema


def _write_row(session: SqlSession, row: _Row) -> None:
    table, key, value = row
    schema = _row_schema(session, table)
    if schema is None:
        if value is not None:
            raise TargetError(f"there is no table {table!r}", "Create it first.")
        return
    found = session.row(table, schema, key)
    if not same(found, value):
        session.write_row(table, schema, key, found, value)


def _in_any_order(
    session: SqlSession, items: _Rows, write: Callable[[_Row], None], *, give_up: bool = False
) -> _Rows:
    """Write all items, coming back to those that the others stand in the way of.

    Returns:
        Those for which no order was found, with `give_up`; otherwise none.

    Raises:
        ConstraintFailed: No order was found.
    """
    left = items
    while left:
        failed: _Rows = []
        failure: ConstraintFailed | None = None
        for item in left:
            session.execute("SAVEPOINT one_change")
            try:
                write(item)
            except ConstraintFailed as error:
                session.execute("ROLLBACK TO one_change")
                failed.append(item)
                failure = error
            session.execute("RELEASE one_change")
        if failure is not None and len(failed) == len(left):
            if give_up:
                return failed
            raise failure
        left = failed
    return []
