"""A lock for all processes of a host that write into a folder: on the folder itself, so no file is made.

Source: flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from coagent.errors import TargetUnavailable
from coagent.targets.os_failures import os_failure

_POLL_S = 0.001


class FolderLocked(TargetUnavailable):
    """Another process is writing, or holds the lock for whatever reason."""


@contextlib.contextmanager
def folder_lock(folder: str, wait_s_max: float) -> Iterator[None]:
    """Keep other processes that write into a folder waiting.

    Args:
        folder: The folder.
        wait_s_max: How long to wait for them, in seconds; with 0 this never blocks.

    Raises:
        FolderLocked: It was locked all the time.
        TargetUnavailable: The folder is gone.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise os_failure(f"folder {folder!r} cannot be locked", error) from error
    try:
        deadline = time.monotonic() + wait_s_max
        while not _try_lock(descriptor, folder):
            if time.monotonic() >= deadline:
                raise FolderLocked(
                    f"workspace {folder!r} was locked for {wait_s_max:g} s",
                    "Look for a program that has stopped while it holds a lock on it (lsof, fuser).",
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, folder: str) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise os_failure(f"folder {folder!r} cannot be locked", error) from error
    return True
