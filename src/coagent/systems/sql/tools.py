"""SQL as tools: one statement a call, run as if the agents came one after another."""

from __future__ import annotations

from typing import Any

from coagent.errors import ConfigurationError, ToolFailed
from coagent.protocol.values import Value
from coagent.systems.sql.limits import Limits, Result
from coagent.systems.sql.run import StatementRun, dialect_of
from coagent.systems.sql.scratch import Scratch
from coagent.systems.sql.statements import Dialect, not_too_deep, read
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State

TIMEOUT_S_DEFAULT = Limits().timeout_s
_IDS_MAX = 100


def sql_tools(
    url: str | None = None,
    *,
    scheme: str = "sql",
    prefix: str = "sql",
    timeout_s: float = TIMEOUT_S_DEFAULT,
    schema: str = "public",
    role: str | None = None,
) -> list[NativeTool]:
    """Make the tools for the database of one `Sql` target.

    Args:
        url: The target's. Statements for PostgreSQL run in temporary tables of that server, in transactions
            that are rolled back; those for SQLite (the default) in memory.
        scheme: The target's scheme.
        prefix: The tools are called `<prefix>_query` and `<prefix>_execute`.
        timeout_s: How long a statement may run, in seconds.
        schema: The schema of a PostgreSQL database whose tables the target means.
        role: The role of PostgreSQL that statements run as; it needs no rights on the tables, only the right
            to make temporary ones. By default the URL's user.

    Raises:
        ConfigurationError: The URL names no engine that is known, or the time is none.
    """
    limits = Limits(timeout_s)
    scratch = Scratch(_server(url, timeout_s), space=schema, role=role)
    dialect: Dialect = dialect_of(scratch)

    async def sql_query(
        state: State, query: str, params: list[Any] | dict[str, Any] | None = None
    ) -> dict[str, Value]:
        """Run one SELECT and return its rows.

        Args:
            query: The statement, with `?` or `:name` for parameters.
            params: A list for `?`, an object for `:name`.
        """
        statement = await read(query, params, dialect)
        if statement.kind != "query":
            raise ToolFailed(
                f"{prefix}_query takes a SELECT only", f"Use {prefix}_execute for what changes anything."
            )
        with not_too_deep():
            outcome = await StatementRun(state, scheme, scratch, statement, limits).query()
        return {"rows": outcome.result.rows, **({"note": outcome.result.note} if outcome.result.note else {})}

    async def sql_execute(
        state: State, statement: str, params: list[Any] | dict[str, Any] | None = None
    ) -> dict[str, Value]:
        """Run one INSERT, UPDATE, DELETE, CREATE TABLE, ALTER TABLE or DROP TABLE.

        Args:
            statement: The statement, with `?` or `:name` for parameters.
            params: A list for `?`, an object for `:name`.
        """
        parsed = await read(statement, params, dialect)
        run = StatementRun(state, scheme, scratch, parsed, limits)
        if parsed.kind == "query":
            raise ToolFailed(f"{prefix}_execute takes no SELECT", f"Use {prefix}_query.")
        with not_too_deep():
            if parsed.kind == "definition":
                await run.define()
                return {"done": parsed.tree.key}
            outcome, ids = await run.change()
        return _answer(outcome.result, ids)

    return [tool(name=f"{prefix}_query")(sql_query), tool(name=f"{prefix}_execute")(sql_execute)]


def _answer(result: Result, ids: list[Value]) -> dict[str, Value]:
    """Return what is said of a statement that has changed rows."""
    answer: dict[str, Value] = {"rows_changed": result.changed}
    if ids:
        answer["ids"] = ids[:_IDS_MAX]
    if result.rows:
        answer["returned"] = result.rows
    if result.note:
        answer["note"] = result.note
    return answer


def _server(url: str | None, timeout_s: float) -> str | None:
    """Return the URL of a server; None for SQLite."""
    if url is not None and not url.startswith(("sqlite:", "postgresql://", "postgres://")):
        raise ConfigurationError(
            f"{url.partition(':')[0]!r} is no known database", "Pass the URL of the target."
        )
    if timeout_s <= 0:
        raise ConfigurationError(f"timeout_s = {timeout_s!r} leaves no time", "Pass some seconds.")
    return url if url is not None and not url.startswith("sqlite:") else None


SQL_TOOLS = sql_tools()
"""The tools for a SQLite database under the scheme `sql`."""
