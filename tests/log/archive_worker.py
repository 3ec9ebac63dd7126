"""Archives a log, and kills itself at a step of it.

Usage: archive_worker.py LOG STEP ; exits with 0 where there are fewer steps.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from coagent.log import archive
from coagent.log.sqlite_schema import connected

SEGMENT_RECORDS, KEPT_RECORDS = 4, 6
_steps = iter(range(1, int(sys.argv[2])))


def step() -> None:
    if next(_steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)


def stepped(act: Any) -> Any:
    """Return a function that counts as two steps: what comes before it, and what comes after it."""

    def around(*arguments: Any, **more: Any) -> Any:
        step()
        result = act(*arguments, **more)
        step()
        return result

    return around


class Stepping(sqlite3.Connection):
    """A connection of which the statements that write are steps."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        run: Any = super().execute
        if sql.split(maxsplit=1)[0] in ("begin", "delete", "commit"):
            run = stepped(run)
        return run(sql, *parameters)


def connected_stepping(path: Path) -> sqlite3.Connection:
    connected(path).close()
    return sqlite3.connect(path, isolation_level=None, factory=Stepping)


if __name__ == "__main__":
    archive.connected = connected_stepping  # type: ignore[assignment]
    for name in ("fsync", "replace"):
        setattr(archive.os, name, stepped(getattr(os, name)))
    filled = archive.Archive(Path(sys.argv[1]), segment_records=SEGMENT_RECORDS, kept_records=KEPT_RECORDS)
    while filled.fill():
        pass
