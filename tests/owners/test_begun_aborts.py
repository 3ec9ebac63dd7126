"""An abort that has begun is completed, whoever does it: after its first reversal its agent can only end."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from booking import Shop, process, recover, stop_for_long

from coagent import AgentNotActive, AgentSession, State, TargetError, tool
from coagent.protocol.phases import AgentPhase
from coagent.runtime.domain import Domain
from coagent.runtime.recovery import REASON
from coagent.tools.base import Tool

SENT: list[str] = []


@tool(effect="irreversible", gate="stage")
async def send(state: State, text: str) -> None:
    """Send a mail."""
    SENT.append(text)


@pytest.fixture
def tools() -> list[Tool]:
    SENT.clear()
    return [send]


async def booked(domain: Domain) -> AgentSession:
    """Return an agent that has booked two things, and has something to send when it commits."""
    a = await domain.join("A")
    await a.call("send", text="hello")
    await a.call("book", who="A", item="tea")
    await a.call("book", who="A", item="milk")
    return a


async def ended(domain: Domain) -> None:
    """Have a process see to what it has taken up, until the agent has been aborted."""
    agent = next(iter(domain.kernel.agents.values()))
    with anyio.fail_after(10):
        while agent.phase is not AgentPhase.ABORTED:
            await recover(domain)
            await anyio.sleep(0.001)


async def tried(domain: Domain) -> None:
    """Have a process try to end what it has taken up, and let it come to its end."""
    await recover(domain)
    await anyio.sleep(0.001)
    with anyio.fail_after(10):
        while domain._opened.parts.ending:
            await anyio.sleep(0.001)


async def refused_to_go_on(a: AgentSession, why: str) -> None:
    """Assert that an agent whose abort has begun can do nothing more, and is told why and what to do."""
    said = f"is being aborted \\({why}\\).*Join as a new agent"
    with pytest.raises(AgentNotActive, match=said):
        await a.call("book", who="A", item="tea")
    with pytest.raises(AgentNotActive, match=said):
        await a.call("send", text="again")
    for call in [one.call_id for one in a.calls]:
        with pytest.raises(AgentNotActive, match=said):
            await a.undo(call)
        with pytest.raises(AgentNotActive, match=said):
            await a.amend(call)
    with pytest.raises(AgentNotActive, match=said):
        await a.finish()
    assert a.state == "aborting"


@pytest.mark.anyio
@pytest.mark.parametrize("on_death", ["abort", "commit", "keep"])
async def test_whoever_attaches_after_a_process_died_within_an_abort_may_only_end_the_agent(
    tmp_path: Path, tools: list[Tool], on_death: str
) -> None:
    shop, log = Shop(), tmp_path / "log"
    died, never = anyio.Event(), anyio.Event()

    async def dies_at_tea(item: str) -> None:
        if item == "tea":
            died.set()
            await never.wait()

    shop.cancelling = dies_at_tea
    async with (
        process(log, shop, more=tools, on_death=on_death) as one,
        process(log, shop, more=tools) as two,
    ):
        a = await booked(one)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.abort, "it thought better of it")
            await died.wait()
            assert shop.who("milk") == []
            shop.cancelling = None
            await stop_for_long(one, log, two)
            await tried(two)
            await refused_to_go_on(await two.attach("A", force=True), "it thought better of it")
            assert list(two.kernel.stuck) == ["shop:tea"]
            shop.items["tea"] = [["A", ""]]
            await two.resolve("shop:tea", "retry")
            await ended(two)
            tasks.cancel_scope.cancel()
        one.abandon()
    assert shop.items == {"tea": [], "milk": []}
    assert SENT == []


@pytest.mark.anyio
async def test_an_overseers_abort_that_fails_half_way_is_completed_and_never_gone_on_from(
    tmp_path: Path, tools: list[Tool]
) -> None:
    shop, log = Shop(), tmp_path / "log"

    async def refuses_tea(item: str) -> None:
        if item == "tea":
            raise RuntimeError("not now")

    shop.cancelling = refuses_tea
    async with process(log, shop, more=tools) as one:
        a = await booked(one)
        async with process(log, shop, more=tools) as two:
            with pytest.raises(TargetError, match="not now"):
                await (await two.oversee("A")).abort("by hand")
        assert shop.who("milk") == []  # half of it is gone
        await one.catch_up()
        await refused_to_go_on(a, "by hand")  # though its own process lives
        await tried(one)
        assert a.state == "aborting"
        shop.cancelling = None
        await one.resolve("shop:tea", "retry")
        await ended(one)
        assert a.state == "aborted"
    assert shop.items == {"tea": [], "milk": []}
    assert SENT == []


@pytest.mark.anyio
async def test_an_agents_own_abort_that_fails_is_tried_again_without_being_asked(
    tmp_path: Path, tools: list[Tool]
) -> None:
    shop, log = Shop(), tmp_path / "log"

    async def refuses(item: str) -> None:
        raise RuntimeError("not now")

    shop.cancelling = refuses
    async with process(log, shop, more=tools) as one:
        a = await booked(one)
        with pytest.raises(TargetError, match="not now"):
            await a.abort("because")
        await refused_to_go_on(a, "because")
        shop.cancelling = None
        await one.resolve("shop:milk", "retry")
        await ended(one)
    assert shop.items == {"tea": [], "milk": []}


@pytest.mark.anyio
async def test_a_dead_process_agent_is_ended_with_the_reason_of_the_abort_that_had_begun(
    tmp_path: Path, tools: list[Tool]
) -> None:
    shop, log = Shop(), tmp_path / "log"

    async def refuses(item: str) -> None:
        raise RuntimeError("not now")

    async with process(log, shop, more=tools, on_death="abort") as one:
        await booked(one)
        async with process(log, shop, more=tools) as two, process(log, shop, more=tools) as three:
            shop.cancelling = refuses
            await stop_for_long(one, log, two)
            await tried(two)
            await refused_to_go_on(await three.attach("A", force=True), REASON)
            shop.cancelling = None
            await three.resolve("shop:milk", "retry")
            reasons: list[str] = []
            three.observe(lambda event: reasons.append(getattr(event, "reason", "")))
            await ended(three)
            assert [reason for reason in reasons if reason] == [REASON]
        one.abandon()
    assert shop.items == {"tea": [], "milk": []}
