"""A put that arrives after what it was for is over: the target ends as the log says all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from shared_system import Shared, domain_of

from coagent import AgentNotActive, TargetError
from coagent.protocol.events import EffectRefused, Event, OutsideWrite
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.runtime.domain import Domain
from coagent.runtime.late_puts import OVER_S, LatePuts
from coagent.runtime.session import AgentSession


class Unwilling(Shared):
    """A system that will not have some puts, after the first one that arrives."""

    refuses = 0

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        if self.puts and self.refuses:
            self.refuses -= 1
            raise TargetError(f"{key!r}: not today")
        await super().put(key, value, expected=expected)


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
            await b.call("put", key="kv:x", value=1)
            await two.settle()
            mend.set()
        await one.settle()
        assert slow.puts == [("kv:x", 1)]
        assert objects == {"kv:x": 1}
        assert (await b.call("get", key="kv:x")).value == 1


@pytest.mark.anyio
async def test_a_late_put_is_taken_back_where_what_is_wanted_was_put_before_it_and_that_is_not_recorded_yet(
    tmp_path: Path,
) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    slow, log = Shared(objects), tmp_path / "log"
    domains = [domain_of(log, slow), domain_of(log, Shared(objects)), domain_of(log, Shared(objects))]
    for domain in domains:
        domain.attends = False
    async with domains[0] as one, domains[1] as two, domains[2] as three:
        a, b = await one.join("A"), await two.join("B")
        await b.call("get", key="kv:x")
        async with anyio.create_task_group() as tasks:
            go_on = slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:x", value=1))
            await slow.reached.wait()
            await (await two.attach("A", force=True)).abort()
            assert objects == {"kv:x": 0}, "two has put it, and has yet to say so"
            await three.catch_up()
            assert three.kernel.effects()
            key = Key("kv:x")
            version = three.kernel.version(key)
            await three._opened.parts.recorder.record(lambda: EffectRefused(key, version, "not today"))
            assert key in three.kernel.stuck, "nobody puts it by itself"
            go_on.set()
        await one.settle()
        assert slow.puts == [("kv:x", 1), ("kv:x", 0)]
        await two.settle()
        assert objects == {"kv:x": 0}
        assert not two.kernel.stuck, "it has been put after all"
        assert (await b.finish()).state == "committed"


@pytest.mark.anyio
async def test_a_late_put_is_taken_back_though_the_target_refuses_that_at_first(tmp_path: Path) -> None:
    objects: dict[str, Value] = {"kv:x": 0}
    slow = Unwilling(objects)
    async with domain_of(tmp_path / "log", slow) as one, domain_of(tmp_path / "log", Shared(objects)) as two:
        a = await one.join("A")
        async with anyio.create_task_group() as tasks:
            go_on = slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:x", value=1))
            await slow.reached.wait()
            await (await two.attach("A", force=True)).abort()
            await two.settle()
            slow.refuses = 2
            go_on.set()
        await one.settle()
        assert objects == {"kv:x": 0}


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


class Left(NamedTuple):
    """What a put that was late has left, as another process finds it before whoever put it mends it."""

    domain: Domain
    agent: AgentSession
    objects: dict[str, Value]
    written: list[Event]


@asynccontextmanager
async def left_late(log: Path) -> AsyncIterator[Left]:
    """Have a put of 1 over 0 arrive when it is taken back and 0 is there again, and go no further."""
    objects: dict[str, Value] = {"kv:x": 0}
    slow = Shared(objects)
    async with domain_of(log, slow) as one, domain_of(log, Shared(objects)) as two:
        written: list[Event] = []
        two.observe(written.append)
        a, b = await one.join("A"), await two.join("B")
        await b.call("get", key="kv:x")
        async with anyio.create_task_group() as tasks:
            slow.held = anyio.Event()
            tasks.start_soon(lambda: a.call("put", key="kv:x", value=1))
            await slow.reached.wait()
            await (await two.attach("A", force=True)).abort()
            await two.settle()
            assert objects == {"kv:x": 0}
            objects["kv:x"] = 1  # there it is; whoever has put it has not heard of that yet
            yield Left(two, b, objects, written)
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_whoever_finds_what_a_late_put_has_left_puts_it_right(tmp_path: Path) -> None:
    async with left_late(tmp_path / "log") as left:
        assert not await left.domain.look("kv:x"), "nobody outside has written it"
        assert left.objects == {"kv:x": 0}
        assert (await left.agent.call("get", key="kv:x")).value == 0


@pytest.mark.anyio
async def test_what_a_late_put_has_left_is_put_over(tmp_path: Path) -> None:
    async with left_late(tmp_path / "log") as left:
        await left.agent.call("put", key="kv:x", value=2)
        await left.domain.settle()
        assert left.objects == {"kv:x": 2}
        assert not [event for event in left.written if isinstance(event, OutsideWrite)]


@pytest.mark.anyio
async def test_what_a_late_put_has_left_is_not_read_where_nobody_knows_the_object_any_more(
    tmp_path: Path,
) -> None:
    async with left_late(tmp_path / "log") as left:
        await left.agent.abort()
        assert left.domain.kernel.tracked_keys() == []
        c = await left.domain.join("C")
        assert (await c.call("get", key="kv:x")).value == 0
        assert left.objects == {"kv:x": 0}


@pytest.mark.anyio
async def test_what_nobody_of_the_domain_has_put_is_an_outsiders_all_the_same(tmp_path: Path) -> None:
    async with left_late(tmp_path / "log") as left:
        left.objects["kv:x"] = 3
        assert await left.domain.look("kv:x")
        assert (await left.agent.call("get", key="kv:x")).value == 3
        await left.agent.call("put", key="kv:x", value=4)
        await left.domain.flush()
        left.objects["kv:x"] = 3  # once more: CoAgent has never put that
        assert await left.domain.look("kv:x")


@pytest.mark.anyio
async def test_whoever_asks_last_puts_nothing_late_so_that_it_is_somebody_who_wants_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shared, "asks_last", True)
    async with left_late(tmp_path / "log") as left:
        assert await left.domain.look("kv:x")
        assert left.objects == {"kv:x": 1}


def test_what_was_over_long_ago_is_not_taken_for_a_late_put() -> None:
    now_s = 0.0
    puts = LatePuts(lambda: now_s)
    puts.schemes = frozenset({"kv"})
    key = Key("kv:x")
    for value in (1, 2):
        puts.is_to_hold(key, value, found=False)
    assert puts.left(key, 2) is None, "it is to be there"
    late = puts.left(key, 1)
    assert late is not None
    assert (late.value, late.instead) == (1, 2)
    now_s = OVER_S + 1
    assert puts.left(key, 1) is None
    puts.is_to_hold(key, 3, found=False)
    assert puts.left(key, 2) is not None, "it is over only now"
    assert puts.left(key, 1) is None
    now_s *= 3
    puts.is_to_hold(Key("kv:y"), 1, found=False)
    assert puts.last_wanted(key, None) is None, "that is forgotten"


def test_what_was_found_is_never_taken_for_a_late_put() -> None:
    puts = LatePuts(lambda: 0.0)
    puts.schemes = frozenset({"kv"})
    key = Key("kv:x")
    puts.is_to_hold(key, 1, found=True)
    puts.is_to_hold(key, 2, found=False)
    assert puts.left(key, 1) is None
