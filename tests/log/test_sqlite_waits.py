"""A process that waits to append to a SQLite log goes on with all else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import anyio.to_thread

from coagent.log.base import LogSettings
from coagent.log.sqlite import SqliteLog
from coagent.protocol.calls import Rank
from coagent.protocol.events import Joined


def test_looking_for_news_neither_waits_with_an_append_nor_has_it_refused(tmp_path: Path) -> None:
    async def main() -> None:
        log = await SqliteLog.open(tmp_path / "log", LogSettings("mtpo", "fixed", ()))
        other = sqlite3.connect(tmp_path / "log", isolation_level=None, check_same_thread=False)
        other.execute("begin immediate")
        assert list(await log.read()) == []
        looks = 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.append, [Joined("A", Rank(0))])
            with anyio.fail_after(5):  # an append is refused after 10 s
                while looks < 200:
                    await anyio.sleep(0.002)
                    log.stale()
                    looks += 1
            assert log.head == 0
            other.execute("rollback")
        assert log.head == 1
        assert not log.stale()
        other.execute("create table beside (something)")
        await anyio.sleep(0.002)
        assert log.stale()
        other.close()
        await log.close()

    anyio.run(main)
