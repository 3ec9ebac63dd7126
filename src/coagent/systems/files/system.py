"""How a folder of files is configured; and changes that clients have made by themselves, as tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from coagent.systems.base import Given, Place, System, Table, TargetKind, Tools
from coagent.systems.files.target import EXCLUDED, MIB_MAX_DEFAULT, Files
from coagent.systems.files.workspace import Workspace


class FilesTarget(Table):
    """A folder, for instance a git working tree.

    Args:
        exclude: Globs of relative paths that are no part of it, beside those that never are.
        max_mib: How large a file may be, in MiB, to be read; larger ones are kept by reference.
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


def folder_of(root: str, place: Place) -> Path:
    """Return the folder that a table names.

    Args:
        root: What it says.
        place: Where it stands.

    Raises:
        ConfigurationError: There is none.
    """
    folder = place.folder / Path(root).expanduser()
    if not folder.is_dir():
        raise place.fault(f"there is no folder {str(folder)!r}", "`root` is relative to the file.")
    return folder


def workspace_of(name: str, given: Given) -> Workspace:
    """Return that of the one target of files: it says what is left out, and is told when all is over.

    Args:
        name: The tools that need it.
        given: What they are made with.

    Raises:
        ConfigurationError: There is none, or there are several.
    """
    found: Sequence[Workspace] = [target.workspace for target in given.targets if isinstance(target, Files)]
    if len(found) != 1:
        raise given.place.fault(
            f'{name!r} needs one target of kind "files", and there are {len(found)}',
            f'Add a [[targets]] with kind = "files", or leave "{name}" out of `builtin`.',
        )
    return found[0]


def _target(table: FilesTarget, place: Place) -> Files:
    return Files(folder_of(table.root, place), **table.options)


def _tools(_given: Given) -> list[Any]:
    from coagent.systems.files.tools import FILE_TOOLS

    return [FILE_TOOLS]


def _change_tools(_given: Given) -> list[Any]:
    from coagent.systems.files.changes import CHANGE_TOOLS

    return [CHANGE_TOOLS]


FILES = System("files", TargetKind(FilesTarget, _target), Tools(_tools))
CHANGES = System("changes", tools=Tools(_change_tools))
