"""PostgreSQL as schemas, rows and sequences.

Numbers of fixed size, text, booleans and bytes are read as they are; all other types as the text that
PostgreSQL writes for them under fixed settings, and written back by a cast, so that nothing is rounded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.values import Value
from coagent.systems.sql.postgres_schema import relation_schema
from coagent.systems.sql.postgres_writing import referring_table, without_row_triggers, without_uniqueness
from coagent.systems.sql.session import (
    ConstraintFailed,
    DatabaseBusy,
    Row,
    Schema,
    SchemaMoved,
    SqlSession,
    first_values,
    quote_name,
)

_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
}
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""By default a vanished server is waited for until the system gives up, after a quarter of an hour."""
_BUSY = frozenset({"55P03", "57014", "40001", "40P01", "55006"})
"""Lock not available, cancelled by a time limit, serialization failure, deadlock, object in use."""
_AWAY = frozenset({"25006", "57P01", "57P02", "57P03", "57P04", "57P05"})
"""Only reading for now (a standby), shut down, crashed, starting up, database dropped, idle for too long."""
_GONE = re.compile("cache lookup failed|could not open relation with OID|could not find")
"""What was in a catalog a moment ago (an internal error, and so not translated)."""
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist", re.I
)

_EXTENSIONS = """
SELECT DISTINCT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE nspname NOT IN ('pg_catalog', %s) ORDER BY 1"""


def connect_postgres(
    url: str, space: str, *, scratch: bool = False, role: str | None = None
) -> psycopg.Connection[Any]:
    """Open a connection whose statements find what lies in one schema of the database, and extensions.

    Args:
        url: The server.
        space: The schema.
        scratch: Whether temporary tables hide those of the schema, whose types and functions are found.
        role: Whose rights the connection takes; by default those of the URL's user.

    Raises:
        TargetUnavailable: The server cannot be reached.
        TargetError: It refuses, or the URL is none.
    """
    try:
        given = conninfo_to_dict(url)
        options = {name: value for name, value in _CONNECTION.items() if name not in given}
        connection = psycopg.connect(url, autocommit=True, row_factory=tuple_row, **options)
        spaces = [space, *first_values(connection.execute(_EXTENSIONS, (space,)).fetchall())]
        path = ", ".join(["pg_temp"] * scratch + [quote_name(space) for space in spaces])
        for name, value in {**_SETTINGS, "search_path": path}.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        if role is not None:
            connection.execute(f"SET ROLE {quote_name(role)}".encode())
        connection.add_notice_handler(lambda notice: None)
    except psycopg.ProgrammingError as error:
        raise TargetError(f"this is no URL of a PostgreSQL database: {error}") from None
    except psycopg.Error as error:
        said = str(error).strip()
        if _REFUSED.search(said):
            raise TargetError(f"PostgreSQL refuses the connection: {said}", "Correct the URL.") from None
        raise _unreachable(said) from None
    return connection


class PostgresSession(SqlSession):
    """Reads and writes over one PostgreSQL connection.

    Args:
        connection: Made by `connect_postgres`.
        space: The schema of the database that holds the tables; `pg_temp` for a scratch one.
    """

    placeholder = "%s"
    checks_references = True
    connection: psycopg.Connection[Any]

    def __init__(self, connection: psycopg.Connection[Any], space: str = "public") -> None:
        self.connection = connection
        self.space = space
        self._known: dict[str, tuple[Any, Schema]] = {}
        named = space.replace("'", "''")
        self.namespace = (
            "pg_my_temp_schema()"
            if space == "pg_temp"
            else f"(SELECT oid FROM pg_namespace WHERE nspname = '{named}')"
        )
        """An expression: the number of its schema in the catalogs."""

    @property
    def broken(self) -> bool:
        return bool(self.connection.broken or self.connection.closed)

    def execute(self, statement: str, parameters: Any = ()) -> psycopg.Cursor[Any]:
        try:
            cursor: psycopg.Cursor[Any] = self.connection.execute(statement.encode(), parameters or None)
            return cursor
        except psycopg.IntegrityError as error:
            raise ConstraintFailed(_message(error)) from None
        except psycopg.Error as error:
            raise _failure(error) from None

    def begin(self, statement: str, lock_s_max: float, statement_s_max: float) -> None:
        limits = {"lock_timeout": lock_s_max, "statement_timeout": statement_s_max}
        settings = [f"SET LOCAL {name} = {int(limit_s * 1000)}" for name, limit_s in limits.items()]
        self.execute("; ".join([statement, *settings]))

    def lock_table(self, table: str) -> None:
        self.execute(f"LOCK TABLE {self.name(table)} IN ACCESS EXCLUSIVE MODE")

    def lock_names(self, names: Collection[str]) -> bool:
        # There is no row that could be locked. Locks of a transaction's go with it, also behind a pooler.
        digests = [blake2b(f"coagent {self.space} {name}".encode(), digest_size=8) for name in names]
        numbers = sorted(int.from_bytes(digest.digest(), signed=True) for digest in digests)
        self.execute("SELECT pg_advisory_xact_lock(n) FROM unnest(%s::bigint[]) n", (numbers,))
        return True

    @contextmanager
    def without_triggers(self, tables: Collection[str]) -> Iterator[None]:
        with without_row_triggers(self, tables):
            yield

    @contextmanager
    def without_constraints(self, tables: Collection[str]) -> Iterator[None]:
        with without_uniqueness(self, tables):
            yield

    def require_unreferred(self, table: str, schema: Schema, row: Row) -> None:
        referring = referring_table(self, table, schema, row)
        if referring is not None:
            raise ConstraintFailed(f"rows of {referring!r} refer to a row of {table!r} that is to go")

    def name(self, table: str) -> str:
        return f"{quote_name(self.space)}.{quote_name(table)}"

    def source(self, table: str, schema: Schema) -> str:
        # The rows of heirs are theirs; those of partitions have no other place.
        return f"ONLY {self.name(table)}" if schema.get("heirs") else self.name(table)

    def column(self, statement: str, parameters: Any = ()) -> list[Any]:
        """Return the first column of what a question finds."""
        return first_values(self.execute(statement, parameters).fetchall())

    def one(self, statement: str, parameters: Any) -> tuple[Any, ...]:
        """Return the one row that a question finds.

        Raises:
            SchemaMoved: There is none any more.
        """
        for row in self.execute(statement, parameters).fetchall():
            return tuple(row)
        raise _schema_moved()

    def tables(self) -> list[str]:
        return self._relations("rp")

    def views(self) -> list[str]:
        return self._relations("vm")

    def _relations(self, kinds: str) -> list[str]:
        found = self.column(
            f"SELECT relname FROM pg_class WHERE relkind = ANY(%s) AND relnamespace = {self.namespace} "
            "AND NOT relispartition ORDER BY relname",
            (list(kinds),),
        )
        return [name for name in found if "/" not in name]

    def schema(self, table: str) -> Schema | None:
        found = self._version(table, "rpvm")
        if found is None:
            return None
        schema = relation_schema(self, table, found[0], found[1])
        if self._version(table, "rpvm") != found:  # each question sees what has been committed before it
            raise _schema_moved()
        return schema

    def _version(self, table: str, kinds: str) -> tuple[Any, ...] | None:
        """Return number and kind of a table, and what is another where its columns have changed."""
        found = self.execute(
            "SELECT c.oid, relkind, c.xmin::text, "
            "(SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid), "
            "(SELECT string_agg(concat_ws(' ', attname, atttypid, atttypmod), ',')"
            " FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) FROM pg_class c "
            "WHERE relkind = ANY(%s) AND NOT relispartition "
            f"AND relnamespace = {self.namespace} AND relname = %s",
            (list(kinds), table),
        ).fetchone()
        return None if found is None else tuple(found)

    def row_schema(self, table: str) -> Schema | None:
        """Return the schema as far as reading and writing rows needs it, from memory where it stands."""
        found = self._version(table, "rp")
        if found is None:
            return None
        known = self._known.get(table)
        if known is None or known[0] != found:
            known = self._known[table] = (found, relation_schema(self, table, found[0], found[1]))
        return known[1]

    def selection(self, column: str, schema: Schema) -> str:
        plain = schema["columns"][column]["kind"] in ("number", "text", "boolean", "bytes")
        return quote_name(column) if plain else f"{quote_name(column)}::text"

    def assignment(self, column: str, schema: Schema) -> str:
        return f"CAST(%s AS {schema['columns'][column]['type']})"

    def _lock(self) -> str:
        return " FOR UPDATE"

    def _overriding(self, schema: Schema) -> str:
        always = any(column["identity"] == "a" for column in schema["columns"].values())
        return " OVERRIDING SYSTEM VALUE" if always else ""

    def create(self, table: str, schema: Schema, *, deferred: bool = False) -> None:
        if "view" in schema:
            self.execute(f"CREATE VIEW {self.name(table)} AS {schema['view']}")
            return
        owned = []
        for name, column in schema["columns"].items():
            if column["sequence"] and not column["identity"]:
                self._create_sequence(column["sequence"], column["counter"])
                if column["counter"]["owned"]:
                    sequence = f"{quote_name(self.space)}.{quote_name(column['sequence'])}"
                    owned.append(f"ALTER SEQUENCE {sequence} OWNED BY {self.name(table)}.{quote_name(name)}")
        parts = [f"{quote_name(name)} {_definition(column)}" for name, column in schema["columns"].items()]
        parts += [
            f"CONSTRAINT {quote_name(name)} {text}"
            for name, text in schema["constraints"].items()
            if not text.startswith("FOREIGN KEY")
        ]
        if schema.get("partitioned") and (rows := schema["partitioned"]["rows"]) is not None:
            parts.append(f"CONSTRAINT no_partition_for_row CHECK ({rows})")
        parents = ", ".join(map(self.name, schema.get("inherits", ())))
        heir = f" INHERITS ({parents})" if parents else ""
        self.execute(f"CREATE TABLE {self.name(table)} ({', '.join(parts)}){heir}")
        for statement in [*owned, *schema["indexes"].values()]:
            self.execute(statement)
        if not deferred:
            self.refer(table, schema)
            for statement in schema["triggers"]:
                self.execute(statement)

    def _create_sequence(self, name: str, counter: dict[str, Any]) -> None:
        scratch = self.space == "pg_temp"
        kind = "TEMP SEQUENCE" if scratch else "SEQUENCE"
        target = quote_name(name) if scratch else f"{quote_name(self.space)}.{quote_name(name)}"
        exists = "" if counter["owned"] else "IF NOT EXISTS "
        self.execute(f"CREATE {kind} {exists}{target} AS {counter['type']} {_counting(counter)}")

    def refer(self, table: str, schema: Schema, *, late: bool = False) -> None:
        """Add a table's foreign keys; `late`: unchecked for the rows there, and at the end for new ones."""
        elsewhere = schema.get("outside", ()) if self.space == "pg_temp" else ()
        for name, text in schema["constraints"].items():
            if text.startswith("FOREIGN KEY") and name not in elsewhere:
                plain = re.sub(r" (NOT )?DEFERRABLE.*\Z", "", text)
                wanted = f"{plain} DEFERRABLE INITIALLY DEFERRED NOT VALID" if late else text
                self.execute(f"ALTER TABLE {self.name(table)} ADD CONSTRAINT {quote_name(name)} {wanted}")

    def alter(self, table: str, now: Schema, wanted: Schema) -> None:
        alter = f"ALTER TABLE {self.name(table)}"
        old, new = list(now["columns"]), list(wanted["columns"])
        for before, after in zip(old, new, strict=False):
            if before not in new and after not in old and now["columns"][before] == wanted["columns"][after]:
                self.execute(f"{alter} RENAME COLUMN {quote_name(before)} TO {quote_name(after)}")
        found = self.schema(table)
        assert found is not None
        for name, text in found["constraints"].items():
            if wanted["constraints"].get(name) != text:
                self.execute(f"{alter} DROP CONSTRAINT {quote_name(name)}")
        for name, text in found["indexes"].items():
            if wanted["indexes"].get(name) != text:
                self.execute(f"DROP INDEX IF EXISTS {quote_name(self.space)}.{quote_name(name)}")
        for name in found["columns"]:
            if name not in wanted["columns"]:
                self.execute(f"{alter} DROP COLUMN {quote_name(name)}")
        for name, column in wanted["columns"].items():
            if name not in found["columns"]:
                self.execute(f"{alter} ADD COLUMN {quote_name(name)} {_definition(column)}")
            else:
                self._alter_column(f"{alter} ALTER COLUMN {quote_name(name)}", found["columns"][name], column)
        left = self.schema(table)
        assert left is not None
        for name, text in wanted["constraints"].items():
            if name not in left["constraints"]:
                self.execute(f"{alter} ADD CONSTRAINT {quote_name(name)} {text}")
        for name, text in wanted["indexes"].items():
            if name not in left["indexes"]:
                self.execute(text)

    def _alter_column(self, alter: str, now: dict[str, Any], wanted: dict[str, Any]) -> None:
        if now["type"] != wanted["type"]:
            self.execute(f"{alter} DROP DEFAULT")
            column = alter.rpartition(" ALTER COLUMN ")[2]
            self.execute(f"{alter} TYPE {wanted['type']} USING {column}::{wanted['type']}")
        if now["default"] != wanted["default"] or now["type"] != wanted["type"]:
            default = wanted["default"]
            self.execute(f"{alter} DROP DEFAULT" if default is None else f"{alter} SET DEFAULT {default}")
        if now["null"] != wanted["null"]:
            self.execute(f"{alter} {'DROP' if wanted['null'] else 'SET'} NOT NULL")

    def sequence(self, table: str, schema: Schema) -> Value:
        found = {}
        for column in schema["sequences"]:
            named, counter = schema["columns"][column]["sequence"], schema["columns"][column]["counter"]
            last, drawn = self.execute(
                f"SELECT last_value, is_called FROM {quote_name(self.space)}.{quote_name(named)}"
            ).fetchone() or (counter["start"], False)
            # Before the first one comes the one that would have led to it.
            found[column] = last if drawn else last - counter["increment"]
        return found or None

    def set_sequence(self, table: str, schema: Schema, value: Value) -> None:
        for column in schema["sequences"] if value else ():
            counter = schema["columns"][column]["counter"]
            name = f"{quote_name(self.space)}.{quote_name(schema['columns'][column]['sequence'])}"
            last = value[column]
            following = last + counter["increment"]
            new = last < counter["min"] or last > counter["max"] or following == counter["start"]
            self.execute("SELECT setval(%s::regclass, %s, %s)", (name, following if new else last, not new))


def _definition(column: dict[str, Any]) -> str:
    text: str = column["type"]
    if column["generated"]:
        text += f" GENERATED ALWAYS AS ({column['default']}) STORED"
    elif column["identity"]:
        named = f"SEQUENCE NAME {quote_name(column['sequence'])} {_counting(column['counter'])}"
        text += f" GENERATED {'ALWAYS' if column['identity'] == 'a' else 'BY DEFAULT'} AS IDENTITY ({named})"
    elif column["default"] is not None:
        text += f" DEFAULT {column['default']}"
    return text if column["null"] else f"{text} NOT NULL"


def _counting(counter: dict[str, Any]) -> str:
    """Return the options of a sequence."""
    return (
        f"START {counter['start']} INCREMENT {counter['increment']} MINVALUE {counter['min']} "
        f"MAXVALUE {counter['max']}" + (" CYCLE" if counter["cycle"] else "")
    )


def _failure(error: psycopg.Error) -> TargetError:
    """Return the error that stands for a failure (PostgreSQL's documentation, appendix A)."""
    state, said = error.sqlstate or "", _message(error)
    if state in _BUSY:
        return DatabaseBusy(
            f"PostgreSQL is busy: {said}",
            "Wait for whoever holds the lock; pg_stat_activity and pg_blocking_pids() say who that is.",
        )
    if (
        state in _AWAY
        or state.startswith("08")
        or (not state and isinstance(error, psycopg.OperationalError))
    ):
        return _unreachable(said)
    if state.startswith(("53", "58")):  # no disk, memory or connection left; a failing disk
        return TargetUnavailable(f"PostgreSQL is in trouble: {said}", "Look at its server.")
    if state == "XX000" and _GONE.search(said):
        return _schema_moved()
    return TargetError(f"PostgreSQL refuses: {said}")


def _schema_moved() -> SchemaMoved:
    return SchemaMoved(
        "somebody else changes a table's schema again and again while it is read",
        "Wait until they have done.",
    )


def _unreachable(said: str) -> TargetUnavailable:
    return TargetUnavailable(
        f"PostgreSQL cannot be reached: {said}",
        "Check that it runs, and that the URL names the right server.",
    )


def _message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip() or type(error).__name__
