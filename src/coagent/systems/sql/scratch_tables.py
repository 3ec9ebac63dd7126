"""The tables of a scratch database: made from schemas, and filled with the rows of a position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from coagent.protocol.values import Value
from coagent.systems.sql.session import Row, Schema, SqlSession, quote_name

Rows: TypeAlias = dict[str, dict[str, Row]]
"""Table to key to row."""


def in_order(schemas: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """Yield tables, heirs after those from which they inherit, and then views in the order given."""
    done: set[str] = set()

    def create_after_parents(table: str) -> Iterator[tuple[str, Schema]]:
        if table in done or table not in schemas:
            return
        done.add(table)
        for parent in schemas[table].get("inherits", ()):
            yield from create_after_parents(parent)
        yield table, schemas[table]

    for table, schema in schemas.items():
        if "view" not in schema:
            yield from create_after_parents(table)
    yield from ((view, schema) for view, schema in schemas.items() if "view" in schema)


def create_bare(session: SqlSession, table: str, schema: Schema, columns: list[str]) -> None:
    """Make a table of some columns without constraints, for rows of which only these are known."""
    alias = schema["dialect"] == "sqlite" and schema["sequences"]
    parts = [
        f"{quote_name(name)} {schema['columns'][name]['type']}" + (" PRIMARY KEY" if [name] == alias else "")
        for name in columns
        if name in schema["columns"]
    ]
    session.execute(f"CREATE TABLE {session.name(table)} ({', '.join(parts) or 'nothing int'})")


def load(
    session: SqlSession, table: str, schema: Schema, rows: Iterable[Mapping[str, Value]], columns: list[str]
) -> None:
    """Put the values of some columns into a table."""
    rows = list(rows)
    names = ", ".join(quote_name(name) if name != "_rowid_" else name for name in columns)
    marks = ", ".join(
        session.assignment(name, schema) if name != "_rowid_" else session.placeholder for name in columns
    )
    always = " OVERRIDING SYSTEM VALUE" if schema["dialect"] == "postgres" else ""
    connection = session.connection
    many = connection.executemany if schema["dialect"] == "sqlite" else connection.cursor().executemany
    if columns and rows:
        many(
            f"INSERT INTO {session.name(table)} ({names}){always} VALUES ({marks})",
            [[row[name] for name in columns] for row in rows],
        )


def load_whole(session: SqlSession, table: str, schema: Schema, rows: Mapping[str, Row]) -> None:
    """Put whole rows into a table."""
    columns = [name for name, column in schema["columns"].items() if not column["generated"]]
    if schema["key"] == ["_rowid_"]:
        numbered = [{**row, "_rowid_": int(key)} for key, row in rows.items()]
        load(session, table, schema, numbered, ["_rowid_", *columns])
    else:
        load(session, table, schema, rows.values(), columns)
