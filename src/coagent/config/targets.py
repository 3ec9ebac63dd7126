"""Tables that describe live systems, and the targets that they stand for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from coagent.config.explain import Table
from coagent.errors import ConfigurationError
from coagent.targets.base import Target
from coagent.targets.files import EXCLUDED, MIB_MAX_DEFAULT
from coagent.targets.memory import Memory


class FilesTarget(Table):
    """A folder, for instance a git working tree.

    Args:
        exclude: Globs of relative paths that are no part of it, beside those that never are.
        max_mib: How large a file may be, in MiB.
        replicated: Whether this is one of several checkouts, each on a host of its own, of one tree.
    """

    kind: Literal["files"]
    root: str = "."
    exclude: list[str] = Field(default_factory=list)
    max_mib: int = Field(default=MIB_MAX_DEFAULT, ge=1, le=1024)
    replicated: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What `Files` is made with, beside its root."""
        return {
            "exclude": (*EXCLUDED, *self.exclude),
            "max_bytes": self.max_mib * 1024**2,
            "replicated": self.replicated,
        }


class KubernetesTarget(Table):
    """A cluster, as a kubeconfig names it."""

    kind: Literal["kubernetes"]
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


class SqlTarget(Table):
    """A database; a SQLite path is relative to the file."""

    kind: Literal["sql"]
    url: str


class DocumentsTarget(Table):
    """A folder of Markdown files, by their sections."""

    kind: Literal["documents"]
    root: str = "."


class MemoryTarget(Table):
    """Objects that live as long as the run."""

    kind: Literal["memory"]
    initial: dict[str, Any] = Field(default_factory=dict)


TargetTable = Annotated[
    FilesTarget | KubernetesTarget | SqlTarget | DocumentsTarget | MemoryTarget, Field(discriminator="kind")
]


def make_target(table: Any, folder: Path, place: str) -> Target:
    """Return the target that a table describes.

    Args:
        table: One of the tables above.
        folder: Where its relative paths start.
        place: `file:line`, for messages.

    Raises:
        ConfigurationError: It cannot be used.
    """
    if isinstance(table, FilesTarget | DocumentsTarget):
        root = folder / Path(table.root).expanduser()
        if not root.is_dir():
            raise ConfigurationError(
                f"{place}: there is no folder {str(root)!r}", "`root` is relative to the file."
            )
        if isinstance(table, DocumentsTarget):
            return _made("coagent.targets.documents", "Documents", place, root)
        return _made("coagent.targets.files", "Files", place, root, **table.options)
    if isinstance(table, SqlTarget):
        return _made("coagent.targets.sql", "Sql", place, database_url(table, folder, place))
    if isinstance(table, KubernetesTarget):
        options = {
            name: value for name, value in table.model_dump().items() if name != "kind" and value is not None
        }
        if "kubeconfig" in options:
            config = folder / Path(options["kubeconfig"]).expanduser()
            if not _may_be_file(config):
                raise ConfigurationError(
                    f"{place}: there is no kubeconfig {str(config)!r}", "Mend `kubeconfig`."
                )
            options["kubeconfig"] = str(config)
        return _made("coagent.targets.kubernetes", "Kubernetes", place, **options)
    try:
        return Memory(table.initial)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{place}: {error}", 'Keys of `initial` look like "kv:x".') from error


def database_url(table: SqlTarget, folder: Path, place: str) -> str:
    """Return the URL of a database, with the path of a SQLite file made absolute."""
    path = table.url.removeprefix("sqlite:///")
    if path == table.url:
        return table.url
    file = folder / Path(path).expanduser()
    if not _may_be_file(file):
        raise ConfigurationError(f"{place}: there is no database {str(file)!r}", "Mend `url`.")
    return f"sqlite:///{file.resolve()}"


def _may_be_file(path: Path) -> bool:
    """Tell whether there is a file, or may be one in a folder that cannot be looked into just now."""
    try:
        return path.is_file()
    except PermissionError:
        return True


def _made(module: str, name: str, place: str, *args: Any, **options: Any) -> Target:
    try:
        made: Target = getattr(importlib.import_module(module), name)(*args, **options)
    except ImportError as error:
        raise ConfigurationError(
            f"{place}: {name} needs what is not installed: {error}", "Install it."
        ) from error
    return made
