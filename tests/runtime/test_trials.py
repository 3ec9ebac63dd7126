"""A call that has failed is tried again when its premise moves, and taken back, for its agent to decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from coagent import DeclaredTool, Domain, ToolFailed, open_domain
from coagent.protocol.calls import CallId
from coagent.protocol.events import CallReexecuted, Event, NoticesDelivered

HELD: set[str] = set()
KEEPS: set[str] = set()
"""What the system does not give back."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def add(name: str) -> str:
    """Create an object."""
    HELD.add(name)
    return "added"


async def take_away(prepared: object, result: object, name: str) -> None:
    HELD.discard(name)


async def drop(name: str) -> str:
    """Delete an object that is there."""
    HELD.remove(name)
    return "dropped"


async def put_back(prepared: object, result: object, name: str) -> None:
    if name in KEEPS:
        raise OSError("no")
    HELD.add(name)


@pytest.fixture(autouse=True)
def emptied() -> None:
    HELD.clear()
    KEEPS.clear()


def opened(log: str) -> Domain:
    """Return a domain of a process that does nothing that it is not told to."""
    tools = [
        DeclaredTool(add, writes=["sys:{name}"], reverse=take_away),
        DeclaredTool(drop, writes=["sys:{name}"], reverse=put_back),
    ]
    domain = open_domain(log, tools=tools)
    domain.attends = False
    return domain


@pytest.fixture
async def domain() -> AsyncIterator[Domain]:
    async with opened("memory:") as one:
        yield one


@pytest.mark.anyio
async def test_a_call_that_would_succeed_now_is_told_and_has_no_effect(domain: Domain) -> None:
    a, b = await domain.join("A"), await domain.join("B")
    with pytest.raises(ToolFailed) as failed:
        await b.call("drop", name="x")
    await a.call("add", name="x")
    assert {"x"} == HELD
    assert [notice.premises for notice in await b.notifications()] == [[failed.value.call_id]]
    assert not b.effective(str(failed.value.call_id))


@pytest.mark.anyio
async def test_a_trial_that_cannot_be_taken_back_counts_as_made_and_a_person_decides(domain: Domain) -> None:
    a, b = await domain.join("A"), await domain.join("B")
    with pytest.raises(ToolFailed) as failed:
        await b.call("drop", name="x")
    dropped = CallId(str(failed.value.call_id))
    KEEPS.add("x")
    await a.call("add", name="x")
    assert set() == HELD
    assert list(domain.kernel.stuck) == ["sys:x"]
    told = [notice.text for notice in await b.notifications()]
    assert any("was tried again and could not be taken back" in text for text in told)
    assert b.effective(dropped)
    assert b.result(dropped) == "dropped"
    KEEPS.clear()
    await domain.resolve("sys:x", "retry")
    await b.undo(dropped)
    assert {"x"} == HELD
    for agent in (a, b):
        assert (await agent.finish(wait=True)).state == "committed"


@pytest.mark.anyio
async def test_who_has_not_heard_yet_that_a_trial_stands_is_told_so_though_a_person_was_faster(
    domain: Domain,
) -> None:
    a, b = await domain.join("A"), await domain.join("B")
    with pytest.raises(ToolFailed) as failed:
        await b.call("drop", name="x")
    KEEPS.add("x")
    await a.call("add", name="x")
    await domain.resolve("sys:x", "retry")
    [notice] = await b.notifications()
    assert notice.premises == [failed.value.call_id]
    assert notice.after == "dropped"
    assert "had failed, was tried again, and stands now" in notice.text


@pytest.mark.anyio
async def test_a_run_is_taken_back_of_a_call_whose_agent_hears_by_another_process_that_it_had_failed(
    tmp_path: Path,
) -> None:
    log = f"sqlite:{tmp_path / 'log'}"
    async with opened(log) as one, opened(log) as two:
        a, b = await one.join("A"), await two.join("B")
        added = await a.call("add", name="x")
        dropped = await b.call("drop", name="x")
        await one.catch_up()
        await a.undo(added.call_id)
        append, told = one._opened.log.append, []

        async def appending(events: Sequence[Event]) -> None:
            again = any(isinstance(event, CallReexecuted) for event in events)
            if again and not told:
                told.append(NoticesDelivered(b.rank, (dropped.call_id,)))
                await two._opened.parts.recorder.record(lambda: told[0])
            await append(events)

        one._opened.log.append = appending  # type: ignore[method-assign]
        await a.call("add", name="x")
        await one.settle()
        assert told
        assert {"x"} == HELD
        assert not b.effective(dropped.call_id)
        assert [notice.premises for notice in await b.notifications()] == [[dropped.call_id]]
