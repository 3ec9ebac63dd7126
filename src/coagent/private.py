"""Files of CoAgent's own, which are nobody else's: 0600 in folders of 0700, whatever the umask.

Logs, snapshots and views hold what agents work on. Others on the machine must neither read them nor put
something of theirs in their place, for what stands in a log is applied to live systems.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from coagent.errors import NotPrivate
from coagent.partial_files import drop_left, partial_of

HOME = ".coagent"
"""The folder of CoAgent's own files in a workspace; whoever opens something in it closes it to others."""
FILE_MODE, FOLDER_MODE = 0o600, 0o700
_OTHERS = 0o077
_NEW_FILE = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def private_folder(path: Path) -> Path:
    """Return a folder that only its owner can look into: it is made, or tightened where it is there.

    Args:
        path: The folder. Those above it that are not there yet are made in the same way.

    Raises:
        NotPrivate: It belongs to somebody else.
        OSError: It cannot be made.
    """
    if path.parent.name == HOME or not path.parent.exists():
        private_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=FOLDER_MODE)
    status = path.stat()
    _require_own(path, status)
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        _tighten(path, FOLDER_MODE)
    return path


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """Return a descriptor of a file that only its owner can open; it is made where it is not there.

    Args:
        path: The file; it is never reached through a link of that name.
        flags: How it is opened.

    Raises:
        NotPrivate: It belongs to somebody else.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, flags | _NEW_FILE, FILE_MODE)
    try:
        status = os.fstat(descriptor)
        _require_own(path, status)
        if stat.S_IMODE(status.st_mode) & _OTHERS:
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_private(path: Path, text: str | bytes, mode: int = FILE_MODE) -> None:
    """Put a file that only its owner can read in the place of what is there; all of it, or nothing.

    Args:
        path: The file.
        text: What it is to hold.
        mode: Its rights, where a person has opened its folder to others.

    Raises:
        OSError: It cannot be written.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    partial = partial_of(path)
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    try:
        with os.fdopen(open_private(partial, os.O_WRONLY | os.O_EXCL), "wb") as file:
            file.write(data)
            if mode != FILE_MODE:
                os.fchmod(file.fileno(), mode)
        os.replace(partial, path)
        drop_left(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def check_private(path: Path) -> None:
    """Refuse a file that others may have made, or may put another one in the place of.

    Raises:
        NotPrivate: It belongs to somebody else, is a link out of its folder, or lies in a folder in which
            anybody may remove it.
        OSError: It cannot be looked at.
    """
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        raise NotPrivate(
            f"{str(path)!r} lies in a folder in which anybody may put another file in its place",
            f"Use a folder of your own, or take the right away: chmod o-w {str(path.parent)!r}",
        )
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        target = path.resolve()
        if target.parent != path.parent.resolve():
            raise NotPrivate(
                f"{str(path)!r} is a link to {str(target)!r}, out of its folder",
                "Name that file itself, if it is the one that you mean.",
            )
        try:
            status = path.stat()
        except FileNotFoundError:
            return
    _require_own(path, status)


def private_beside(path: Path, *suffixes: str) -> None:
    """Make a file private with those that a database keeps beside it.

    Args:
        path: The file; an empty one is made where there is none.
        *suffixes: What the others have behind its name.

    Raises:
        NotPrivate: See `check_private`.
        OSError: It cannot be made.
    """
    if path.parent.name == HOME:
        private_folder(path.parent)
    check_private(path)
    if not os.path.lexists(path):
        os.close(open_private(path))
    for place in {path, path.resolve()}:
        for suffix in ("", *suffixes):
            beside = place.with_name(place.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                status = beside.stat()
                _require_own(beside, status)
                if stat.S_IMODE(status.st_mode) & _OTHERS:
                    _tighten(beside, FILE_MODE)


def _tighten(path: Path, mode: int) -> None:
    with contextlib.suppress(PermissionError):  # a file system without rights has nothing to take away
        path.chmod(mode)


def _require_own(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise NotPrivate(
            f"{str(path)!r} belongs to user {status.st_uid}, and this process runs as user {os.geteuid()}",
            "Run it as its owner, or use a place of your own.",
        )
