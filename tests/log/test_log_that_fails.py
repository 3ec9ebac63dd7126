"""A log that cannot be written any more: who opens or leaves the domain is told so, and nothing is left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from coagent import LogError, open_domain
from coagent.log.sqlite import SqliteLog
from coagent.protocol.events import Committed, Event
from coagent.sim.tools import TOOLS
from coagent.targets.memory import Memory


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
