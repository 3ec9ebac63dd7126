"""Archives logs, each in a process of its own that kills itself at a step of it.

It reads lines: a step, a space and the path of a log. It answers each with the exit code of the process,
which is 0 where there are fewer steps. They fork from this one: to import what they need takes longer than to
archive.
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
_left = [iter(range(0))]


def step() -> None:
    if next(_left[0], None) is None:
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


def killed(path: Path, step: int) -> None:
    """Archive a log up to a step."""
    _left[0] = iter(range(1, step))
    archive.connected = connected_stepping  # type: ignore[assignment]
    for name in ("fsync", "replace"):
        setattr(archive.os, name, stepped(getattr(os, name)))
    filled = archive.Archive(path, segment_records=SEGMENT_RECORDS, kept_records=KEPT_RECORDS)
    while filled.fill():
        pass


if __name__ == "__main__":
    for line in sys.stdin:
        asked_step, asked_path = line.rstrip("\n").split(" ", 1)
        if not (pid := os.fork()):
            killed(Path(asked_path), int(asked_step))
            sys.exit()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
