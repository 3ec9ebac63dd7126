"""Folders made with those above them, and files that may be there."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def make_folders(folder: str, made: list[str]) -> None:
    """Make a folder and those above it; `made` gets those that were made, outermost first.

    Raises:
        OSError: One cannot be made; a file is in the way, for instance.
    """
    missing = []
    while not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        os.mkdir(path)
        made.append(path)


def may_be_file(path: Path) -> bool:
    """Tell whether there is a file, or may be one in a folder that cannot be looked into just now."""
    try:
        return path.is_file()
    except PermissionError:
        return True
