"""Tables of an office over State: rows as objects `sql:TABLE/ID`, in a row order of their own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, TypeAlias

from coagent.protocol.values import Value
from coagent.tools.state import State

Row: TypeAlias = dict[str, Any]
ORDER = "row_order"
"""The hidden column that keeps a table's order, which decides what a capped search returns."""


def read_csv(path: Path, table: str, id_column: str) -> dict[str, Value]:
    """Return the rows of a CSV file as objects; empty cells become null."""
    objects: dict[str, Value] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            cells: Row = {name: cell if cell != "" else None for name, cell in row.items()}
            objects[f"sql:{table}/{cells[id_column]}"] = {**cells, ORDER: number}
    return objects


class Table:
    """One table.

    Args:
        name: Its name.
        id_column: The column that identifies a row.
    """

    def __init__(self, name: str, id_column: str) -> None:
        self.name = name
        self.id_column = id_column
        self.prefix = f"sql:{name}/"

    async def rows(self, state: State) -> list[Row]:
        """Return all rows in table order, the hidden column among them."""
        found = [await state.get(key) for key in await state.list(self.prefix)]
        return sorted(found, key=lambda row: (row[ORDER], row[self.id_column]))

    async def search(
        self, state: State, contains: Row, bounds: list[tuple[str, str, str | None]]
    ) -> list[Row]:
        """Return the rows whose columns contain these texts (in any case) and keep the bounds.

        Args:
            state: The state.
            contains: Column to text; None is no condition.
            bounds: (column, ">=" or "<=", value); a None value is no condition.
        """
        found = []
        for row in await self.rows(state):
            matches = all(
                text is None or str(text).lower() in str(row[column] or "").lower()
                for column, text in contains.items()
            )
            if matches and all(_within(row[column], operator, value) for column, operator, value in bounds):
                found.append(shown(row))
        return found

    async def row(self, state: State, row_id: str) -> Row | None:
        """Return a row, or None."""
        found: Row | None = await state.get(self.prefix + row_id)
        return found

    async def insert(self, state: State, cells: Row) -> str:
        """Append a row under the next id, and return that."""
        ids = [key.removeprefix(self.prefix) for key in await state.list(self.prefix)]
        number = max((int(one) for one in ids), default=-1) + 1
        row_id = f"{number:08d}"
        # A row of the initial state has its place in the file for its order; ids of later ones lie above all.
        row = {self.id_column: row_id, **cells, ORDER: 1_000_000 + number}
        await state.put(self.prefix + row_id, row)
        return row_id

    async def update(self, state: State, row_id: str, field: str, value: Any) -> bool:
        """Set one cell; False where there is no such row."""
        row = await self.row(state, row_id)
        if row is None:
            return False
        await state.put(self.prefix + row_id, {**row, field: value})
        return True

    async def delete(self, state: State, row_id: str) -> bool:
        """Remove a row; False where there is none."""
        if await self.row(state, row_id) is None:
            return False
        await state.delete(self.prefix + row_id)
        return True


def shown(row: Row) -> Row:
    """Return a row without the hidden column."""
    return {name: cell for name, cell in row.items() if name != ORDER}


def differences(initial: dict[str, Value], final: dict[str, Value], tables: list[Table]) -> dict[str, Any]:
    """Return what changed, per table: created rows without ids, deleted ids, updated cells [old, new]."""
    found: dict[str, Any] = {}
    for table in tables:
        before = {key: row for key, row in initial.items() if key.startswith(table.prefix)}
        after = {key: row for key, row in final.items() if key.startswith(table.prefix)}
        created = [
            {name: cell for name, cell in shown(after[key]).items() if name != table.id_column}
            for key in after.keys() - before.keys()
        ]
        created.sort(key=json.dumps)
        deleted = sorted(key.removeprefix(table.prefix) for key in before.keys() - after.keys())
        updated = {}
        for key in sorted(before.keys() & after.keys()):
            old, new = shown(before[key]), shown(after[key])
            cells = {name: [old[name], new.get(name)] for name in old if old[name] != new.get(name)}
            if cells:
                updated[key.removeprefix(table.prefix)] = cells
        parts = {"created": created, "deleted": deleted, "updated": updated}
        kept = {name: part for name, part in parts.items() if part}
        if kept:
            found[table.name] = kept
    return found


def _within(cell: str | None, operator: str, value: str | None) -> bool:
    if value is None:
        return True
    if cell is None:
        return False
    return cell >= value if operator == ">=" else cell <= value
