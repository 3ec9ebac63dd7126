"""Ends the daemon of a workspace, if one runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

from coagent.config.domain_file import FOLDER
from coagent.errors import CoAgentError

_END_S_MAX = 30.0  # it takes the snapshot of the tree away before
_POLL_S = 0.02


def stop_daemon(root: Path) -> None:
    """Tell the daemon of a workspace to end, and wait until it has.

    Raises:
        CoAgentError: It does not end.
    """
    path = root / FOLDER / "daemon.lock"
    if not path.exists():
        return
    with open(path, "r+b") as lock:
        deadline = time.monotonic() + _END_S_MAX
        told = b""
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            lock.seek(0)
            pid = lock.read().strip()
            if pid.isdigit() and pid != told:  # told twice, it would end before it has cleared up
                told = pid
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)
            if time.monotonic() > deadline:
                raise CoAgentError(
                    f"the daemon of {str(root)!r} (process {pid.decode() or 'unknown'}) does not end",
                    "End it by hand, and try again.",
                )
            time.sleep(_POLL_S)
