"""How a database is configured, and the tools for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from coagent.systems.base import Given, Place, System, Table, TargetKind, Tools
from coagent.targets.base import Target
from coagent.targets.folders import may_be_file


class SqlTarget(Table):
    """A database; a SQLite path is relative to the file."""

    kind: Literal["sql"]
    url: str


class SqlTable(Table):
    """How the statements of the tools for databases run (`tools.py`)."""

    timeout_s: float | None = Field(default=None, gt=0)
    role: str | None = None


def database_url(table: SqlTarget, place: Place) -> str:
    """Return the URL of a database, with the path of a SQLite file made absolute.

    Raises:
        ConfigurationError: There is no such file.
    """
    path = table.url.removeprefix("sqlite:///")
    if path == table.url:
        return table.url
    file = place.folder / Path(path).expanduser()
    if not may_be_file(file):
        raise place.fault(f"there is no database {str(file)!r}", "Correct `url`.")
    return f"sqlite:///{file.resolve()}"


def _target(table: SqlTarget, place: Place) -> Target:
    from coagent.systems.sql.target import Sql

    return Sql(database_url(table, place))


def _tools(given: Given) -> list[Any]:
    from coagent.systems.sql.tools import sql_tools

    urls = [database_url(table, given.place) for table in given.tables if isinstance(table, SqlTarget)]
    return [sql_tools(url, **given.settings.model_dump(exclude_none=True)) for url in urls]


SQL = System("sql", TargetKind(SqlTarget, _target), Tools(_tools, SqlTable), needs="coagent-mtpo[sql]")
