"""The table that names tools, and the tools that it stands for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from coagent.config.explain import Table, nearest
from coagent.config.modules import load_tools
from coagent.config.targets import SqlTarget, database_url
from coagent.errors import ConfigurationError

_BUILTIN = {
    "files": ("coagent.builtin.files", "FILE_TOOLS"),
    "kubernetes": ("coagent.builtin.kubernetes", "KUBERNETES_TOOLS"),
    "sql": ("coagent.builtin.sql", "sql_tools"),
    "changes": ("coagent.builtin.changes", "CHANGE_TOOLS"),
    "documents": ("coagent.builtin.documents", "DOCUMENT_TOOLS"),
}


class ToolsTable(Table):
    """What the agents may call."""

    builtin: list[str] | None = None
    modules: list[str] = Field(default_factory=list)


def make_tools(table: ToolsTable, targets: Sequence[Any], folder: Path, place: str) -> list[Any]:
    """Return the tools that a table names: built-in ones, by default those of the targets, and modules' own.

    Args:
        table: The table.
        targets: The tables of the targets.
        folder: Where relative paths start.
        place: `file:line`, for messages.

    Raises:
        ConfigurationError: There are none of that name, or their code fails.
    """
    kinds = [one.kind for one in targets if one.kind in _BUILTIN]
    tools: list[Any] = []
    for name in kinds if table.builtin is None else table.builtin:
        if name not in _BUILTIN:
            raise ConfigurationError(
                f"{place}: there are no built-in tools {name!r}", nearest(name, sorted(_BUILTIN))
            )
        module, constant = _BUILTIN[name]
        try:
            found = getattr(importlib.import_module(module), constant)
        except ImportError as error:
            raise ConfigurationError(
                f"{place}: the tools {name!r} cannot be loaded: {error}", "Install it."
            ) from error
        if name == "sql":
            databases = [one for one in targets if isinstance(one, SqlTarget)]
            tools.extend(found(database_url(one, folder, place)) for one in databases)
        else:
            tools.append(found)
    for module in table.modules:
        tools.extend(load_tools(folder / module))
    return tools
