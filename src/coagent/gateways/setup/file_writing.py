"""A file of somebody else's, given other content: its rights, its owner and a link to it stay."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from coagent.errors import ConfigurationError
from coagent.partial_files import drop_left, partial_of


def require_writable(path: Path) -> None:
    """Check that a file can be written, or made where there is none.

    Raises:
        ConfigurationError: It cannot.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise ConfigurationError(
            f"{path} cannot be made: {str(folder)!r} is no folder", "Move it away first."
        )
    if target.exists() and not target.is_file():
        raise ConfigurationError(f"{path} is no file", "Move it away first; nothing has been changed.")
    if not os.access(folder, os.W_OK | os.X_OK) and not os.access(target, os.W_OK):
        raise ConfigurationError(
            f"{path} cannot be written: you have no right to change {str(target)!r}",
            "Give yourself that right, or run this as its owner; nothing has been changed.",
        )


def write_in_place_of(path: Path, data: bytes) -> None:
    """Give a file other content: all of it or nothing, where its folder can be written.

    Args:
        path: The file, or a link to it; it is made, with folders, where there is none.
        data: The content.

    Raises:
        ConfigurationError: It cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _replace(target, data)
        except OSError:
            if not target.exists():
                raise
            target.write_bytes(data)  # its folder is closed to us, or it is mounted by itself
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _replace(target: Path, data: bytes) -> None:
    partial = partial_of(target)
    status = target.stat() if target.exists() else None
    mode = 0o666 if status is None else 0o600
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if status is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fchmod(file.fileno(), status.st_mode & 0o7777)
        partial.replace(target)
        drop_left(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
