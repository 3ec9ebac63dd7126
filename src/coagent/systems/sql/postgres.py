"""PostgreSQL as schemas, rows and sequences.

Numbers of fixed size, text, booleans and bytes are read as they are; all other types as the text that
PostgreSQL writes for them under fixed settings, and written back by a cast, so that nothing is rounded.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import blake2b
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.values import Value
from coagent.systems.sql.session import (
    ConstraintFailed,
    DatabaseBusy,
    Schema,
    SqlSession,
    first_values,
    quoted,
)

_KINDS = {
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "double precision": "number",
    "text": "text",
    "character varying": "text",
    "boolean": "boolean",
    "bytea": "bytes",
    "numeric": "decimal",
}
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
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist", re.I
)

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity, a.attgenerated, pg_get_serial_sequence(%s, a.attname)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_CONSTRAINTS = """
SELECT c.conname, c.contype, pg_get_constraintdef(c.oid), f.relname,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.i)::text[],
       ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.i)::text[]
FROM pg_constraint c LEFT JOIN pg_class f ON f.oid = c.confrelid
WHERE c.conrelid = %s AND c.contype IN ('p', 'u', 'f', 'c', 'x') ORDER BY c.conname"""
_INDEXES = """
SELECT i.relname, pg_get_indexdef(x.indexrelid),
       x.indisunique AND (x.indpred IS NOT NULL OR 0 = ANY(x.indkey)),
       CASE WHEN x.indisunique THEN
       ARRAY(SELECT a.attname FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.n ORDER BY k.i)::text[] END
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = %s AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid
                                      AND c.conrelid = x.indrelid)
ORDER BY i.relname"""


def connect_postgres(url: str, space: str) -> psycopg.Connection[Any]:
    """Open a connection whose statements find the tables of one schema of the database.

    Raises:
        TargetUnavailable: The server cannot be reached.
        TargetError: It refuses, or the URL is none.
    """
    try:
        given = conninfo_to_dict(url)
        options = {name: value for name, value in _CONNECTION.items() if name not in given}
        connection = psycopg.connect(url, autocommit=True, row_factory=tuple_row, **options)
        for name, value in {**_SETTINGS, "search_path": quoted(space)}.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
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
        self._namespace = (
            "pg_my_temp_schema()"
            if space == "pg_temp"
            else "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        )

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

    def name(self, table: str) -> str:
        return f"{quoted(self.space)}.{quoted(table)}"

    def tables(self) -> list[str]:
        found = self.execute(
            f"SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = {self._namespace} "
            "ORDER BY relname"
        )
        return [name for name in first_values(found.fetchall()) if "/" not in name]

    def schema(self, table: str) -> Schema | None:
        found = self.execute(
            f"SELECT oid, xmin::text FROM pg_class WHERE relkind = 'r' AND relnamespace = {self._namespace} "
            "AND relname = %s",
            (table,),
        ).fetchone()
        return None if found is None else self._schema(table, found[0])

    def row_schema(self, table: str) -> Schema | None:
        """Return the schema as far as reading and writing rows needs it, from memory where it stands."""
        found = self.execute(
            "SELECT c.oid, c.xmin::text, "
            "(SELECT string_agg(concat_ws(' ', attname, atttypid, atttypmod), ',')"
            " FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) FROM pg_class c "
            f"WHERE relkind = 'r' AND relnamespace = {self._namespace} AND relname = %s",
            (table,),
        ).fetchone()
        if found is None:
            return None
        known = self._known.get(table)
        if known is None or known[0] != found:
            known = self._known[table] = (found, self._schema(table, found[0]))
        return known[1]

    def _schema(self, table: str, oid: int) -> Schema:
        columns: dict[str, dict[str, Any]] = {}
        for name, declared, null, default, identity, generated, sequence in self.execute(
            _COLUMNS, (self.name(table), oid)
        ).fetchall():
            columns[name] = {
                "type": declared,
                "kind": _KINDS.get(declared.partition("(")[0], "other"),
                "null": null,
                "default": default,
                "generated": generated != "",
                "identity": identity,
                "sequence": None if sequence is None else sequence.rpartition(".")[2].strip('"'),
            }
        constraints: dict[str, str] = {}
        key: list[str] = []
        unique: list[list[str] | None] = []
        references = []
        for name, kind, text, other, own, to in self.execute(_CONSTRAINTS, (oid,)).fetchall():
            # A scratch table's foreign keys are made in a way of their own.
            constraints[name] = re.sub(r"( DEFERRABLE INITIALLY DEFERRED)?( NOT VALID)?\Z", "", text)
            if kind == "p":
                key = own
            elif kind == "u":
                unique.append(own)
            elif kind == "x":
                unique.append(None)
            elif kind == "f":
                references.append({"columns": own, "table": other, "to": to})
        indexes: dict[str, str] = {}
        for name, text, opaque, own in self.execute(_INDEXES, (oid,)).fetchall():
            indexes[name] = re.sub(r' ON (ONLY )?("[^"]+"|[^\s".]+)\.', " ON ", text, count=1)
            if opaque or own:
                unique.append(None if opaque else own)
        triggers = self.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal", (oid,)
        ).fetchone()
        return {
            "dialect": "postgres",
            "columns": columns,
            "key": key,
            "unique": sorted(unique, key=repr),
            "references": references,
            "sequences": [name for name, column in columns.items() if column["sequence"]],
            "triggers": bool(triggers and triggers[0]),
            "constraints": constraints,
            "indexes": indexes,
        }

    def selected(self, column: str, schema: Schema) -> str:
        plain = schema["columns"][column]["kind"] in ("number", "text", "boolean", "bytes")
        return quoted(column) if plain else f"{quoted(column)}::text"

    def assigned(self, column: str, schema: Schema) -> str:
        return f"CAST(%s AS {schema['columns'][column]['type']})"

    def _lock(self) -> str:
        return " FOR UPDATE"

    def _overriding(self, schema: Schema) -> str:
        always = any(column["identity"] == "a" for column in schema["columns"].values())
        return " OVERRIDING SYSTEM VALUE" if always else ""

    def create(self, table: str, schema: Schema, *, deferred: bool = False) -> None:
        owned = []
        for name, column in schema["columns"].items():
            if column["sequence"] and not column["identity"]:
                sequence = f"{quoted(self.space)}.{quoted(column['sequence'])}"
                temporary = "TEMP " if self.space == "pg_temp" else ""
                target = quoted(column["sequence"]) if temporary else sequence
                self.execute(f"CREATE {temporary}SEQUENCE {target} AS {column['type']}")
                owned.append(f"ALTER SEQUENCE {sequence} OWNED BY {self.name(table)}.{quoted(name)}")
        parts = [f"{quoted(name)} {_definition(column)}" for name, column in schema["columns"].items()]
        parts += [
            f"CONSTRAINT {quoted(name)} {text}"
            for name, text in schema["constraints"].items()
            if not text.startswith("FOREIGN KEY")
        ]
        self.execute(f"CREATE TABLE {self.name(table)} ({', '.join(parts)})")
        for statement in [*owned, *schema["indexes"].values()]:
            self.execute(statement)
        if not deferred:
            self.refer(table, schema)

    def refer(self, table: str, schema: Schema, *, late: bool = False) -> None:
        """Add a table's foreign keys; `late`: unchecked for the rows there, and at the end for new ones."""
        for name, text in schema["constraints"].items():
            if text.startswith("FOREIGN KEY"):
                plain = re.sub(r" (NOT )?DEFERRABLE.*\Z", "", text)
                wanted = f"{plain} DEFERRABLE INITIALLY DEFERRED NOT VALID" if late else text
                self.execute(f"ALTER TABLE {self.name(table)} ADD CONSTRAINT {quoted(name)} {wanted}")

    def alter(self, table: str, now: Schema, wanted: Schema) -> None:
        alter = f"ALTER TABLE {self.name(table)}"
        old, new = list(now["columns"]), list(wanted["columns"])
        for before, after in zip(old, new, strict=False):
            if before not in new and after not in old and now["columns"][before] == wanted["columns"][after]:
                self.execute(f"{alter} RENAME COLUMN {quoted(before)} TO {quoted(after)}")
        found = self.schema(table)
        assert found is not None
        for name, text in found["constraints"].items():
            if wanted["constraints"].get(name) != text:
                self.execute(f"{alter} DROP CONSTRAINT {quoted(name)}")
        for name, text in found["indexes"].items():
            if wanted["indexes"].get(name) != text:
                self.execute(f"DROP INDEX IF EXISTS {quoted(self.space)}.{quoted(name)}")
        for name in found["columns"]:
            if name not in wanted["columns"]:
                self.execute(f"{alter} DROP COLUMN {quoted(name)}")
        for name, column in wanted["columns"].items():
            if name not in found["columns"]:
                self.execute(f"{alter} ADD COLUMN {quoted(name)} {_definition(column)}")
            else:
                self._alter_column(f"{alter} ALTER COLUMN {quoted(name)}", found["columns"][name], column)
        left = self.schema(table)
        assert left is not None
        for name, text in wanted["constraints"].items():
            if name not in left["constraints"]:
                self.execute(f"{alter} ADD CONSTRAINT {quoted(name)} {text}")
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
            name = f"{quoted(self.space)}.{quoted(schema['columns'][column]['sequence'])}"
            row = self.execute(f"SELECT last_value, is_called FROM {name}").fetchone()
            found[column] = row[0] if row and row[1] else 0
        return found or None

    def set_sequence(self, table: str, schema: Schema, value: Value) -> None:
        for column in schema["sequences"] if value else ():
            name = f"{quoted(self.space)}.{quoted(schema['columns'][column]['sequence'])}"
            last = value[column]
            self.execute("SELECT setval(%s::regclass, %s, %s)", (name, last or 1, last > 0))


def _definition(column: dict[str, Any]) -> str:
    text: str = column["type"]
    if column["generated"]:
        text += f" GENERATED ALWAYS AS ({column['default']}) STORED"
    elif column["identity"]:
        text += f" GENERATED {'ALWAYS' if column['identity'] == 'a' else 'BY DEFAULT'} AS IDENTITY"
    elif column["default"] is not None:
        text += f" DEFAULT {column['default']}"
    return text if column["null"] else f"{text} NOT NULL"


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
    return TargetError(f"PostgreSQL refuses: {said}")


def _unreachable(said: str) -> TargetUnavailable:
    return TargetUnavailable(
        f"PostgreSQL cannot be reached: {said}",
        "Check that it runs, and that the URL names the right server.",
    )


def _message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip() or type(error).__name__
