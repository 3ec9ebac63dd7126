"""Makes sure of PostgreSQL's own account that a statement keeps to the temporary tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coagent.errors import TargetError, ToolFailed
from coagent.systems.sql.session import SqlSession

_SERVERS = ("pg_catalog", "information_schema", "pg_toast")
_WRITTEN = """
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_user_tables
WHERE relid IN (SELECT oid FROM pg_class WHERE relnamespace = pg_my_temp_schema())"""
_LOCKED = """
SELECT c.oid::regclass::text FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relnamespace <> pg_my_temp_schema()
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%'
  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') LIMIT 1"""


def require_scratch_only(session: SqlSession, text: str) -> None:
    """Refuse a statement of which PostgreSQL says that it reads or writes other than temporary tables.

    The parser that finds the tables of a statement is not PostgreSQL's own, which has the last word here.

    Raises:
        ToolFailed: It would.
    """
    session.execute("SAVEPOINT planned")
    try:
        ((plan,),) = session.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}").fetchall()
    except TargetError:
        session.execute("ROLLBACK TO planned")  # it fails in the same way when it runs, and is answered then
        return
    session.execute("RELEASE planned")
    for node in _nodes(plan):
        space, name = node.get("Schema", ""), node.get("Relation Name")
        if name is not None and not space.startswith("pg_temp") and space not in _SERVERS:
            raise ToolFailed(
                f"the statement reads {name!r} as it is now, not at your place in the order",
                "Name the table in FROM, without a prefix.",
            )


def rows_written(session: SqlSession) -> int:
    """Return how many rows of temporary tables have been written in this transaction."""
    return int(session.execute(_WRITTEN).fetchone()[0])


def require_no_lock(session: SqlSession) -> None:
    """Refuse a definition that took hold of a live table or index, which its end has let go unchanged.

    Raises:
        ToolFailed: It did.
    """
    found = session.execute(_LOCKED).fetchone()
    if found is not None:
        raise ToolFailed(
            f"the statement is about {found[0]!r}, which is no table or index of the domain at your place",
            "Name a table or an index of one.",
        )


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:
    if isinstance(plan, dict):
        yield plan
        for part in plan.values():
            yield from _nodes(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from _nodes(part)
