"""What PostgreSQL would do by itself as rows are written, and must not.

The rows that are written are what a statement left where it ran, with all that triggers and foreign keys did
there. Were those to act again, what follows from one row would fall upon others that are right already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coagent.errors import TargetError, TargetUnavailable
from coagent.systems.sql.session import ConstraintFailed, Row, Schema, quote_name

if TYPE_CHECKING:
    from coagent.systems.sql.postgres import PostgresSession

_TRIGGERS = """
SELECT c.relname, t.tgname, t.tgenabled = 'A' FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = {namespace} AND c.relname = ANY(%s) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND t.tgenabled IN ('O', 'A') ORDER BY 1, 2"""
_FOLLOWING = """
SELECT c.conrelid::regclass::text,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.i)::text[],
       ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY k(n, i)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.i)::text[]
FROM pg_constraint c JOIN pg_class f ON f.oid = c.confrelid
WHERE c.contype = 'f' AND c.confdeltype IN ('c', 'n', 'd') AND c.conparentid = 0
  AND f.relnamespace = {namespace} AND f.relname = %s ORDER BY c.conname"""
_CONSTRAINTS = """
SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid), c.contype = 'f'
FROM pg_constraint c
WHERE c.conparentid = 0 AND (
      c.contype = 'f' AND (c.conrelid = ANY(%(tables)s::oid[]) OR c.confrelid = ANY(%(tables)s::oid[]))
   OR c.contype IN ('u', 'x') AND c.conrelid = ANY(%(tables)s::oid[]))
ORDER BY c.contype <> 'f', c.conname"""
_INDEXES = """
SELECT x.indexrelid::regclass::text, pg_get_indexdef(x.indexrelid) FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indisunique AND NOT x.indisprimary AND x.indrelid = ANY(%s::oid[]) AND NOT i.relispartition
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid AND c.contype IN ('u', 'x'))"""


@contextmanager
def without_row_triggers(session: PostgresSession, tables: Collection[str]) -> Iterator[None]:
    """Keep triggers of tables from running until the rows are written."""
    found = session.execute(_TRIGGERS.format(namespace=session.namespace), (list(tables),)).fetchall()
    for table, trigger, _ in found:
        try:
            session.execute(f"ALTER TABLE {session.name(table)} DISABLE TRIGGER {quote_name(trigger)}")
        except (ConstraintFailed, TargetUnavailable):
            raise
        except TargetError as error:
            raise TargetError(
                f"the triggers of {table!r} cannot be kept from running twice: {error.cause}",
                "Let the URL name the owner of the table.",
            ) from None
    yield
    if found:  # what is still to be checked would be in the way
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table, trigger, always in found:
        mode = "ENABLE ALWAYS" if always else "ENABLE"
        session.execute(f"ALTER TABLE {session.name(table)} {mode} TRIGGER {quote_name(trigger)}")


def referring_table(session: PostgresSession, table: str, schema: Schema, row: Row) -> str | None:
    """Return a table with rows that would be deleted, or changed, together with a row; None without any."""
    for other, columns, to in session.execute(
        _FOLLOWING.format(namespace=session.namespace), (table,)
    ).fetchall():
        equal = " AND ".join(
            f"{quote_name(name)} = {session.assignment(there, schema)}"
            for name, there in zip(columns, to, strict=True)
        )
        values = [row[name] for name in to]
        if session.execute(f"SELECT 1 FROM {other} WHERE {equal} LIMIT 1", values).fetchone():
            return str(other)
    return None


@contextmanager
def without_uniqueness(session: PostgresSession, tables: Collection[str]) -> Iterator[None]:
    """Take the foreign keys and unique columns of tables away, and set them up again when rows are written.

    It locks the tables and reads them as a whole, and is for rows that no order of writing would lead to.
    """
    relations = session.column(
        f"SELECT oid FROM pg_class WHERE relnamespace = {session.namespace} AND relname = ANY(%s)",
        (list(tables),),
    )
    constraints = session.execute(_CONSTRAINTS, {"tables": relations}).fetchall()
    indexes = session.execute(_INDEXES, (relations,)).fetchall()
    try:
        involved = sorted({table for table, *_ in constraints} | {session.name(table) for table in tables})
        session.execute(f"LOCK TABLE {', '.join(involved)} IN ACCESS EXCLUSIVE MODE")
        for table, name, _, _ in constraints:
            session.execute(f"ALTER TABLE {table} DROP CONSTRAINT {quote_name(name)}")
        for index, _ in indexes:
            session.execute(f"DROP INDEX {index}")
    except (ConstraintFailed, TargetUnavailable):
        raise
    except TargetError as error:
        raise ConstraintFailed(
            "rows trade unique values with each other, and there is no order in which to write them; "
            f"nor can constraints wait for all of them: {error.cause}"
        ) from None
    yield
    for _, text in indexes:
        session.execute(text)
    for table, name, text, _ in sorted(constraints, key=lambda constraint: constraint[3]):
        session.execute(f"ALTER TABLE {table} ADD CONSTRAINT {quote_name(name)} {text}")
