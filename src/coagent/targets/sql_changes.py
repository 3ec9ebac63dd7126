"""Changes of rows, schemas and sequences in one transaction, in an order that the constraints allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from coagent.errors import TargetError
from coagent.protocol.values import Value, same
from coagent.targets.sql_session import ConstraintFailed, SqlSession, row_schema

Row: TypeAlias = tuple[str, str, Value]
"""(table, key of the row, its new value); the key is empty for a schema or a sequence."""
Rows: TypeAlias = list[Row]


def write(session: SqlSession, schemas: Rows, rows: Rows, sequences: Rows) -> None:
    """Make all changes.

    Raises:
        ConstraintFailed: No order was found.
        TargetError: The database refuses.
    """
    _in_any_order(session, schemas, lambda change: session.change_schema(change[0], change[2]))
    _write_rows(session, rows)
    for table, _, value in sequences:
        schema = row_schema(session, table)
        if schema is not None and not same(session.sequence(table, schema), value):
            session.set_sequence(table, schema, value)


def _write_rows(session: SqlSession, rows: Rows) -> None:
    stuck = _in_any_order(session, rows, lambda row: _write_row(session, row), give_up=True)
    if not stuck:
        return
    # Rows that trade unique values with each other: take them out, and put them in again.
    named = {
        reference["table"]
        for table in session.tables()
        for reference in (session.schema(table) or {"references": []})["references"]
    }
    if session.checks_references and any(table in named for table, _, _ in stuck):
        _in_any_order(session, stuck, lambda row: _write_row(session, row))
    for table, row, _ in stuck:
        _write_row(session, (table, row, None))
    _in_any_order(session, stuck, lambda row: _write_row(session, row))


def _write_row(session: SqlSession, row: Row) -> None:
    table, key, value = row
    schema = row_schema(session, table)
    if schema is None:
        if value is not None:
            raise TargetError(f"there is no table {table!r}", "Create it first.")
        return
    found = session.row(table, schema, key)
    if not same(found, value):
        session.write_row(table, schema, key, found, value)


def _in_any_order(
    session: SqlSession, items: Rows, change: Callable[[Row], None], *, give_up: bool = False
) -> Rows:
    """Make all changes, coming back to those that the others stand in the way of.

    Returns:
        Those for which no order was found, with `give_up`; otherwise none.

    Raises:
        ConstraintFailed: No order was found.
    """
    left = items
    while left:
        failed: Rows = []
        failure: ConstraintFailed | None = None
        for item in left:
            session.execute("SAVEPOINT one_change")
            try:
                change(item)
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
