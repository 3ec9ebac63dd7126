"""Changes of rows, schemas and sequences in one transaction, in an order that the constraints allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from coagent.errors import TargetError
from coagent.protocol.values import Value, same
from coagent.systems.sql.session import ConstraintFailed, SqlSession, row_schema


class RowChange(NamedTuple):
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


RowChanges: TypeAlias = list[RowChange]


def write(session: SqlSession, schemas: RowChanges, rows: RowChanges, sequences: RowChanges) -> None:
    """Make all changes; no trigger runs, since what it did where the statement ran is among them.

    Raises:
        ConstraintFailed: No order was found.
        TargetError: The database refuses.
    """
    _in_any_order(session, schemas, lambda change: session.change_schema(change.table, change.value))
    if rows:
        with session.without_triggers({row.table for row in rows}):
            _write_rows(session, rows)
    for change in sequences:
        schema = row_schema(session, change.table)
        if schema is not None and not same(session.sequence(change.table, schema), change.value):
            session.set_sequence(change.table, schema, change.value)


def _write_rows(session: SqlSession, rows: RowChanges) -> None:
    # What is deleted last has nothing left that refers to it, so nothing goes with it.
    #
    # Of (1, 'a') and (2, 'b'), with unique names, an agent's statement may have made (1, 'b') and (2, 'a').
    # Whichever is written first meets the name that the other one still has: no order of single writes
    # leads there. So those that are stuck are taken out and put in again, where nothing refers to them;
    # else the constraints go for the length of the transaction.
    ordered = sorted(rows, key=lambda row: row.value is None)
    session.execute("SAVEPOINT all_rows")
    stuck = _in_any_order(session, ordered, lambda row: _write_row(session, row), give_up=True)
    if stuck and session.checks_references:
        # Rows that trade unique values or keys with each other, and others refer to them.
        session.execute("ROLLBACK TO all_rows")
        with session.without_constraints({row.table for row in rows}):
            for row in reversed(ordered):
                _write_row(session, row, alone=True)
    elif stuck:  # Rows that trade unique values: take them out, and put them in again.
        for row in stuck:
            _write_row(session, row._replace(value=None))
        _in_any_order(session, stuck, lambda row: _write_row(session, row))
    session.execute("RELEASE all_rows")


def _write_row(session: SqlSession, row: RowChange, *, alone: bool = False) -> None:
    """Write a row; `alone`: no constraint of the database looks at it now."""
    schema = row_schema(session, row.table)
    if schema is None:
        if row.value is not None:
            raise TargetError(f"there is no table {row.table!r}", "Create it first.")
        return
    found = session.row(row.table, schema, row.key) if row.there or alone else None
    if same(found, row.value):
        return
    if row.value is None and found is not None and not alone:
        session.require_unreferred(row.table, schema, found)
    session.write_row(row.table, schema, row.key, found, row.value)


def _in_any_order(
    session: SqlSession, items: RowChanges, change: Callable[[RowChange], None], *, give_up: bool = False
) -> RowChanges:
    """Make all changes, coming back to those that the others stand in the way of.

    Returns:
        Those for which no order was found, with `give_up`; otherwise none.

    Raises:
        ConstraintFailed: No order was found.
    """
    left = items
    while left:
        failed: RowChanges = []
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
