"""One connection to a database, seen as schemas, rows and sequences; what the two engines have in common.

A schema is data, with all that is needed to make the table anew:

    {"dialect": "sqlite" | "postgres",
     "columns": {name: {"type": ..., "kind": ..., "generated": bool, ...}, ...},   in their order
     "key": [column, ...],                 the primary key; ["_rowid_"] for a SQLite table without one; or []
     "unique": [[column, ...], ...],       None in place of a list: an index on expressions or with a WHERE
     "references": [{"columns": [...], "table": ..., "to": [...]}, ...],
     "sequences": [column, ...],           columns for which the database gives out numbers
     "triggers": [CREATE TRIGGER, ...],
     ...}                                  and what the engine needs to say CREATE

A view has its text as `"view"`, and no key.

The kind of a column says what its values are in a row: number, text, boolean, bytes, decimal (exact text) or
other (text, as the database writes it; for SQLite whatever stands there).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeAlias

from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.values import Value, same
from coagent.systems.sql.keys import decode_key, encode_key

Schema: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Value]
_ROWS_AT_ONCE = 200


def quote_name(name: str) -> str:
    """Return a name as SQL writes it whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def key_kinds(schema: Schema) -> list[str]:
    """Return the kinds of the primary key's columns."""
    return [schema["columns"][name]["kind"] if name != "_rowid_" else "number" for name in schema["key"]]


class ConstraintFailed(TargetError):
    """The database refuses a row or schema for a constraint; another order of changes may do."""

    code = "constraint_failed"


class DatabaseBusy(TargetUnavailable):
    """Somebody else holds a lock on what is needed."""


class SchemaMoved(DatabaseBusy):
    """Somebody else has changed a table's schema while it was read."""


class SqlSession(ABC):
    """Reads and writes over one open connection; transactions are the caller's."""

    placeholder: ClassVar[str]
    checks_references: ClassVar[bool] = False
    """Whether foreign keys are enforced while rows are written."""
    connection: Any
    """The driver's own connection."""

    @property
    def broken(self) -> bool:
        """Whether the connection is of no use any more."""
        return False

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    @abstractmethod
    def execute(self, statement: str, parameters: Any = ()) -> Any:
        """Run one statement and return its cursor.

        Raises:
            ConstraintFailed: A constraint is violated.
            TargetUnavailable: The database is away, locked, full or in trouble.
            TargetError: The database refuses for another reason.
        """

    @abstractmethod
    def begin(self, statement: str, lock_s_max: float, statement_s_max: float) -> None:
        """Begin a transaction.

        Args:
            statement: How.
            lock_s_max: How long it may wait for a lock of somebody else.
            statement_s_max: How long one statement may take, where the database can bound that.

        Raises:
            TargetUnavailable: As for `execute`.
        """

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the names of the tables, sorted."""

    @abstractmethod
    def views(self) -> list[str]:
        """Return the names of the views, sorted."""

    @abstractmethod
    def schema(self, table: str) -> Schema | None:
        """Return the schema of a table or view, None where there is none."""

    @abstractmethod
    def create(self, table: str, schema: Schema, *, deferred: bool = False) -> None:
        """Make a table. `deferred`: without what refers to other tables, for `refer` to add."""

    @abstractmethod
    def alter(self, table: str, now: Schema, wanted: Schema) -> None:
        """Change a table from one schema to another, keeping what its rows hold in common columns."""

    @abstractmethod
    def sequence(self, table: str, schema: Schema) -> Value:
        """Return `{column: last number given out}`, None for a table without sequences."""

    @abstractmethod
    def set_sequence(self, table: str, schema: Schema, value: Value) -> None:
        """Make the numbers given out next follow the ones in `value`."""

    def name(self, table: str) -> str:
        """Return the table's name in statements."""
        return quote_name(table)

    def source(self, table: str, schema: Schema) -> str:
        """Return what stands after FROM, UPDATE or DELETE FROM where the table's own rows are meant."""
        return self.name(table)

    def selection(self, column: str, schema: Schema) -> str:
        """Return the expression that reads a column as a row holds it."""
        return quote_name(column)

    def assignment(self, column: str, schema: Schema) -> str:
        """Return the expression that takes a column's value from a parameter."""
        return self.placeholder

    def change_schema(self, table: str, wanted: Schema | None) -> None:
        """Create, alter or drop a table.

        Raises:
            TargetError: The database refuses, or would end up with another schema.
        """
        now = self.schema(table)
        if same(now, wanted):
            return
        if wanted is None:
            kind = "VIEW" if now is not None and "view" in now else "TABLE"
            self.execute(f"DROP {kind} {self.name(table)}")
            return
        try:
            if now is None:
                self.create(table, wanted)
            else:
                self.alter(table, now, wanted)
        except (KeyError, TypeError, AttributeError) as error:
            raise TargetError(
                f"the schema of {table!r} lacks something: {type(error).__name__} {error}",
                "Change tables with CREATE, ALTER and DROP TABLE.",
            ) from None
        if not same(self.schema(table), wanted):
            raise TargetError(
                f"table {table!r} cannot be brought from the schema it has to the one wanted",
                "Change it in steps that ALTER TABLE knows.",
            )

    def rows(self, table: str, schema: Schema) -> dict[str, Row]:
        """Return all rows by the text of their primary key."""
        if not schema["key"]:
            return {}
        names, kinds = list(schema["columns"]), key_kinds(schema)
        places = [names.index(column) if column in names else -1 for column in schema["key"]]
        cursor = self.execute(f"SELECT {self._row_columns(schema)} FROM {self.source(table, schema)}")
        return {
            encode_key([row[place] for place in places], kinds): dict(zip(names, row, strict=False))
            for row in cursor.fetchall()
        }

    def row(self, table: str, schema: Schema, key: str, *, lock: bool = False) -> Row | None:
        """Return one row, None where it does not exist.

        Raises:
            TargetError: The text is no name of a row of the table.
        """
        values = self._key_values(table, schema, key)
        cursor = self.execute(
            f"SELECT {self._row_columns(schema)} FROM {self.source(table, schema)} "
            f"WHERE {self._key_condition(schema)}{self._lock() if lock else ''}",
            values,
        )
        found = cursor.fetchone()
        if found is None:
            return None
        row = dict(zip(schema["columns"], found, strict=False))
        # To the database 'a' may equal 'A', or 1.0 1.00; the row has one name all the same.
        named = schema["key"] == ["_rowid_"] or key == encode_key(
            [row[name] for name in schema["key"]], key_kinds(schema)
        )
        return row if named else None

    def some_rows(self, table: str, schema: Schema, keys: Sequence[str]) -> dict[str, Row]:
        """Return those of some rows that exist, with few questions.

        Raises:
            TargetError: One of the texts is no name of a row of the table.
        """
        found: dict[str, Row] = {}
        names, kinds = list(schema["columns"]), key_kinds(schema)
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            values = [self._key_values(table, schema, key) for key in keys[start : start + _ROWS_AT_ONCE]]
            condition = " OR ".join([f"({self._key_condition(schema)})"] * len(values))
            cursor = self.execute(
                f"SELECT {self._row_columns(schema)} FROM {self.source(table, schema)} WHERE {condition}",
                [part for each in values for part in each],
            )
            places = [names.index(name) if name in names else -1 for name in schema["key"]]
            for row in cursor.fetchall():
                key = encode_key([row[place] for place in places], kinds)
                found[key] = dict(zip(names, row, strict=False))
        return found

    def count_rows(self, table: str, most: int) -> int:
        """Return how many rows a table has; not more than `most` are counted."""
        cursor = self.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {self.name(table)} LIMIT {most}) AS counted"
        )
        return int(cursor.fetchone()[0])

    def lock_table(self, table: str) -> None:  # noqa: B027 - SQLite locks the whole file
        """Keep others from changing a table's schema until the transaction ends."""

    def lock_names(self, names: Collection[str]) -> bool:
        """Keep others that do the same from objects that are not there, until the transaction ends.

        Returns:
            Whether others may have come first, so that it has to be looked again; False where nobody can.
        """
        return False  # SQLite locks the whole file

    @abstractmethod
    def without_triggers(self, tables: Collection[str]) -> AbstractContextManager[None]:
        """Keep the triggers of some tables from running while rows are written."""

    def require_unreferred(self, table: str, schema: Schema, row: Row) -> None:  # noqa: B027 - SQLite deletes it alone
        """Make sure that nothing is deleted or changed together with a row, because it refers to that row.

        Raises:
            ConstraintFailed: Something would be, now.
        """

    def without_constraints(self, tables: Collection[str]) -> AbstractContextManager[None]:
        """Have foreign keys and unique columns of some tables checked when all rows are written, not before.

        Raises:
            ConstraintFailed: They do not hold then.
        """
        raise NotImplementedError("a database that enforces no foreign keys while rows are written")

    def write_row(self, table: str, schema: Schema, key: str, old: Row | None, new: Row | None) -> None:
        """Insert, update or delete a row, given what is there now.

        Raises:
            ConstraintFailed: A constraint is violated.
            TargetError: The row does not fit the table.
        """
        values = self._key_values(table, schema, key)
        if new is None:
            condition = self._key_condition(schema)
            self.execute(f"DELETE FROM {self.source(table, schema)} WHERE {condition}", values)
            return
        self._check(table, schema, key, new)
        columns = [name for name, column in schema["columns"].items() if not column.get("generated")]
        if old is None:
            hidden = ["_rowid_"] if schema["key"] == ["_rowid_"] else []
            names = ", ".join(hidden + [quote_name(name) for name in columns])
            marks = ", ".join(
                [self.placeholder] * len(hidden) + [self.assignment(n, schema) for n in columns]
            )
            self.execute(
                f"INSERT INTO {self.name(table)} ({names}){self._overriding(schema)} VALUES ({marks})",
                (values if hidden else []) + [new[name] for name in columns],
            )
            return
        changed = [name for name in columns if not same(old.get(name), new[name])]
        if changed:
            settings = ", ".join(f"{quote_name(name)} = {self.assignment(name, schema)}" for name in changed)
            self.execute(
                f"UPDATE {self.source(table, schema)} SET {settings} WHERE {self._key_condition(schema)}",
                [new[name] for name in changed] + values,
            )

    def _check(self, table: str, schema: Schema, key: str, row: Row) -> None:
        if type(row) is not dict or row.keys() != schema["columns"].keys():
            raise TargetError(
                f"a row of {table!r} is an object with the columns {', '.join(schema['columns'])}",
                "Write the whole row.",
            )
        if schema["key"] != ["_rowid_"]:
            own = encode_key([row[name] for name in schema["key"]], key_kinds(schema))
            if own != key:
                raise TargetError(f"the row of {table!r} under the key {key!r} says its key is {own!r}")

    def _key_values(self, table: str, schema: Schema, key: str) -> list[Value]:
        if not schema["key"]:
            raise TargetError(f"table {table!r} has no primary key", "Add one, so that its rows have names.")
        values = decode_key(key, key_kinds(schema))
        if values is None:
            raise TargetError(
                f"{key!r} is no key of table {table!r}",
                f"Its key is ({', '.join(schema['key'])}), the parts joined by commas.",
            )
        return values

    def _row_columns(self, schema: Schema) -> str:
        columns = [self.selection(name, schema) for name in schema["columns"]]
        return ", ".join(columns + (["_rowid_"] if schema["key"] == ["_rowid_"] else []))

    def _key_condition(self, schema: Schema) -> str:
        return " AND ".join(
            f"{quote_name(name) if name != '_rowid_' else name} = "
            f"{self.assignment(name, schema) if name != '_rowid_' else self.placeholder}"
            for name in schema["key"]
        )

    def _lock(self) -> str:
        return ""

    def _overriding(self, schema: Schema) -> str:
        return ""


def row_schema(session: SqlSession, table: str) -> Schema | None:
    """Return the schema of a table as far as its rows need it; None where there is no table."""
    known: Any = getattr(session, "row_schema", session.schema)
    schema: Schema | None = known(table)
    return schema


def first_values(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the first column of a result."""
    return [row[0] for row in rows]
