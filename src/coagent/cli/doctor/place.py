"""Where to look: the workspace that is meant, and the folders and variables of whoever asks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from coagent.errors import CoAgentError, ConfigurationError

if TYPE_CHECKING:
    from coagent.config.domain_file import DomainFile


@dataclass(frozen=True)
class Place:
    """What all checks are given.

    Args:
        folder: The folder that was named.
        file: The domain file; None where there is none.
        home: The user's own folder.
        environment: The variables of this process.
    """

    folder: Path
    file: Path | None
    home: Path = field(default_factory=Path.home)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def root(self) -> Path:
        """The workspace: the folder above `.coagent`, or the one that was named."""
        from coagent.config.domain_file import FOLDER

        if self.file is None:
            return self.folder
        folder = self.file.parent
        return folder.parent if folder.name == FOLDER else folder

    @property
    def is_workspace(self) -> bool:
        """Whether the domain file is that of a workspace, as `coagent init` makes it."""
        from coagent.config.domain_file import FOLDER

        return self.file is not None and self.file.parent.name == FOLDER

    @cached_property
    def read(self) -> DomainFile | CoAgentError | None:
        """The domain file as it was read, or why it cannot be; None where there is none."""
        from coagent.config.domain_file import read_domain_file

        if self.file is None:
            return None
        try:
            return read_domain_file(self.file)
        except CoAgentError as error:
            return error

    @property
    def domain(self) -> DomainFile | None:
        """The domain file; None where there is none that can be used."""
        read = self.read
        return None if isinstance(read, CoAgentError) else read

    @property
    def log(self) -> str:
        """The URL of the log; empty where no domain file can be used."""
        from coagent.config.domain_file import log_url

        if self.file is None or self.domain is None:
            return ""
        return log_url(self.domain.log, self.file.parent)


def find_place(given: Path) -> Place:
    """Return where to look.

    Args:
        given: A folder in or below a workspace, or a domain file.

    Raises:
        ConfigurationError: There is no such folder or file.
    """
    from coagent.config.domain_file import FOLDER, NAME

    path = given.expanduser().resolve()
    if path.is_file():
        return Place(path.parent, path)
    if not path.is_dir():
        raise ConfigurationError(f"there is no folder {str(given)!r}", "Name a workspace, or a domain file.")
    files = (folder / FOLDER / NAME for folder in (path, *path.parents))
    return Place(path, next((file for file in files if os.path.isfile(file)), None))
