"""The bytes of files and the values that they are: read whole, compared, written under a new name."""

from __future__ import annotations

import contextlib
import os
import stat

from coagent.protocol.values import Value, same
from coagent.systems.files.swap import write_out


def read_content(path: str, size: int) -> tuple[bytes, os.stat_result, os.stat_result]:
    """Return a file's bytes, and what the system said of it before and after they were read.

    Args:
        path: The file; a link is not followed.
        size: How many bytes are expected.

    Raises:
        OSError: It cannot be read.
    """
    # Without O_NONBLOCK, opening what has meanwhile become a pipe would wait for its writer. This takes half
    # the time of `open`.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        content = os.read(descriptor, size + 1)
        while more := os.read(descriptor, 65536):
            content += more
        return content, before, os.fstat(descriptor)
    finally:
        os.close(descriptor)


def decode(content: bytes) -> Value:
    """Return the content of a file as text where it is valid UTF-8, else as it is."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content


def encode(value: Value) -> bytes:
    """Return the bytes of a file's content."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8")


def alike(left: Value, right: Value) -> bool:
    """Tell whether two contents are the same on disk: bytes may come back as the text that they are."""
    if left is right:
        return True
    if type(left) is bytes or type(right) is bytes:
        return same(*(side.encode("utf-8") if type(side) is str else side for side in (left, right)))
    return same(left, right)


def create_file(path: str, content: bytes, former: os.stat_result | None) -> None:
    """Make a file with the permissions and the owner of the one that it will replace.

    Raises:
        OSError: It cannot be made.
    """
    mode = 0o666 if former is None else stat.S_IMODE(former.st_mode) & 0o700
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        if former is None:
            return
        file.flush()
        write_out(descriptor)
        if (former.st_uid, former.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, former.st_uid, former.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(former.st_mode))
