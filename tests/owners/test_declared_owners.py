"""Declared calls of processes that were stopped for longer than their lease, and of others that took them up.

The processes are domains over one log and one shop. A stop is where one of them stands still: its lease has
run out by then, by the log's clock and by its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from booking import Shop, process, recover, stop_for_long

from coagent import (
    AgentNotActive,
    State,
    tool,
)
from coagent.errors import AgentTakenUp, LogUnavailable
from coagent.log.sqlite import SqliteLog
from coagent.protocol.calls import CallId
from coagent.protocol.events import Aborted, Attached, CallBegun, Event, ReversalBegun, RunBegun
from coagent.runtime.domain import Domain


def at_append(
    domain: Domain, of: type[Any], call_id: str, act: Callable[[], Awaitable[None]], *, after: bool
) -> None:
    """Have something happen once, right before or after an event of a process reaches the log."""
    log = domain._opened.log
    append, pending = log.append, [act]

    async def appending(events: Sequence[Event]) -> None:
        here = any(isinstance(event, of) and getattr(event, "call_id", "") == call_id for event in events)
        if here and pending and not after:
            await pending.pop()()
        await append(events)
        if here and pending and after:
            await pending.pop()()

    log.append = appending  # type: ignore[method-assign]


@pytest.mark.anyio
async def test_a_stopped_process_takes_back_nothing_of_an_agent_that_others_have_taken_up(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two:
        a = await one.join("A")
        booked = await a.call("book", who="A", item="tea")
        await stop_for_long(one, log, two)
        taken = await two.attach("A")
        with pytest.raises(AgentTakenUp):
            await a.undo(booked.call_id)
        with pytest.raises(AgentTakenUp):
            await a.abort()
        assert shop.who("tea") == ["A"]
        assert (await taken.finish(wait=True)).state == "committed"


@pytest.mark.anyio
async def test_what_was_being_undone_as_its_agent_was_taken_up_runs_again(tmp_path: Path) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two:
        a = await one.join("A")
        booked = await a.call("book", who="A", item="tea")

        async def taken_up() -> None:
            await two.attach("A", force=True)

        at_append(one, ReversalBegun, booked.call_id, taken_up, after=True)
        with pytest.raises(AgentTakenUp):
            await a.undo(booked.call_id)
        assert shop.who("tea") == []
        taken = await two.attach("A")
        await two.settle()
        assert [call.call_id for call in taken.calls] == [booked.call_id], "whoever speaks for it kept it"
        assert shop.who("tea") == ["A"]
        assert (await taken.finish(wait=True)).state == "committed"


@pytest.mark.anyio
async def test_what_another_process_has_run_again_meanwhile_is_reversed_first(tmp_path: Path) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two:
        a, b, c = await one.join("A"), await two.join("B"), await two.join("C")
        await b.call("book", who="B", item="tea")
        await c.call("book", who="C", item="tea")
        at_append(one, ReversalBegun, "B.1", two.settle, after=False)
        await a.call("book", who="A", item="tea")
        await one.settle()
        assert shop.who("tea") == ["A", "B", "C"]


@pytest.mark.anyio
async def test_a_call_of_another_agent_does_not_fail_because_the_process_that_runs_it_again_was_stopped(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two, anyio.create_task_group() as tasks:
        a, b = await one.join("A"), await two.join("B")
        booked = await b.call("book", who="B", item="tea")
        go_on = shop.held = anyio.Event()
        tasks.start_soon(refused, a.call, "book", "A", "tea")
        await shop.acted.wait()
        await stop_for_long(one, log, two)
        go_on.set()
        with anyio.fail_after(10):
            while shop.who("tea") != ["A", "B"]:
                await one.settle()
                await anyio.sleep(0.001)
        await two.settle()
        assert b.result(booked.call_id) == "booked"
        assert await b.notifications() == []


async def refused(call: Callable[..., Awaitable[Any]], tool: str, who: str, item: str) -> None:
    with pytest.raises(AgentNotActive):
        await call(tool, who=who, item=item)


@pytest.mark.anyio
async def test_who_comes_back_when_it_has_been_decided_that_its_call_has_run_hears_whose_agent_it_is(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two, anyio.create_task_group() as tasks:
        a = await one.join("A")
        go_on = shop.held = anyio.Event()
        tasks.start_soon(refused, a.call, "book", "A", "tea")
        await shop.acted.wait()
        await stop_for_long(one, log, two)
        await two.resolve("A.1", "accept")
        go_on.set()
        taken = await two.attach("A")
        assert (await taken.finish(wait=True)).state == "committed"
    assert shop.who("tea") == ["A"]


@pytest.mark.anyio
async def test_what_was_about_to_be_taken_back_stands_when_its_process_comes_back_and_had_not_begun(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two:
        a, b = await one.join("A"), await two.join("B")
        await b.call("book", who="B", item="tea")

        async def stop() -> None:
            await stop_for_long(one, log, two)
            assert set(two.kernel.stuck) == {"shop:tea"}

        at_append(one, ReversalBegun, "B.1", stop, after=True)
        with pytest.raises(AgentTakenUp):
            await a.call("book", who="A", item="tea")
        await one.settle()
        await two.settle()
        assert two.kernel.stuck == {}
        assert shop.who("tea") == ["B"]


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["probe", "idempotent", "accept", "comes back"])
async def test_what_an_aborted_agent_turns_out_to_have_done_is_taken_back(tmp_path: Path, how: str) -> None:
    log, shop = tmp_path / "log", Shop()
    options: dict[str, Any] = {"on_death": "abort"}
    options |= {"probe": {"probe": shop.asked}, "idempotent": {"idempotent": True}}.get(how, {})
    async with process(log, shop, **options) as one, process(log, shop, **options) as two:
        shop.items["tea"].append(["before", ""])
        a = await one.join("A")
        async with anyio.create_task_group() as tasks:
            go_on = shop.held = anyio.Event()
            tasks.start_soon(refused, a.call, "book", "A", "tea")
            await shop.acted.wait()
            await stop_for_long(one, log, two)
            if how == "accept":
                await two.settle()
                await two.resolve("A.1", "accept")
            if how == "comes back":
                await two.settle()
                go_on.set()
            with anyio.fail_after(10):
                while shop.who("tea") != ["before"] or two.kernel.unknown:
                    await recover(two)
                    await two.settle()
                    await anyio.sleep(0.001)
            go_on.set()
        assert [agent.phase.value for agent in two.agents] == ["aborted"]
        b = await two.join("B")
        await b.call("book", who="B", item="tea")
        assert (await b.finish(wait=True)).state == "committed"
    assert shop.who("tea") == ["before", "B"]


@pytest.mark.anyio
async def test_an_abort_takes_back_what_another_process_runs_again_just_then(tmp_path: Path) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two, anyio.create_task_group() as tasks:
        a, b = await one.join("A"), await two.join("B")
        await b.call("book", who="B", item="tea")
        go_on = shop.held = anyio.Event()
        tasks.start_soon(partial(a.call, "book", who="A", item="tea"))
        await shop.acted.wait()

        async def run_again() -> None:
            go_on.set()
            with anyio.fail_after(10):
                while shop.who("tea") != ["A", "B"]:
                    await one.settle()
                    await anyio.sleep(0.001)
            await one.settle()

        at_append(two, Aborted, "", run_again, after=False)
        await b.abort()
        assert shop.who("tea") == ["A"]


@pytest.mark.anyio
async def test_an_amendment_under_way_is_found_out_about_as_what_it_was_to_be(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    probe = {"probe": shop.asked}
    async with process(log, shop, **probe) as one, process(log, shop, **probe) as two:
        a = await one.join("A")
        await a.call("book", who="A", item="tea")
        async with anyio.create_task_group() as tasks:
            go_on = shop.held = anyio.Event()
            tasks.start_soon(amended, a.amend, "milk")
            await shop.acted.wait()
            await stop_for_long(one, log, two)
            with anyio.fail_after(10):
                while two.kernel.unknown:
                    await recover(two)
                    await anyio.sleep(0.001)
            go_on.set()
        taken = await two.attach("A")
        assert [call.arguments for call in taken.calls] == [{"who": "A", "item": "milk"}]
        assert (shop.who("tea"), shop.who("milk")) == ([], ["A"])
        await taken.abort()
        assert shop.who("milk") == []


async def amended(amend: Callable[..., Awaitable[Any]], item: str) -> None:
    with pytest.raises(AgentTakenUp):
        await amend("A.1", item=item)


@pytest.mark.anyio
async def test_who_joins_after_a_long_stop_does_so_under_a_lease_that_holds(tmp_path: Path) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop, on_death="abort") as one, process(log, shop) as two:
        await one.join("A")
        await stop_for_long(one, log, two)
        b = await one.join("B")
        await recover(two)
        await two.settle()
        assert {agent.name: agent.phase.value for agent in two.agents} == {"A": "aborted", "B": "active"}
        assert (await b.finish(wait=True)).state == "committed"


@pytest.mark.anyio
async def test_who_finds_at_two_places_that_its_lease_has_ended_begins_one_other(tmp_path: Path) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one, process(log, shop) as two:
        await one.join("A")
        await stop_for_long(one, log, two)
        tenure = one._opened.parts.recorder.tenure
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tenure.renew)
            tasks.start_soon(tenure.renew)
        owners = {lease.owner for lease in await one._opened.log.leases()}
        assert owners == {tenure.owner, two._opened.parts.recorder.tenure.owner}


@pytest.mark.anyio
@pytest.mark.parametrize("on_death", ["abort", "keep"])
async def test_who_comes_back_within_an_irreversible_call_is_told_that_it_has_run(
    tmp_path: Path, on_death: str
) -> None:
    paid: list[str] = []
    began, go_on = anyio.Event(), anyio.Event()

    @tool(effect="irreversible", gate="wait")
    async def pay(state: State, to: str) -> str:
        """Pay."""
        began.set()
        await go_on.wait()
        paid.append(to)
        return "paid"

    log, shop = tmp_path / "log", Shop()
    async with (
        process(log, shop, on_death=on_death, more=[pay]) as one,
        process(log, shop, more=[pay]) as two,
        anyio.create_task_group() as tasks,
    ):
        a = await one.join("A")
        tasks.start_soon(told_that_it_stands, a.call)
        await began.wait()
        await stop_for_long(one, log, two)
        if on_death == "keep":
            await two.attach("A")
        go_on.set()
    assert paid == ["ann"]


async def told_that_it_stands(call: Callable[..., Awaitable[Any]]) -> None:
    with pytest.raises(
        (AgentNotActive, AgentTakenUp), match=r"'A\.1' \(pay\) was under way; it has run, and stands"
    ):
        await call("pay", to="ann")


@pytest.mark.anyio
async def test_who_takes_up_an_agent_of_the_dead_leaves_it_to_whoever_has_attached_to_it_meanwhile(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with (
        process(log, shop, on_death="commit") as one,
        process(log, shop) as two,
        process(log, shop) as three,
    ):
        await one.join("A")
        sessions: list[Any] = []

        async def attach() -> None:
            sessions.append(await three.attach("A", force=True))

        at_append(two, Attached, "", attach, after=True)
        await stop_for_long(one, log, two)
        assert [(a.name, a.phase.value) for a in two.agents] == [("A", "active")]
        assert (await sessions[0].finish()).state == "committed"


def lose_log_as_it_acts(domain: Domain, of: type[Any]) -> list[str]:
    """Have the lease run out, and the log be away, as a run or a reversal is to act; returns renewals."""
    tenure, log = domain._opened.parts.recorder.tenure, domain._opened.log
    renew, heard = log.renew_lease, list[str]()

    async def lapse() -> None:
        tenure._until_s = 0.0

    async def renewing(owner: str, seconds: float) -> bool:
        heard.append("away" if len(heard) < 2 else "there")
        if heard[-1] == "away":
            raise LogUnavailable("the server cannot be reached")
        return await renew(owner, seconds)

    log.renew_lease = renewing  # type: ignore[method-assign]
    append, pending = log.append, [lapse]

    async def appending(events: Sequence[Event]) -> None:
        await append(events)
        if pending and any(isinstance(event, of) for event in events):
            await pending.pop()()

    log.append = appending  # type: ignore[method-assign]
    return heard


@pytest.mark.anyio
async def test_a_log_that_is_away_as_a_call_is_about_to_be_taken_back_leaves_nothing_stuck(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one:
        a = await one.join("A")
        await a.call("book", who="A", item="tea")
        heard = lose_log_as_it_acts(one, ReversalBegun)
        await a.undo("A.1")
        assert heard == ["away", "away", "there"]
        assert not one.kernel.stuck
        assert shop.who("tea") == []


@pytest.mark.anyio
async def test_a_log_that_is_away_as_a_native_call_is_about_to_act_leaves_nothing_under_way(
    tmp_path: Path,
) -> None:
    sent: list[str] = []

    @tool(effect="irreversible", gate="wait")
    async def send(state: State, text: str) -> str:
        """Send a text."""
        sent.append(text)
        return "sent"

    async with process(tmp_path / "log", Shop()) as one:
        one.add_tools([send])
        a = await one.join("A")
        heard = lose_log_as_it_acts(one, CallBegun)
        assert (await a.call("send", text="hello")).value == "sent"
        assert (heard, sent) == (["away", "away", "there"], ["hello"])
        assert (await a.finish()).state == "committed"


@pytest.mark.anyio
async def test_a_call_is_made_once_though_nothing_was_heard_when_what_it_prepared_was_recorded(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    async with process(log, shop) as one:
        a = await one.join("A")
        mine, pending = one._opened.log, [True]
        append, settings = mine.append, mine.settings

        async def appending(events: Sequence[Event]) -> None:
            if pending and any(isinstance(event, RunBegun) for event in events):
                pending.clear()
                other = await SqliteLog.open(log, settings)
                while await other.read():
                    pass
                await other.append(events)
                await other.close()
                raise LogUnavailable("nobody has heard the answer")
            await append(events)

        mine.append = appending  # type: ignore[method-assign]
        assert (await a.call("book", who="A", item="tea")).value == "booked"
        await one.settle()
        assert not pending
        assert shop.who("tea") == ["A"]
        await a.undo("A.1")
        assert shop.who("tea") == []


@pytest.mark.anyio
@pytest.mark.parametrize("on_death", ["keep", "abort"])
async def test_a_system_that_is_away_when_a_call_is_tried_again_does_not_say_that_it_has_not_run(
    tmp_path: Path, on_death: str
) -> None:
    log, shop = tmp_path / "log", Shop()
    options: dict[str, Any] = {"on_death": on_death, "idempotent": True}
    async with process(log, shop, **options) as one, process(log, shop, **options) as two:
        a = await one.join("A")
        async with anyio.create_task_group() as tasks:
            go_on = shop.held = anyio.Event()
            tasks.start_soon(refused, a.call, "book", "A", "tea")
            await shop.acted.wait()
            shop.away = True
            await stop_for_long(one, log, two)
            with anyio.fail_after(10):
                while not shop.asked_in_vain or not two.kernel.unknown:
                    await recover(two)
                    await two.settle()
                    await anyio.sleep(0.001)
            shop.away = False
            with anyio.fail_after(10):
                while two.kernel.unknown or two._opened.work._pieces:
                    two._opened.decisions._asked.clear()
                    await recover(two)
                    await two.settle()
                    await anyio.sleep(0.001)
            go_on.set()
        assert shop.who("tea") == (["A"] if on_death == "keep" else [])
        if on_death == "keep":
            again = await two.attach("A")
            await again.undo("A.1")
        assert shop.who("tea") == []


@pytest.mark.anyio
async def test_who_has_not_acted_says_nothing_of_what_another_process_makes_of_the_call(
    tmp_path: Path,
) -> None:
    log, shop = tmp_path / "log", Shop()
    go_on = anyio.Event()
    async with process(log, shop) as one, process(log, shop) as two, anyio.create_task_group() as tasks:
        a = await one.join("A")

        async def taken_up_and_retried() -> None:
            await stop_for_long(one, log, two)
            await two.attach("A")
            shop.held = go_on
            tasks.start_soon(two.resolve, "A.1", "retry")
            await shop.acted.wait()

        at_append(one, CallBegun, "", taken_up_and_retried, after=True)
        with pytest.raises(AgentTakenUp):
            await a.call("book", who="A", item="tea")
        go_on.set()
        call = two.kernel.call(CallId("A.1"))
        assert call is not None
        while call.under_way is not None:
            await anyio.sleep(0.001)
        assert (call.seen.value, call.seen.error) == ("booked", None)
        assert shop.who("tea") == ["A"]
