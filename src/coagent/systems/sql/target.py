"""A SQL database, SQLite or PostgreSQL: rows, schemas and sequences as objects.

- `sql:orders/42`      a row by its primary key (`sql_keys`): `{column: value}`
- `sql-schema:orders`  the schema of a table or view as data (`sql_session`): CREATE, ALTER, DROP write it
- `sql-seq:orders`     `{column: last number given out}`, so that the ids of two inserting agents are ordered

Changing a schema changes what the rows hold, so whoever writes a schema writes the rows too, in one change:
`put_many` takes them together. Tables of PostgreSQL need a primary key; those of SQLite go by rowid without.

What is expected is compared and written in one transaction: under the write lock of SQLite, under row locks
(and, for schemas, table locks) of PostgreSQL. Numbers of a sequence are given out past all transactions, so a
number that somebody draws between comparison and put may be drawn again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

import anyio.to_thread

from coagent.errors import TargetError, TargetUnavailable
from coagent.folder_watch import is_local
from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value, same
from coagent.systems.sql import row_changes
from coagent.systems.sql.connections import SQLITE, Connections
from coagent.systems.sql.ranges import SqlRanges
from coagent.systems.sql.session import ConstraintFailed, DatabaseBusy, SchemaMoved, SqlSession, row_schema
from coagent.systems.sql.url import postgres_identity
from coagent.targets.base import GuardFailed, Target, require_wanted
from coagent.targets.stamps import ReadCache, Stamp, settled, stamp_at, tick_ns

Change: TypeAlias = tuple[Key, Value, Sequence[Value]]
"""(key, new value or None, every value that the object may have now)."""
_Result = TypeVar("_Result")
_Stamps: TypeAlias = tuple[Stamp | None, Stamp | None]
"""Of the database file and of its write-ahead log."""
_READ_TRIES: Final = 5
"""While others change the schema of what is read."""


class Sql(Target):
    """The tables of one database.

    Its identity is the real path of a SQLite file; of PostgreSQL it is host, port, database and schema, but
    not who connects.

    A SQLite database is known to be unchanged by the times of its file (and of its write-ahead log). A server
    is asked: for the rows that matter, with one query a table.

    Args:
        url: `sqlite:///path` (four slashes for an absolute path) or `postgresql://user@host/database`.
        scheme: The scheme of its rows; schemas and sequences are `<scheme>-schema` and `<scheme>-seq`.
        schema: The schema of a PostgreSQL database whose tables are meant.

    Raises:
        TargetError: The URL names no engine that is known.
    """

    takes_many = True
    asks_last = True

    def __init__(self, url: str, *, scheme: str = "sql", schema: str = "public") -> None:
        self.url = url
        self.scheme = scheme
        self.schemes = (scheme, f"{scheme}-schema", f"{scheme}-seq")
        self._local = url.startswith(SQLITE)
        if not self._local and not url.startswith(("postgresql://", "postgres://")):
            raise TargetError(
                f"{url.partition(':')[0]!r} is no database that is known here",
                "Write sqlite:///path or postgresql://user@host/database.",
            )
        self._connections = Connections(url, schema)
        path = self._connections.path
        self._identity = f"sqlite:{path}" if self._local else postgres_identity(url, schema)
        self._exact = self._local and is_local(path)
        self._cache = ReadCache()
        self._ranges = SqlRanges(self._count, self._list)

    @property
    def identity(self) -> str:
        return self._identity

    def canonical(self, key: str) -> Key:
        scheme, _, path = key.partition(":")
        table, slash, row = path.partition("/")
        if "\0" in key:
            raise TargetError(f"{key!r} has a NUL in it")
        return Key(f"{scheme}:{table.lower() if self._local else table}{slash}{row}")

    # ---- reading -------------------------------------------------------------------------------------------

    def entangled(self, key: Key, others: Collection[Key]) -> bool:
        return bool(others)  # rows refer to each other, and share unique values

    async def get(self, key: Key) -> Value:
        known = self._cache.find(key)
        if known is not None and known.value is not UNLOADED and self.unchanged(key):
            return known.value
        return (await self.get_many([key]))[key]

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        def read(session: SqlSession, stamp: _Stamps | None, now_ns: int) -> dict[Key, Value]:
            found = self._get_all(session, keys)
            sure = self._sure(stamp, now_ns)
            return {key: self._cache.note(key, stamp, value, sure=sure) for key, value in found.items()}

        return await self._reading(read)

    async def list(self, prefix: str) -> dict[Key, Value]:
        def read(session: SqlSession, stamp: _Stamps | None, now_ns: int) -> dict[Key, Value]:
            found = self._list(session, prefix)
            self._ranges.listed(prefix, stamp if self._sure(stamp, now_ns) else None, found)
            return found

        return await self._reading(read, brief=False)

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        """Return the rows of all tables under `prefix`; schemas and sequences where it names them."""
        with self._connections.reading() as session:
            found = self._list(session, prefix or f"{self.scheme}:")
        return {key: value for key, value in found.items()}  # noqa: C416 -- with names that are plain text

    async def _reading(
        self, read: Callable[[SqlSession, _Stamps | None, int], _Result], *, brief: bool = True
    ) -> _Result:
        if self._local and brief:  # it answers sooner than a thread starts
            try:
                return self._read(read, False)
            except DatabaseBusy:
                pass
        return await anyio.to_thread.run_sync(self._read, read, True)

    def _read(self, read: Callable[[SqlSession, _Stamps | None, int], _Result], patient: bool) -> _Result:
        for _ in range(_READ_TRIES - 1):
            with contextlib.suppress(SchemaMoved):
                return self._read_once(read, patient)
        return self._read_once(read, patient)

    def _read_once(
        self, read: Callable[[SqlSession, _Stamps | None, int], _Result], patient: bool
    ) -> _Result:
        now_ns, stamp = tick_ns(), self._stamp()
        with self._connections.reading(patient=patient) as session:
            return read(session, stamp, now_ns)

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
        schema = row_schema(session, table)
        if schema is None:
            return None
        if scheme == self.scheme:
            return session.row(table, schema, row, lock=lock)
        return session.sequence(table, schema)

    def _get_all(self, session: SqlSession, keys: Sequence[Key]) -> dict[Key, Value]:
        """Return the values of several objects, the rows of one table by one question."""
        if len(keys) == 1:
            return {keys[0]: self._get(session, keys[0])}
        found: dict[Key, Value] = {}
        rows: dict[str, list[tuple[Key, str]]] = {}
        for key in keys:
            scheme, table, row = self._split(key)
            if scheme == self.scheme:
                rows.setdefault(table, []).append((key, row))
            else:
                found[key] = self._get(session, key)
        for table, named in rows.items():
            schema = row_schema(session, table)
            there = {} if schema is None else session.some_rows(table, schema, [row for _, row in named])
            found.update({key: there.get(row) for key, row in named})
        return {key: found[key] for key in keys}

    def _list(self, session: SqlSession, prefix: str) -> dict[Key, Value]:
        scheme = prefix.partition(":")[0]
        found: dict[Key, Value] = {}
        for table in self._tables(session, prefix):
            if scheme.endswith("-schema"):
                found[Key(f"{scheme}:{table}")] = session.schema(table)
                continue
            schema = row_schema(session, table)
            if schema is None:
                continue
            if scheme == self.scheme:
                rows = session.rows(table, schema)
                found.update({Key(f"{scheme}:{table}/{key}"): row for key, row in rows.items()})
            elif (last := session.sequence(table, schema)) is not None:
                found[Key(f"{scheme}:{table}")] = last
        return {key: value for key, value in found.items() if key.startswith(prefix)}

    def _count(self, session: SqlSession, prefix: str, most: int) -> int:
        """Return how many objects there may be under a prefix, counting no more than `most`."""
        tables = self._tables(session, prefix)
        if not prefix.startswith(f"{self.scheme}:"):
            return len(tables)
        count = 0
        for table in tables:
            count += session.count_rows(table, most - count)
            if count >= most:
                break
        return count

    def _tables(self, session: SqlSession, prefix: str) -> Sequence[str]:
        name, slash, _ = prefix.partition(":")[2].partition("/")
        known = session.tables()
        if prefix.partition(":")[0].endswith("-schema"):
            known = sorted([*known, *session.views()])
        return [table for table in known if (table == name if slash else table.startswith(name))]

    # ---- what others change --------------------------------------------------------------------------------

    def unchanged(self, key: Key) -> bool:
        known = self._cache.find(key)
        return known is not None and known.sure and known.stamp == self._stamp()

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        return await anyio.to_thread.run_sync(self._changed, list(keys), list(prefixes))

    def _changed(self, keys: Sequence[Key], prefixes: Sequence[str]) -> Collection[Key]:
        self._ranges.begin()
        suspects = [key for key in keys if not self.unchanged(key)]
        if not suspects and not self._ranges.suspect(prefixes, self._stamp()):
            return []

        def read(session: SqlSession, stamp: _Stamps | None, now_ns: int) -> set[Key]:
            sure = self._sure(stamp, now_ns)
            found: set[Key] = set()
            for key, value in self._values_to_compare(session, suspects).items():
                known = self._cache.find(key)
                if known is not None and same(known.value, value):
                    self._cache.note(key, stamp, value, sure=sure)
                else:
                    found.add(key)
            ranges = self._ranges.suspect(prefixes, stamp)
            for key, value in self._ranges.changed(session, ranges, stamp if sure else None).items():
                known = self._cache.find(key)
                if known is None or not same(known.value, value):
                    found.add(key)
            return found

        return self._read(read, True)

    def _values_to_compare(self, session: SqlSession, keys: Sequence[Key]) -> Mapping[Key, Value]:
        """Return the values of objects to be compared; `UNLOADED` where one of them has lost its meaning."""
        try:
            return self._get_all(session, keys) if keys else {}
        except TargetUnavailable:
            raise
        except TargetError:  # the primary key of a table is another one by now
            return dict.fromkeys(keys, UNLOADED)

    def _stamp(self) -> _Stamps | None:
        """Return what the system says of a database file; None for a server, or where it cannot be said."""
        if not self._exact:
            return None
        path = self._connections.path
        try:
            return stamp_at(path), stamp_at(f"{path}-wal")
        except OSError:
            return None

    def _sure(self, stamp: _Stamps | None, now_ns: int) -> bool:
        return stamp is not None and stamp[0] is not None and all(settled(part, now_ns) for part in stamp)

    # ---- writing -------------------------------------------------------------------------------------------

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await self.put_many([(key, value, expected)])

    async def put_many(self, changes: Sequence[Change]) -> None:
        """Make several changes in one transaction, in an order that the constraints allow.

        Idempotent like `put`: what is already as wanted is left alone.

        Raises:
            GuardFailed: One of the objects has none of the values expected of it; nothing was changed.
            TargetUnavailable: The database is away, or somebody holds a lock for long; whatever was changed
                is changed by the same put once more.
            TargetError: The database refuses; nothing was changed.
        """
        await anyio.to_thread.run_sync(self._put_many, changes)

    def _put_many(self, changes: Sequence[Change]) -> None:
        for key, _, _ in changes:
            self._cache.forget(key)
        try:
            with self._connections.writing() as session:
                checked = self._check_expected(session, changes)
                absent = {key for key, _, there in checked if not there}
                # A row that is absent cannot be locked. Two processes that both insert orders/7 would both
                # find nothing there; so they lock its name, and who waited for that looks once more.
                if absent and session.lock_names(absent):
                    anew = [change for change in changes if change[0] in absent]
                    now = {change[0]: change for change in self._check_expected(session, anew)}
                    checked = [now.get(change[0], change) for change in checked]
                require_wanted(in_thread=True)
                self._write(session, checked)
        except ConstraintFailed:
            # Somebody may have inserted the same row while this one waited for it.
            with self._connections.reading() as session:
                self._check_expected(session, changes, lock=False)
            raise
        for key, value, _ in changes:
            self._cache.note(key, None, value, sure=False)

    def _check_expected(
        self, session: SqlSession, changes: Sequence[Change], *, lock: bool = True
    ) -> Sequence[tuple[Key, Value, bool]]:
        """Return (key, new value, whether it is there now) in the order of the keys, if all may be changed.

        Raises:
            GuardFailed: One of the objects has another value than expected.
        """
        checked = []
        for key, value, expected in sorted(changes, key=lambda change: change[0]):
            scheme, table, _ = self._split(key)
            if lock and scheme.endswith("-schema") and session.schema(table) is not None:
                session.lock_table(table)
            found = self._get(session, key, lock=lock)
            # What is as wanted already is written as well: a schema among the others may still change it.
            if not any(same(found, each) for each in (value, *expected)) and not self._follows(session, key):
                raise GuardFailed(key, found)
            checked.append((key, value, found is not None))
        return checked

    def _follows(self, session: SqlSession, key: Key) -> bool:
        """Tell whether the object is nothing but the largest rowid of its table."""
        scheme, table, _ = self._split(key)
        schema = session.schema(table) if self._local and scheme.endswith("-seq") else None
        return schema is not None and not schema["autoincrement"]

    def _write(self, session: SqlSession, changes: Sequence[tuple[Key, Value, bool]]) -> None:
        if not self._local:
            session.execute("SET CONSTRAINTS ALL DEFERRED")
        schemas: row_changes.RowChanges = []
        rows: row_changes.RowChanges = []
        sequences: row_changes.RowChanges = []
        for key, value, there in changes:
            scheme, table, row = self._split(key)
            kind = schemas if scheme.endswith("-schema") else sequences if scheme.endswith("-seq") else rows
            kind.append(row_changes.RowChange(table, row, value, there))
        row_changes.write(session, schemas, rows, sequences)

    async def close(self) -> None:
        self._connections.close()
