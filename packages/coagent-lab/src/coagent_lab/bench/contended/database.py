"""The SQL workloads' tools, on a real database: `sql.query` and `sql.execute`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from coagent.errors import ConfigurationError
from coagent.protocol.values import Value
from coagent.systems.sql.target import Sql
from coagent.systems.sql.tools import sql_tools
from coagent.targets.base import Target
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State


def tools(url: str | None) -> tuple[NativeTool, ...]:
    """Return the tools for a database, as the workload files name them.

    Args:
        url: `postgresql://…`; SQLite where it is None.
    """
    run_query, run_statement = sql_tools(url)

    @tool(name="sql.query")
    async def query(state: State, sql: str) -> list[list[Any]]:
        """Run a SELECT; the rows as lists."""
        found = await run_query(state, sql)
        return [list(row.values()) for row in found["rows"]]

    @tool(name="sql.execute")
    async def execute(state: State, sql: str) -> int:
        """Run a statement that changes something; the number of rows that it changed."""
        found = await run_statement(state, sql)
        return int(found.get("rows_changed", 0))

    return (query, execute)


@contextlib.contextmanager
def database(script: str, url: str | None = None) -> Iterator[Target]:
    """Make a scratch database by a script, yield it as a target, and remove it again.

    Args:
        script: Statements in SQLite's dialect.
        url: A PostgreSQL server, where a scratch schema is made; a SQLite file where it is None.

    Raises:
        ConfigurationError: The server cannot be reached.
    """
    with _on_postgres(script, url) if url is not None else _on_sqlite(script) as target:
        yield target


@contextlib.contextmanager
def _on_sqlite(script: str) -> Iterator[Target]:
    descriptor, path = tempfile.mkstemp(prefix="coagent-bench-", suffix=".db")
    os.close(descriptor)
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        yield Sql(f"sqlite:///{path}")
    finally:
        for one in (path, f"{path}-wal", f"{path}-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one)


@contextlib.contextmanager
def _on_postgres(script: str, url: str) -> Iterator[Target]:
    import psycopg

    name = f"coagent_bench_{uuid.uuid4().hex[:12]}"
    # An INTEGER PRIMARY KEY of SQLite numbers its rows by itself; PostgreSQL says SERIAL for that.
    script = re.sub(r"\bINTEGER PRIMARY KEY\b", "SERIAL PRIMARY KEY", script)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create schema {name}".encode())
            try:
                connection.execute(f"set search_path to {name}".encode())
                connection.execute(script.encode())
                yield Sql(url, schema=name)
            finally:
                connection.execute(f"drop schema {name} cascade".encode())
    except psycopg.OperationalError as error:
        raise ConfigurationError(
            f"the database server cannot be reached: {str(error).strip().splitlines()[0]}",
            "Start it, or name another one with --sql.",
        ) from None


def script_of(objects: dict[str, Value]) -> str:
    """Return the script that makes tables of rows given as objects; the first column is the primary key."""
    lines = []
    tables: dict[str, list[dict[str, Any]]] = {}
    for key, row in objects.items():
        tables.setdefault(key.partition(":")[2].partition("/")[0], []).append(row)
    for table, rows in tables.items():
        columns = [_column(name, rows[0][name], first=number == 0) for number, name in enumerate(rows[0])]
        lines.append(f'CREATE TABLE "{table}" ({", ".join(columns)});')
        values = ",\n".join("(" + ", ".join(_literal(cell) for cell in row.values()) + ")" for row in rows)
        lines.append(f'INSERT INTO "{table}" VALUES {values};')
    return "\n".join(lines)


def _column(name: str, cell: Any, *, first: bool) -> str:
    kind = "INTEGER" if isinstance(cell, int) else "TEXT"
    return f'"{name}" {kind}{" PRIMARY KEY" if first else ""}'


def _literal(cell: Any) -> str:
    if cell is None:
        return "NULL"
    return str(cell) if isinstance(cell, int) else "'" + str(cell).replace("'", "''") + "'"


def final(snapshot: dict[str, Value]) -> Value:
    """Return the final state in the workload's form: table to columns and rows."""
    tables: dict[str, dict[str, Any]] = {}
    for key, row in snapshot.items():
        if key.startswith("sql:"):
            table = key.removeprefix("sql:").partition("/")[0]
            found = tables.setdefault(table, {"columns": list(row), "rows": []})
            found["rows"].append(list(row.values()))
    return canonical(tables)


def canonical(final: Value) -> Value:
    """Return a final state with its rows in one order, and without tables that have none."""
    return {
        table: {"columns": found["columns"], "rows": sorted(found["rows"], key=json.dumps)}
        for table, found in final.items()
        if found["rows"]
    }
