"""Whatever is final rests on what is so: somebody looks for outsiders before it (rules 6, 7 and 9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest

import coagent
from coagent import DeclaredTool, Domain, State, tool
from coagent.protocol.calls import Call, Footprint, Observation, Rank
from coagent.protocol.events import CallBegun, CallObserved, CallRan, Finished, Joined, RunLost
from coagent.protocol.keys import Key
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import Value
from coagent.runtime.telling import Told
from coagent.targets import Memory

SENT: list[Value] = []
NOTHING_TOUCHED = Footprint(frozenset(), frozenset(), frozenset())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@tool
async def read(state: State, key: str, path: str | None = None) -> Value:
    """Read an object, or a field of it."""
    return await state.get(key, path=path)


@tool
async def put(state: State, key: str, value: Value) -> None:
    """Write an object."""
    await state.put(key, value)


@tool
async def names(state: State, prefix: str, to: str | None = None) -> list[str]:
    """List a range, and write how many objects there are."""
    found = await state.list(prefix)
    if to is not None:
        await state.put(to, len(found))
    return found


@tool(effect="irreversible", gate="wait")
async def pay(state: State, text: str) -> str:
    """Pay at once."""
    SENT.append(text)
    return text


@tool(effect="irreversible", gate="stage")
async def mail(state: State, text: str) -> str:
    """Pay at commit."""
    SENT.append(text)
    return text


@pytest.fixture
def target() -> Memory:
    SENT.clear()
    return Memory({"kv:price": {"now": 1, "old": 0}, "kv:x": 1})


@pytest.fixture
async def domain(target: Memory) -> AsyncIterator[Domain]:
    tools = [read, put, names, pay, mail]
    async with coagent.open_domain("memory:", targets=[target], tools=tools) as opened:
        yield opened


@pytest.mark.anyio
async def test_no_call_that_waits_runs_over_a_change_that_nobody_has_noticed(
    domain: Domain, target: Memory
) -> None:
    agent = await domain.join("A")
    await agent.call("read", key="kv:price")
    target.outside("kv:price", {"now": 2, "old": 1})
    held = await agent.call("pay", text="1")
    assert held.status == "held_back"
    assert held.notifications[0].after == {"now": 2, "old": 1}
    assert SENT == []


@pytest.mark.anyio
async def test_no_staged_call_runs_over_a_change_that_nobody_has_noticed(
    domain: Domain, target: Memory
) -> None:
    agent = await domain.join("A")
    await agent.call("read", key="kv:price")
    staged = await agent.call("mail", text="1")
    target.outside("kv:price", {"now": 2, "old": 1})
    assert (await agent.finish()).state == "notified"
    assert SENT == []
    await agent.amend(staged.call_id, text="2")
    assert (await agent.finish()).state == "committed"
    assert SENT == ["2"]


@pytest.mark.anyio
async def test_nobody_gives_up_for_what_is_no_longer_so(domain: Domain, target: Memory) -> None:
    agent = await domain.join("A")
    assert (await agent.call("read", key="kv:missing")).value is None
    target.outside("kv:missing", 1)
    notices = await agent.wait_for_turn()
    assert [notice.after for notice in notices] == [1]


@pytest.mark.anyio
async def test_nobody_gives_up_for_news_that_are_gone_before_they_are_told(domain: Domain) -> None:
    a, b = await domain.join("A"), await domain.join("B")
    await b.call("read", key="kv:x")
    turn: list[list[coagent.Notification]] = []
    tell = b._teller.tell

    async def telling(*, apart: bool = True) -> Told:
        for call in a.calls:
            await a.undo(call.call_id)
        return await tell(apart=apart)

    async def wait() -> None:
        turn.append(await b.wait_for_turn())

    b._teller.tell = telling  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await a.call("put", key="kv:x", value=2)
        await anyio.wait_all_tasks_blocked()
        assert a.calls == []
        assert turn == []
        assert (await a.finish(wait=True)).state == "committed"
    assert turn == [[]]


@pytest.mark.anyio
async def test_nobody_gives_up_before_it_is_known_what_has_come_of_a_call_of_its_own() -> None:
    begun, go_on = anyio.Event(), anyio.Event()
    turn: list[list[coagent.Notification]] = []

    async def act() -> str:
        """Act, and take its time."""
        begun.set()
        await go_on.wait()
        return "done"

    async def reverse(prepared: object, result: object) -> None:
        raise AssertionError("it stands")

    acting = DeclaredTool(act, writes=["sys:1"], reverse=reverse)
    async with coagent.open_domain("memory:", tools=[acting]) as domain:
        agent = await domain.join("A")

        async def wait() -> None:
            turn.append(await agent.wait_for_turn())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.call, "act")
            await begun.wait()
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert turn == []
            go_on.set()
        assert turn == [[]]


@pytest.mark.anyio
async def test_nobody_gives_up_for_what_somebody_before_is_just_changing() -> None:
    held: dict[str, int] = {}
    looking, seen, writing, written = [anyio.Event() for _ in range(4)]

    class Looked(Memory):
        """Takes its time when it is looked at again."""

        def unchanged(self, key: Key) -> bool:
            looking.set()
            return False

        async def get(self, key: Key) -> Value:
            if looking.is_set():
                await seen.wait()
            return await super().get(key)

    async def set_to(name: str, value: int) -> str:
        """Write an object of a system."""
        writing.set()
        await written.wait()
        held[name] = value
        return "ok"

    async def reverse(prepared: object, result: object, name: str, value: int) -> None:
        del held[name]

    async def ask(name: str) -> int | None:
        """Read an object of a system."""
        return held.get(name)

    tools = [
        read,
        DeclaredTool(ask, reads=["sys:{name}"]),
        DeclaredTool(set_to, writes=["sys:{name}"], reverse=reverse),
    ]
    async with coagent.open_domain(
        "memory:", targets=[Looked({"kv:x": 1})], tools=tools, order="early"
    ) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("read", key="kv:x")
        assert (await b.call("ask", name="one")).value is None
        told: list[Value] = []

        async def wait() -> None:
            told.extend(notice.after for notice in await b.wait_for_turn())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await looking.wait()
            tasks.start_soon(partial(a.call, "set_to", name="one", value=1))
            await writing.wait()
            seen.set()
            await anyio.wait_all_tasks_blocked()
            written.set()
        assert told == [1], "and not nothing, as if its turn had come"


@pytest.mark.anyio
async def test_a_field_that_was_read_is_looked_at_before_the_commit(domain: Domain, target: Memory) -> None:
    agent = await domain.join("A")
    assert (await agent.call("read", key="kv:price", path="/now")).value == 1
    target.outside("kv:price", {"now": 1, "old": 5})
    target.outside("kv:price", {"now": 2, "old": 5})
    settlement = await agent.finish()
    assert settlement.state == "notified"
    assert [(one.before, one.after) for one in settlement.notifications] == [(1, 2)]


@pytest.mark.anyio
async def test_another_field_that_changed_is_no_news(domain: Domain, target: Memory) -> None:
    agent = await domain.join("A")
    await agent.call("read", key="kv:price", path="/now")
    target.outside("kv:price", {"now": 1, "old": 5})
    assert (await agent.finish()).state == "committed"


@pytest.mark.anyio
async def test_a_list_sees_that_an_object_is_gone_that_somebody_has_read(
    domain: Domain, target: Memory
) -> None:
    first, second = await domain.join("A"), await domain.join("B")
    await first.call("put", key="kv:y", value=1)
    await first.call("read", key="kv:x")
    await first.flush()
    target.outside("kv:x", None)
    assert (await second.call("names", prefix="kv:")).value == ["kv:price", "kv:y"]
    assert first.notified, "the list has looked at what it missed"


@pytest.mark.anyio
async def test_what_an_outsider_did_is_no_news_to_a_call_that_has_just_been_committed(
    domain: Domain, target: Memory
) -> None:
    first, second = await domain.join("A"), await domain.join("B")
    await first.call("names", prefix="kv:", to="kv:new")
    written = await second.call("put", key="kv:new", value=5)
    target.outside("kv:new", 99)
    await domain.look("kv:new")
    await second.undo(written.call_id)
    assert (await first.finish()).state == "notified", "it has been overruled"
    assert (await first.finish()).state == "committed"
    domain.kernel.check_invariants()
    assert not domain.kernel.ready().reexecute


def test_nobody_at_work_passes_an_agent_that_can_take_nothing_back() -> None:
    kernel = Mtpo(early=True)
    for rank, name in enumerate(("paid", "other")):
        kernel.step(Joined(name, Rank(rank)))
    nothing = Observation({}, {}, {}, {}, None)
    kernel.step(CallObserved(Rank(0), "read", {}, nothing._replace(reads={("kv:x", None): 1})))
    untouched = Footprint(frozenset(), frozenset(), frozenset())
    kernel.step(CallBegun(Rank(0), "pay", {}, untouched, irreversible=True))
    other = kernel.agents[Rank(1)]
    kernel.step(CallObserved(Rank(1), "read", {}, nothing._replace(reads={("kv:y", None): 1})))
    kernel.step(Finished(Rank(1)))
    assert kernel.promotion(other) is None, "nobody knows yet what the payment reads"
    kernel.step(CallRan(list(kernel.agents[Rank(0)].calls)[-1], nothing))
    kernel.step(CallObserved(Rank(1), "read", {}, nothing._replace(reads={("kv:y", None): 1})))
    assert kernel.promotion(other) is None
    kernel.step(Finished(Rank(1)))
    assert kernel.promotion(other) == -1, "it commits at once, and does nothing more"


def test_who_changes_an_object_did_not_see_that_a_later_call_has_deleted_it() -> None:
    trajectory = Trajectory("kv:x")
    trajectory.learn_base({"n": 1, "m": 1})
    trajectory.accepted.append(None)
    trajectory.accepted_at.append((1, 1, 0))  # type: ignore[arg-type]
    assert trajectory.seen_by({"n": 7, "m": 8})[0] == {"n": 1, "m": 1}


@pytest.mark.anyio
async def test_a_call_that_may_have_run_is_not_run_again_once_its_agent_has_ended(domain: Domain) -> None:
    agent = await domain.join("A")
    parts = domain._opened.parts
    begun = CallBegun(agent.rank, "pay", {"text": "1"}, NOTHING_TOUCHED, True, "", "a name")
    call = await parts.recorder.record(lambda: begun)
    assert isinstance(call, Call)
    await parts.recorder.record(lambda: RunLost(call.id))
    await agent.abort()
    paying = parts.catalog.get("pay")
    await domain._opened.work.runner(paying).run_again(call, paying)
    assert domain.kernel.unknown == [call]
    assert SENT == []
