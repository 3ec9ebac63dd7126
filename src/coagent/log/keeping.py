"""Keeping in a file what has happened in a domain whose log was in memory, with the times of its clock."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from coagent.log.base import LogSettings
from coagent.log.codec import Recorded
from coagent.log.sqlite import SqliteLog


async def keep(path: Path, settings: LogSettings, records: Iterable[Recorded]) -> None:
    """Write events into a new log.

    Args:
        path: The file.
        settings: What the domain was opened with.
        records: What its observers were told, and when.

    Raises:
        LogError: It cannot be written.
    """
    log = await SqliteLog.open(path, settings)
    now_ms = 0
    log.unix_ms = lambda: now_ms
    try:
        for event, at_ms in records:
            now_ms = at_ms or 0
            await log.append([event])
    finally:
        await log.close()
