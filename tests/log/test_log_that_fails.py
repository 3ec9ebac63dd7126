"""A log that cannot be written any more: who opens or leaves the domain is told so, and nothing is left."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from coagent import LogError, open_domain
from coagent.errors import LogUnavailable
from coagent.log.base import Checkpoint, LogSettings
from coagent.log.sqlite import SqliteLog
from coagent.processes import this_process
from coagent.protocol.calls import Rank
from coagent.protocol.events import Committed, Event, Joined
from coagent.runtime import recorder as recording
from coagent.runtime.clock import RealClock
from coagent.runtime.protocols import PROTOCOLS
from coagent.runtime.recorder import Recorder
from coagent.runtime.tenure import Tenure
from coagent.targets.memory import Memory
from coagent_lab.sim.tools import TOOLS


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Logs in which there is room for everything but commits."""
    append = SqliteLog.append

    async def refuse(self: SqliteLog, events: Sequence[Event]) -> None:
        if any(isinstance(event, Committed) for event in events):
            raise LogError("the disk is full")
        await append(self, events)

    monkeypatch.setattr(SqliteLog, "append", refuse)
    return monkeypatch


async def finish(url: str) -> None:
    async with open_domain(url, targets=[Memory({"kv:x": 1})], tools=TOOLS) as domain:
        a = await domain.join("A")
        await a.call("put", key="kv:x", value=2)
        with pytest.raises(LogError, match="disk is full"):
            await a.finish()


async def look(url: str) -> None:
    async with open_domain(url, targets=[Memory({"kv:x": 1})], tools=TOOLS) as domain:
        assert domain.quiescent


@pytest.mark.anyio
async def test_who_opens_or_leaves_a_domain_whose_work_cannot_be_recorded_is_told_so(
    tmp_path: Path, full_disk: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:{tmp_path / 'log'}"
    with anyio.CancelScope(), pytest.raises(LogError, match="disk is full"):
        await finish(url)
    with anyio.CancelScope(), pytest.raises(LogError, match="disk is full"):
        await look(url)
    full_disk.undo()
    await look(url)


@pytest.mark.anyio
async def test_an_append_that_waits_for_another_process_holds_nothing_else_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = await SqliteLog.open(path, LogSettings("mtpo", "fixed", ()))
    await log.take_lease("one", this_process(), 600)
    waits = anyio.Event()
    connection = log._connection

    class Noticed:
        """The connection, which says when it waits."""

        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
            if "busy_timeout = 10000" in statement:
                anyio.from_thread.run_sync(waits.set)
            return connection.execute(statement, *values)

        def close(self) -> None:
            connection.close()

    log._connection = Noticed()  # type: ignore[assignment]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.append, [Joined("A", Rank(0))])
            await waits.wait()
            for _ in range(2000):
                assert [one.owner for one in await log.leases()] == ["one"]
                await anyio.lowlevel.checkpoint()
            assert log.head == 0
            other.execute("rollback")
    assert log.head == 1
    await log.close()


@pytest.mark.anyio
async def test_a_call_has_been_recorded_though_no_checkpoint_can_be_kept_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, tried, kept = SqliteLog.keep, 0, 0

    async def refuse(self: SqliteLog, checkpoint: Checkpoint) -> None:
        nonlocal tried, kept
        tried += 1
        if tried == 1:
            raise LogError("the disk is full")
        await keep(self, checkpoint)
        kept += 1

    monkeypatch.setattr(SqliteLog, "keep", refuse)
    monkeypatch.setattr(recording, "_CHECKPOINT_EVENTS_MIN", 2)
    target = Memory({"kv:x": 1})
    async with open_domain(f"sqlite:{tmp_path / 'log'}", targets=[target], tools=TOOLS) as domain:
        a = await domain.join("A")
        await a.call("put", key="kv:x", value=2)
        assert tried == 1
        for value in range(10):
            await a.call("put", key="kv:x", value=value)
        assert (await a.finish()).state == "committed"
    assert target.snapshot() == {"kv:x": 9}
    assert kept > 0, "it was tried again"


@pytest.mark.anyio
async def test_an_event_that_was_tried_twice_is_seen_to_once_where_it_is_there_though_nothing_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = LogSettings("mtpo", "fixed", ())
    log = await SqliteLog.open(tmp_path / "log", settings)
    other = await SqliteLog.open(tmp_path / "log", settings)
    recorder = Recorder(PROTOCOLS["mtpo"](), log, RealClock(), {}, Tenure(log))
    seen_to: list[Event] = []
    recorder.on_unheard = seen_to.append
    arrives = False

    async def lost(events: Sequence[Event]) -> None:
        if arrives:
            await other.append(events)
        raise LogUnavailable("nobody has heard the answer")

    monkeypatch.setattr(log, "append", lost)
    joined = Joined("A", Rank(0))
    for arrives in (False, True):  # noqa: B007 - `lost` asks
        with pytest.raises(LogUnavailable):
            await recorder.record(lambda: joined)
    await recorder.catch_up()
    assert seen_to == [joined]
    await log.close()
    await other.close()
