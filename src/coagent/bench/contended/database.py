"""The SQL workloads' tools, on a real database: `sql.query` and `sql.execute`."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from typing import Any

from coagent.builtin.sql import sql_tools
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.targets.base import Target
from coagent.targets.sql import Sql
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State

_QUERY, _EXECUTE = sql_tools()


@tool(name="sql.query")
async def query(state: State, sql: str) -> list[list[Any]]:
    """Run a SELECT; the rows as lists."""
    found = await _QUERY(state, sql)
    return [list(row.values()) for row in found["rows"]]


@tool(name="sql.execute")
async def execute(state: State, sql: str) -> int:
    """Run a statement that changes something; the number of rows that it changed."""
    found = await _EXECUTE(state, sql)
    return int(found.get("rows_changed", 0))


TOOLS: tuple[NativeTool, ...] = (query, execute)


@contextlib.contextmanager
def database(script: str) -> Iterator[Target]:
    """Make a scratch SQLite database by a script, and yield it as a target."""
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


def final(snapshot: dict[Key, Value]) -> Value:
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
