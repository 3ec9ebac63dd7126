"""A lock between processes of one host that ends with the process that holds it (flock(2))."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from coagent.private import open_private


class ProcessLock:
    """A lock on a file beside the log; one process may take it several times over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._depth = 0

    def try_acquire(self) -> bool:
        """Take the lock unless another process holds it."""
        if self._depth == 0:
            descriptor = open_private(self.path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it back, once for each time it was taken."""
        self._depth -= 1
        if self._depth == 0 and self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
