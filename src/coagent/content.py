"""What a tree of files holds at one path: a regular file, a symbolic link, or an empty folder.

Folders with something in them are not among it: they are there because of what is in them. So a tree is the
same as another where all that it holds is. Access rights count as far as they are not the usual ones.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

EXECUTABLE: Final = "executable"
"""The mode of a file that all who may read it may run; one without a mode is read and written as usual."""
FOLDER: Final = "folder"
"""The value of an empty folder."""
_BITS: Final = 0o777


class Content(NamedTuple):
    """What is at one path.

    Args:
        data: The bytes of a file, where a link leads, nothing for a folder.
        executable: Whether its owner may run it.
        kind: What it is.
        rights: The access rights of a file as four octal digits, where they are not the usual ones.
        large: The name of a file's content, where that is kept by reference; it has no data then.
    """

    data: bytes
    executable: bool = False
    kind: Literal["file", "link", "folder"] = "file"
    rights: str = ""
    large: str = ""

    @property
    def mode(self) -> str | None:
        """The rights as the value of a `mode:` object."""
        return self.rights or (EXECUTABLE if self.executable else None)

    @property
    def version(self) -> bytes:
        """What tells the contents of files apart: its bytes, or the name of what is kept by reference."""
        return self.data or self.large.encode()

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == "file"


EMPTY_FOLDER: Final = Content(b"", kind="folder")


def file_content(data: bytes, mode: str | None, large: str = "") -> Content:
    """Return a regular file with the value of its `mode:` object."""
    if mode is None or mode == EXECUTABLE:
        return Content(data, mode is not None, large=large)
    return Content(data, bool(int(mode, 8) & 0o100), rights=mode, large=large)


def content_at(
    place: str | Path, bytes_max: int = sys.maxsize, name: Callable[[str | Path], str] | None = None
) -> Content | None:
    """Return the regular file or the link at a path; None for anything else, or nothing.

    Args:
        place: The path.
        bytes_max: How large a file may be that is read.
        name: Names the content of a larger one.

    Raises:
        OSError: It cannot be read, or is larger than that (EFBIG).
    """
    try:
        status = os.lstat(place)
        if stat.S_ISLNK(status.st_mode):
            return Content(os.fsencode(os.readlink(place)), kind="link")
        if stat.S_ISREG(status.st_mode):
            if status.st_size > bytes_max and name is not None:
                return file_content(b"", mode_value(status.st_mode), name(place))
            if status.st_size > bytes_max:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(place))
            return file_content(Path(place).read_bytes(), mode_value(status.st_mode))
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None


def put_content(place: Path, content: Content, put_large: Callable[[str, Path], None] | None = None) -> None:
    """Make a path hold something, where there is nothing or a file.

    Args:
        place: The path.
        content: What it is to hold.
        put_large: Makes a file with a content that is kept by reference.

    Raises:
        OSError: It cannot be written.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if content.kind == "folder":
        place.mkdir(exist_ok=True)
    elif content.kind == "link":
        place.unlink(missing_ok=True)
        os.symlink(os.fsdecode(content.data), place)
    else:
        if content.large and put_large is not None:
            place.unlink(missing_ok=True)
            put_large(content.large, place)
        else:
            place.write_bytes(content.data)
        place.chmod(rights(content.mode, _new()))


def mode_value(mode: int) -> str | None:
    """Return the value of the `mode:` object of a file, from what the file system says of it.

    Returns:
        None where it has the rights of a new file, `EXECUTABLE` where whoever may read it may run it, too;
        otherwise the rights, as four octal digits.
    """
    bits = mode & _BITS
    runs, reads = bits & 0o111, bits & 0o444
    if bits & 0o666 in (0o644, 0o664, 0o666, _new()):
        if not runs:
            return None
        if runs == reads >> 2:
            return EXECUTABLE
    return f"{bits:04o}"


def is_mode(value: object) -> bool:
    """Tell whether something can be the value of a `mode:` object."""
    if value is None or value == EXECUTABLE:
        return True
    return isinstance(value, str) and len(value) == 4 and value[0] == "0" and not set(value) - set("01234567")


def rights(value: str | None, now: int) -> int:
    """Return the access rights that a `mode:` object stands for.

    Args:
        value: Its value.
        now: The rights that the file has; they stay as far as they agree.
    """
    if value is not None and value != EXECUTABLE:
        return int(value, 8)
    plain = now & _BITS & ~0o111
    if mode_value(plain) is not None:
        plain = _new()
    return plain if value is None else plain | (plain & 0o444) >> 2


@cache
def _new() -> int:
    """Return the rights of a new file of this process (asking umask(2) would set it)."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            umask = next((int(line.split()[1], 8) for line in file if line.startswith("Umask:")), 0o022)
    except OSError:
        umask = 0o022
    return 0o666 & ~umask


def above(path: str) -> list[str]:
    """Return the folders that a path lies in."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]
