"""Somebody takes back a call of an agent that has finished, and waits to commit: it commits all the same."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from shared_system import Shared, domain_of

from coagent.protocol.phases import AgentPhase
from coagent.protocol.values import Value


@pytest.mark.anyio
async def test_who_waits_to_commit_does_so_though_a_call_is_taken_back_meanwhile(tmp_path: Path) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    log = tmp_path / "log"
    async with domain_of(log, Shared(objects)) as one, domain_of(log, Shared(objects)) as two:
        lower = await two.join("L")
        a = await one.join("A")
        await a.call("put", key="kv:x", value=1)
        states: list[str] = []

        async def finish() -> None:
            states.append((await a.finish(wait=True)).state)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(finish)
            participant = one.kernel.agents[a.rank]
            with anyio.fail_after(10):
                while participant.phase is not AgentPhase.FINISHED:
                    await anyio.sleep(0.001)
                await two.catch_up()
                await (await two.oversee("A")).undo("A.1")
                await lower.finish(wait=True)
                while not states:
                    await anyio.sleep(0.001)
        assert states == ["committed"]
        assert objects == {"kv:x": 0}
