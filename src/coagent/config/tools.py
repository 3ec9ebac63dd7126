"""The table that names tools, and the tools that it stands for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from coagent.builtin.bash import Network
from coagent.builtin.commands import View
from coagent.config.explain import Table, nearest
from coagent.config.modules import load_tools
from coagent.config.targets import SqlTarget, database_url
from coagent.errors import ConfigurationError
from coagent.sandbox.own_tmp import BYTES_MAX_DEFAULT
from coagent.targets.base import Target
from coagent.targets.files import Files
from coagent.targets.workspace import Workspace

_BUILTIN = {
    "files": ("coagent.builtin.files", "FILE_TOOLS"),
    "kubernetes": ("coagent.builtin.kubernetes", "KUBERNETES_TOOLS"),
    "sql": ("coagent.builtin.sql", "sql_tools"),
    "bash": ("coagent.builtin.bash", "bash_tools"),
    "toolsmith": ("coagent.toolsmith.smith", "smith_tools"),
    "changes": ("coagent.builtin.changes", "CHANGE_TOOLS"),
    "documents": ("coagent.builtin.documents", "DOCUMENT_TOOLS"),
}


class BashTable(Table):
    """How the commands of the tool `bash` run (`builtin/bash.py`)."""

    network: Network = "deny"
    trace: bool = True
    writable: list[str] = Field(default_factory=list)
    view: View = "auto"
    tmp_mib_max: int = Field(default=BYTES_MAX_DEFAULT // 1024**2, ge=0)


class SqlTable(Table):
    """How the statements of the tools for databases run (`builtin/sql.py`)."""

    timeout_s: float | None = Field(default=None, gt=0)

    @property
    def settings(self) -> dict[str, Any]:
        """What is set, for `sql_tools`."""
        return self.model_dump(exclude_none=True)


class ToolsmithTable(Table):
    """How tools are grown.

    Args:
        library: The folder of the grown tools; by default `.coagent/tools` of the workspace.
        model: The model that makes tools where commands do not, as `provider:name`; none by default.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        api_key_env: The environment variable that holds its key; by default the provider's own.
        tokens: How many tokens it may use for one request.
        seconds: How long it may take for one request.
        answers: "tools", or "json" for models and servers that have trouble with tool calls.
    """

    library: str | None = None
    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    tokens: int = Field(default=100_000, gt=0)
    seconds: float = Field(default=300.0, gt=0)
    answers: Literal["tools", "json"] = "tools"

    def folder(self, start: Path) -> Path | None:
        """Return the folder of the library, where one is named; a relative one starts from a folder."""
        return None if self.library is None else start / Path(self.library).expanduser()


class ToolsTable(Table):
    """What the agents may call."""

    builtin: list[str] | None = None
    modules: list[str] = Field(default_factory=list)
    bash: BashTable = Field(default_factory=BashTable)
    sql: SqlTable = Field(default_factory=SqlTable)
    toolsmith: ToolsmithTable = Field(default_factory=ToolsmithTable)


def make_tools(
    table: ToolsTable, targets: Sequence[Any], live: Sequence[Target], folder: Path, place: str
) -> list[Any]:
    """Return the tools that a table names: built-in ones, by default those of the targets, and modules' own.

    Args:
        table: The table.
        targets: The tables of the targets.
        live: The targets.
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
            urls = (database_url(one, folder, place) for one in databases)
            tools.extend(found(url, **table.sql.settings) for url in urls)
        elif name == "toolsmith":
            shelf = table.toolsmith.folder(folder)
            if shelf is not None and shelf.exists() and not shelf.is_dir():
                cure = "Mend `library` in [tools.toolsmith]."
                raise ConfigurationError(f"{place}: {str(shelf)!r} is no folder", cure)
            tools.extend(found(_workspace(name, live, place), shelf, choice=_choice(table.toolsmith)))
        elif name == "bash":
            tools.extend(_bash(found, table.bash, _workspace(name, live, place), folder, place))
        else:
            tools.append(found)
    for module in table.modules:
        tools.extend(load_tools(folder / module))
    return tools


def _choice(table: ToolsmithTable) -> Any:
    if table.model is None:
        return None
    made = importlib.import_module("coagent.toolsmith.maker").ModelChoice
    limits = {"tokens": table.tokens, "seconds": table.seconds}
    return made(table.model, table.base_url, table.api_key_env, answers=table.answers, **limits)


def _bash(make: Any, table: BashTable, workspace: Workspace, folder: Path, place: str) -> Any:
    writable = [str((folder / Path(one).expanduser()).resolve()) for one in table.writable]
    missing = [one for one in writable if not Path(one).is_dir()]
    if missing:
        cure = "Mend `writable` in [tools.bash]; relative ones start from the file's folder."
        raise ConfigurationError(f"{place}: there is no folder {missing[0]!r}", cure)
    settings = table.model_dump(exclude={"writable"})
    return make(workspace, writable=writable, **settings)


def _workspace(name: str, live: Sequence[Target], place: str) -> Workspace:
    """Return that of the one target of files: it says what is left out, and is told when all is over."""
    found = [one.workspace for one in live if isinstance(one, Files)]
    if len(found) != 1:
        raise ConfigurationError(
            f'{place}: {name!r} needs one target of kind "files", and there are {len(found)}',
            f'Add a [[targets]] with kind = "files", or leave "{name}" out of `builtin`.',
        )
    return found[0]
