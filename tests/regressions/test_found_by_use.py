"""Faults that runs have found, each as the smallest case that shows it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import pytest

import coagent
from coagent import State, TargetError, TargetUnavailable, tool
from coagent.protocol.values import Value
from coagent.runtime.clock import VirtualClock
from coagent.tools.off_loop import off_loop_to_its_end


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@tool
async def read(state: State, key: str) -> Value:
    """Read an object."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: int) -> str:
    """Write an object."""
    await state.put(key, value)
    return "ok"


@tool
async def append(state: State) -> str:
    """Insert under the next number, as a table does."""
    numbers = [int(key.removeprefix("kv:")) for key in await state.list("kv:")]
    for number in numbers:
        await state.get(f"kv:{number}")
    key = f"kv:{max(numbers, default=-1) + 1}"
    await state.put(key, 0)
    return key


@tool
async def delete(state: State, key: str) -> str:
    """Delete an object that exists."""
    if await state.get(key) is None:
        raise coagent.ToolFailed(f"there is no {key}")
    await state.delete(key)
    return "deleted"


TOOLS = [read, put, append, delete]


@pytest.mark.anyio
async def test_a_reexecuted_call_may_write_what_it_had_only_read() -> None:
    """B appended number 2; A, before it, deletes number 1, so that B's row becomes number 1."""
    target = coagent.targets.Memory({"kv:0": 7, "kv:1": 8})
    async with coagent.open_domain("memory:", targets=[target], tools=TOOLS) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        assert (await b.call("append")).value == "kv:2"
        await a.call("delete", key="kv:1")
        assert target.snapshot() == {"kv:0": 7, "kv:1": 0}
        await a.abort()
        assert target.snapshot() == {"kv:0": 7, "kv:1": 8, "kv:2": 0}


@pytest.mark.anyio
async def test_result_says_what_the_agent_was_told() -> None:
    """Reasoning from a value that nobody told it of would leave an agent with an unknown premise."""
    target = coagent.targets.Memory({"kv:x": 1})
    async with coagent.open_domain("memory:", targets=[target], tools=TOOLS) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        seen = await b.call("read", key="kv:x")
        await a.call("put", key="kv:x", value=2)
        assert b.result(seen.call_id) == 1
        assert [notice.after for notice in await b.notifications()] == [2]
        assert b.result(seen.call_id) == 2


class Hesitant(coagent.targets.Memory):
    """A target that waits before each put until it is told to go on."""

    def __init__(self, initial: Mapping[str, Value]) -> None:
        super().__init__(initial)
        self.reached = anyio.Event()
        self.go_on = anyio.Event()

    async def put(self, key: str, value: Value, *, expected: Sequence[Value]) -> None:
        self.reached.set()
        await self.go_on.wait()
        await super().put(key, value, expected=expected)


@pytest.mark.anyio
async def test_a_call_that_fails_again_while_its_caller_waits_is_not_taken_for_refused() -> None:
    target = Hesitant({"kv:x": 1})
    async with coagent.open_domain("memory:", targets=[target], tools=TOOLS) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        outcomes = []

        async def delete_late() -> None:
            outcomes.append(await b.call("delete", key="kv:x"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(delete_late)
            await target.reached.wait()
            tasks.start_soon(lambda: a.call("delete", key="kv:x"))
            await anyio.wait_all_tasks_blocked()
            target.go_on.set()
        assert outcomes[0].value == "deleted"
        assert [news.kind for notice in outcomes[0].notifications for news in notice.calls] == ["withdrawn"]


class Picky(coagent.targets.Memory):
    """A target that refuses large values of one object."""

    async def put(self, key: str, value: Value, *, expected: Sequence[Value]) -> None:
        if key == "kv:b" and value is not None and value > 100:
            raise TargetError("b is too large", "Use less.")
        await super().put(key, value, expected=expected)


@tool
async def put_both(state: State, value: int) -> str:
    """Write two objects."""
    await state.put("kv:a", value)
    await state.put("kv:b", value)
    return "ok"


@pytest.mark.anyio
async def test_a_call_of_which_one_write_is_refused_leaves_nothing() -> None:
    target = Picky({"kv:a": 1, "kv:b": 2})
    async with coagent.open_domain("memory:", targets=[target], tools=[put_both]) as domain:
        agent = await domain.join("A")
        with pytest.raises(TargetError, match="too large") as failure:
            await agent.call("put_both", value=200)
        assert failure.value.call_id == "A.1"
        assert target.snapshot() == {"kv:a": 1, "kv:b": 2}
        assert (await agent.finish()).state == "committed"


@pytest.mark.anyio
async def test_staged_calls_come_before_a_later_one_that_waits() -> None:
    sent: list[str] = []

    @tool(effect="irreversible")
    async def mail(state: State, to: str) -> str:
        """Send a mail."""
        sent.append(to)
        return "sent"

    @tool(effect="irreversible", gate="wait")
    async def pay(state: State, amount: int) -> str:
        """Pay."""
        sent.append(f"paid {amount}")
        return "paid"

    async with coagent.open_domain("memory:", tools=[mail, pay]) as domain:
        agent = await domain.join("A")
        assert (await agent.call("mail", to="x")).status == "staged"
        assert (await agent.call("pay", amount=3)).value == "paid"
        assert sent == ["x", "paid 3"]


@tool
async def take(state: State, number: int) -> int:
    """Take some of a stock."""
    left = int(await state.get("file:stock.txt")) - number
    await state.put("file:stock.txt", f"{left}\n")
    return left


@tool
async def look(state: State) -> str:
    """Look what is left of it."""
    return str(await state.get("file:stock.txt"))


@pytest.mark.anyio
async def test_what_somebody_makes_of_a_write_that_has_just_arrived_stands_above_it(tmp_path: Path) -> None:
    """Its arrival was still to be recorded, so the change was taken for one of what was there before."""
    (tmp_path / "work").mkdir()
    stock = tmp_path / "work" / "stock.txt"
    stock.write_text("10\n")
    files = coagent.targets.Files(tmp_path / "work")
    async with coagent.open_domain(
        f"sqlite:{tmp_path}/log.db", targets=[files], tools=[take, look]
    ) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("take", number=4)
        assert stock.read_text() == "6\n"
        stock.write_text("5\n")
        assert (await b.call("look")).value == "5\n"
        assert (await a.call("look")).value == "10\n"
        assert (await a.finish()).state == "committed"
        assert (await b.finish()).state == "committed"
    assert stock.read_text() == "5\n"


@pytest.mark.anyio
async def test_how_interrupted_work_ends_is_no_result_of_it() -> None:
    """A command that ran again while its process ended was recorded as failed, and its work removed."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait()
        raise coagent.ToolFailed("it was interrupted")

    ended: list[str] = []

    async def run() -> None:
        try:
            await off_loop_to_its_end(work, go_on.set)
        except coagent.ToolFailed:
            ended.append("failed")
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    assert ended == ["cancelled"]


@pytest.mark.anyio
async def test_a_system_that_a_tool_itself_finds_away_is_waited_for() -> None:
    """A statement on a connection from before a restart of the server failed; on a new one it waited."""
    tries: list[int] = []

    @tool
    async def ask(state: State) -> str:
        """Ask a system that is back at the third try."""
        tries.append(len(tries))
        if len(tries) < 3:
            raise TargetUnavailable("the system is away")
        return "here"

    clock = VirtualClock()
    async with coagent.open_domain(
        "memory:", targets=[coagent.targets.Memory()], tools=[ask], clock=clock
    ) as domain:
        agent = await domain.join("A")
        async with clock.participant():
            assert (await agent.call("ask")).value == "here"
        assert len(tries) == 3
        assert len(agent.calls) == 1


@pytest.mark.anyio
async def test_a_system_that_stays_away_is_waited_for_once() -> None:
    """What a reader has waited for in vain, its tool's runner does not wait for again."""

    class Away(coagent.targets.Memory):
        instant = False

        async def get(self, key: str) -> Value:
            raise TargetUnavailable("the system is away")

    clock = VirtualClock()
    async with coagent.open_domain(
        "memory:", targets=[Away({"kv:x": 1})], tools=[read], clock=clock, patience_s=30
    ) as domain:
        agent = await domain.join("A")
        async with clock.participant():
            with pytest.raises(TargetUnavailable, match=r"tried again for 30 s"):
                await agent.call("read", key="kv:x")
        assert 30 <= clock.now_s() < 40
        assert not agent.calls
