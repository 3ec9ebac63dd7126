"""A put that arrives after what it was for is over: the target ends as the log says all the same."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from shared_system import Shared, domain_of

from coagent import AgentNotActive
from coagent.protocol.values import Value


@pytest.mark.anyio
@pytest.mark.parametrize("before", [0, None])
async def test_a_put_that_arrives_after_its_call_was_taken_back_does_not_stay(
    tmp_path: Path, before: Value
) -> None:
    objects: dict[str, Value] = {} if before is None else {"kv:x": before}
    slow = Shared(objects)
    async with domain_of(tmp_path / "log", slow) as one:
        a = await one.join("A")
        async with anyio.create_task_group() as tasks:
            go_on = slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:x", value=1))
            await slow.reached.wait()
            async with domain_of(tmp_path / "log", Shared(objects)) as other:
                await (await other.oversee("A")).abort("nobody has heard of it for an hour")
                await other.settle()
                assert other.quiescent, "it holds again what was there before"
                assert other.kernel.tracked_keys() == []
            assert objects.get("kv:x") == before
            go_on.set()
        await one.settle()
        assert slow.puts[0] == ("kv:x", 1)
        assert objects.get("kv:x") == before


@pytest.mark.anyio
async def test_a_put_that_arrives_after_others_have_written_the_object_does_not_stay(tmp_path: Path) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    slow = Shared(objects)
    async with domain_of(tmp_path / "log", slow) as one, domain_of(tmp_path / "log", Shared(objects)) as two:
        a, b = await one.join("A"), await two.join("B")
        async with anyio.create_task_group() as tasks:
            go_on = slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:x", value=1))
            await slow.reached.wait()
            await (await two.attach("A", force=True)).abort()
            await b.call("put", key="kv:x", value=2)
            await b.call("put", key="kv:x", value=0)
            await two.settle()
            go_on.set()
        await one.settle()
        assert slow.puts[0] == ("kv:x", 1)
        assert objects == {"kv:x": 0}
        assert (await b.finish()).state == "committed"
        assert objects == {"kv:x": 0}


@pytest.mark.anyio
async def test_a_put_that_is_not_late_is_left_as_it_is(tmp_path: Path) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    target = Shared(objects)
    async with domain_of(tmp_path / "log", target) as one:
        a = await one.join("A")
        for value in (1, 2, 0, 1):
            await a.call("put", key="kv:x", value=value)
        assert (await a.finish(wait=True)).state == "committed"
    assert target.puts == [("kv:x", 1), ("kv:x", 2), ("kv:x", 0), ("kv:x", 1)]
    assert objects == {"kv:x": 1}


@pytest.mark.anyio
async def test_what_was_taken_back_before_it_was_put_is_not_put(tmp_path: Path) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    slow = Shared(objects)
    async with domain_of(tmp_path / "log", slow) as one, domain_of(tmp_path / "log", Shared(objects)) as two:
        a = await one.join("A")
        async with anyio.create_task_group() as tasks:
            go_on = slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:y", value=1))
            await slow.reached.wait()
            with anyio.move_on_after(0):
                await a.call("put", key="kv:x", value=1)  # logged, and waiting for the target to be free
            await (await two.attach("A", force=True)).abort()
            await two.settle()
            go_on.set()
        await one.settle()
        assert ("kv:x", 1) not in slow.puts
        assert objects == {"kv:x": 0}, "what had been put, too late, is taken back"
        with pytest.raises(AgentNotActive):
            await a.call("get", key="kv:x")


@pytest.mark.anyio
async def test_what_others_want_by_then_is_not_taken_for_what_was_late(tmp_path: Path) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    slow = Shared(objects)
    async with domain_of(tmp_path / "log", slow) as one, domain_of(tmp_path / "log", Shared(objects)) as two:
        a, b = await one.join("A"), await two.join("B")
        await b.call("get", key="kv:x")
        async with anyio.create_task_group() as tasks:
            go_on = slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:x", value=1))
            await slow.reached.wait()
            await (await two.attach("A", force=True)).abort()
            await two.settle()
            slow.reached, mend = anyio.Event(), anyio.Event()
            slow.held, slow.asks = mend, True
            go_on.set()
            await slow.reached.wait()  # the put has come too late, and is about to be taken back
            assert objects == {"kv:x": 1}
            assert await two.look("kv:x")  # somebody takes it for an outsider's word, and rests on it
            await two.settle()
            mend.set()
        await one.settle()
        assert slow.puts == [("kv:x", 1)]
        assert objects == {"kv:x": 1}
        assert (await b.call("get", key="kv:x")).value == 1


@pytest.mark.anyio
async def test_what_others_have_committed_while_a_late_put_is_taken_back_stays(tmp_path: Path) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    slow = Shared(objects)
    async with domain_of(tmp_path / "log", slow) as one, domain_of(tmp_path / "log", Shared(objects)) as two:
        a, b = await one.join("A"), await two.join("B")
        async with anyio.create_task_group() as tasks:
            go_on = slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:x", value=1))
            await slow.reached.wait()
            await (await two.attach("A", force=True)).abort()
            await two.settle()
            slow.reached, mend = anyio.Event(), anyio.Event()
            slow.held, slow.asks = mend, True
            go_on.set()
            await slow.reached.wait()  # the put has come too late, and is about to be taken back
            await b.call("put", key="kv:x", value=1)
            assert (await b.finish(wait=True)).state == "committed"
            await two.settle()
            assert two.kernel.tracked_keys() == []
            mend.set()
        await one.settle()
        assert objects == {"kv:x": 1}
