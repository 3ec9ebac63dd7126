"""What is in the memory of a process: one that opens a log later has all of it from the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from coagent import open_domain, targets
from coagent_lab.sim.tools import TOOLS


@pytest.mark.anyio
async def test_a_later_process_holds_in_memory_what_was_written_before_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.runtime.recorder._CHECKPOINT_AT_END_MIN", 1)
    url = f"sqlite:{tmp_path / 'log.db'}"
    begun = {"kv:x": 0, "kv:gone": "gone"}
    first, second = targets.Memory(begun), targets.Memory(begun)
    async with open_domain(url, targets=[first], tools=TOOLS) as domain:
        a = await domain.join("A")
        await a.call("put", key="kv:x", value=1)
        await a.call("put", key="kv:new", value=2)
        await a.call("remove", key="kv:gone")
        assert (await a.finish(wait=True)).state == "committed"
    async with open_domain(url, targets=[second], tools=TOOLS) as domain:
        assert domain._opened.log.since_checkpoint < domain.events
        assert second.snapshot() == first.snapshot() == {"kv:x": 1, "kv:new": 2}
        b = await domain.join("B")
        assert (await b.call("read", key="kv:x")).value == 1
