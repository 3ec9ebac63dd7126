"""The judgement on a run shares no code with the kernel; it has to find what is wrong by itself."""

from __future__ import annotations

from typing import Any

import pytest

import coagent
from coagent import State, targets, tool
from coagent.runs.history import History
from coagent.runs.verdict import Verdict, judge

pytestmark = pytest.mark.anyio


@tool
async def get(state: State, key: str) -> Any:
    """Read."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: Any) -> None:
    """Write."""
    await state.put(key, value)


@tool
async def add(state: State, key: str, by: int) -> int:
    """Read, modify, write."""
    value = (await state.get(key) or 0) + by
    await state.put(key, value)
    return value


@tool
async def keys(state: State) -> list[str]:
    """List."""
    return await state.list("kv:")


@tool
async def move(state: State, source: str, to: str) -> str:
    """Move what is there."""
    value = await state.get(source)
    if value is None:
        raise ValueError(f"{source} is not there")
    await state.delete(source)
    await state.put(to, value)
    return "ok"


@tool(effect="irreversible")
async def mail(state: State, key: str) -> str:
    """Send what is there."""
    text = f"{await state.get(key)}"
    await state.put("kv:sent", text)
    return text


TOOLS = [get, put, add, keys, move, mail]


class World:
    """A domain with agents A, B, C, whose history is kept."""

    def __init__(self, protocol: str = "mtpo", **initial: Any) -> None:
        self.memory = targets.Memory({f"kv:{name}": value for name, value in initial.items()}, schemes=["kv"])
        self.domain = coagent.open_domain(targets=[self.memory], tools=TOOLS, protocol=protocol)

    async def __aenter__(self) -> World:
        await self.domain.__aenter__()
        self.history = History(self.domain)
        self.domain.observe(self.history)
        self.a, self.b, self.c = [await self.domain.join(name) for name in "ABC"]
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.domain.__aexit__(*error)

    async def verdict(self) -> Verdict:
        for agent in (self.a, self.b, self.c):
            while agent.state not in ("committed", "aborted"):
                await agent.finish()
        return await judge(self.domain, self.history)


async def test_late_writes_re_executions_scans_and_withdrawals_are_serial() -> None:
    async with World(x=1) as world:
        await world.c.call("keys")
        await world.c.call("add", key="kv:x", by=100)
        await world.b.call("move", source="kv:x", to="kv:y")
        await world.a.call("add", key="kv:x", by=10)
        call = await world.b.call("put", key="kv:z", value=1)
        await world.b.amend(call.call_id, value=2)
        await world.b.undo((await world.b.call("add", key="kv:z", by=1)).call_id)
        verdict = await world.verdict()
    assert world.memory.snapshot() == {"kv:x": 100, "kv:y": 11, "kv:z": 2}
    assert verdict == Verdict("serial", calls=5, order=("A", "B", "C"))


async def test_a_call_that_fails_and_one_that_would_succeed_now_are_serial() -> None:
    async with World(x=1) as world:
        for source in ("kv:no", "kv:p"):
            with pytest.raises(coagent.ToolFailed):
                await world.b.call("move", source=source, to="kv:y")
        await world.a.call("put", key="kv:p", value=1)
        verdict = await world.verdict()
    assert world.memory.snapshot() == {"kv:p": 1, "kv:x": 1}
    assert (verdict.kind, verdict.calls) == ("serial", 3)


async def test_an_aborted_agent_counts_as_absent() -> None:
    async with World(x=1) as world:
        await world.a.call("add", key="kv:x", by=10)
        await world.b.call("add", key="kv:x", by=100)
        await world.a.abort("enough")
        verdict = await world.verdict()
    assert world.memory.snapshot() == {"kv:x": 101}
    assert (verdict.kind, verdict.calls, verdict.order) == ("serial", 1, ("B", "C"))


async def test_an_irreversible_call_is_judged_by_what_it_saw() -> None:
    async with World(x=1) as world:
        await world.b.call("mail", key="kv:x")
        await world.a.call("put", key="kv:x", value=2)
        verdict = await world.verdict()
    assert world.memory.snapshot() == {"kv:x": 2, "kv:sent": "2"}
    assert (verdict.kind, verdict.calls) == ("serial", 2)


async def test_a_write_from_outside_counts_right_above_what_the_outsider_saw() -> None:
    async with World(x=1) as world:
        await world.a.call("add", key="kv:x", by=10)
        await world.a.finish()
        await world.b.call("add", key="kv:x", by=100)
        await world.memory.put("kv:x", 1000, expected=[111])
        await world.c.call("add", key="kv:x", by=10_000)
        verdict = await world.verdict()
    assert world.memory.snapshot() == {"kv:x": 11_000}
    assert verdict.kind == "serial", verdict


async def test_write_skew_under_naive_is_not_serial() -> None:
    async with World("naive", x=1, y=1) as world:
        await world.a.call("get", key="kv:y")
        await world.b.call("get", key="kv:x")
        await world.a.call("put", key="kv:x", value=2)
        await world.b.call("put", key="kv:y", value=2)
        verdict = await world.verdict()
    assert verdict.kind == "not serial"
    assert "in none of 6 orders" in verdict.reason


async def test_naive_may_be_serial_in_another_order_than_that_of_the_ranks() -> None:
    async with World("naive", x=1) as world:
        await world.b.call("add", key="kv:x", by=1)
        await world.a.call("add", key="kv:x", by=1)
        verdict = await world.verdict()
    assert verdict.kind == "serial"
    assert verdict.order.index("B") < verdict.order.index("A")


@pytest.mark.parametrize("protocol", ["2pl", "occ"])
async def test_calls_that_a_baseline_withdrew_do_not_count(protocol: str) -> None:
    async with World(protocol, x=1) as world:
        await world.a.call("get", key="kv:x")
        await world.a.finish()
        await world.b.call("add", key="kv:x", by=1)
        verdict = await world.verdict()
    assert verdict.kind == "serial"


async def test_a_live_value_that_nobody_wrote_is_found() -> None:
    async with World(x=1) as world:
        await world.a.call("put", key="kv:x", value=2)
        for agent in (world.a, world.b, world.c):
            await agent.finish()
        await world.memory.put("kv:x", 3, expected=[2])
        verdict = await world.verdict()
    assert verdict.kind == "not serial"
    assert verdict.reason == "kv:x is 3, and one after another it would be 2"


async def test_a_tool_that_is_no_longer_here_leaves_it_unknown() -> None:
    async with World(x=1) as world:
        await world.a.call("put", key="kv:x", value=2)
        del world.domain.tools["put"]
        verdict = await world.verdict()
    assert verdict.kind == "unknown"
    assert "'put', which is not here" in verdict.reason
