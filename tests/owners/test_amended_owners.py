"""Amendments of processes that were stopped while others aborted the agent."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from test_declared_owners import Shop, process, recover, stop_for_long

from coagent import AgentNotActive


@pytest.mark.anyio
async def test_what_an_amendment_has_done_of_an_agent_aborted_meanwhile_is_taken_back(tmp_path: Path) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop, on_death="abort") as one, process(log, shop, on_death="abort") as two:
        a = await one.join("A")
        booked = await a.call("book", who="A", item="tea")
        told: list[Exception] = []

        async def amend() -> None:
            try:
                await a.amend(booked.call_id, item="milk")
            except Exception as failure:
                told.append(failure)

        async with anyio.create_task_group() as tasks:
            go_on = shop.held = anyio.Event()
            tasks.start_soon(amend)
            await shop.acted.wait()
            await stop_for_long(one, log, two)
            with anyio.fail_after(10):
                while [agent.phase.value for agent in two.agents] != ["aborted"]:
                    await recover(two)
                    await two.settle()
                    await anyio.sleep(0.001)
            go_on.set()
        with anyio.fail_after(10):
            while shop.who("milk") or two.kernel.unknown:
                await recover(two)
                await two.settle()
                await anyio.sleep(0.001)
    assert [type(failure) for failure in told] == [AgentNotActive]
    assert (shop.who("tea"), shop.who("milk")) == ([], [])
