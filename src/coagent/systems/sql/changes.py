"""Changes of rows, schemas and sequences in one transaction, in an order that the constraints allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from coagent.errors import TargetError
from coagent.protocol.values import Value, same
from coagent.systems.sql.session import ConstraintFailed, SqlSession, row_schema


class Row(NamedTuple):
    """One change.

    Args:
        table: The table.
        key: Which row of it; empty for a schema or a sequence.
        value: The new value.
        there: Whether it was there when it was compared with what is expected. One that was not is inserted
            in any case: if somebody else has inserted it since, that must fail.
    """

    table: str
    key: str
    value: Value
    there: bool


Rows: TypeAlias = list[Row]


def write(session: SqlSession, schemas: Rows, rows: Rows, sequences: Rows) -> None:
    """Make all changes.

    Raises:
        ConstraintFailed: No order was found.
        TargetError: The database refuses.
    """
    _in_any_order(session, schemas, lambda change: session.change_schema(change.table, change.value))
    _write_rows(session, rows)
    for change in sequences:
        schema = row_schema(session, change.table)
        if schema is not None and not same(session.sequence(change.table, schema), change.value):
            session.set_sequence(change.table, schema, change.value)


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
    if session.checks_references and any(row.table in named for row in stuck):
        _in_any_order(session, stuck, lambda row: _write_row(session, row))
    for row in stuck:
        _write_row(session, row._replace(value=None))
    _in_any_order(session, stuck, lambda row: _write_row(session, row))


def _write_row(session: SqlSession, row: Row) -> None:
    schema = row_schema(session, row.table)
    if schema is None:
        if row.value is not None:
            raise TargetError(f"there is no table {row.table!r}", "Create it first.")
        return
    found = session.row(row.table, schema, row.key) if row.there else None
    if not same(found, row.value):
        session.write_row(row.table, schema, row.key, found, row.value)


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
