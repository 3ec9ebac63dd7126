"""A call that has failed is tried again when its premise moves, and taken back, for its agent to decide."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coagent import DeclaredTool, Domain, ToolFailed, open_domain
from coagent.protocol.calls import CallId

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


@pytest.fixture
async def domain() -> AsyncIterator[Domain]:
    HELD.clear()
    KEEPS.clear()
    tools = [
        DeclaredTool(add, writes=["sys:{name}"], reverse=take_away),
        DeclaredTool(drop, writes=["sys:{name}"], reverse=put_back),
    ]
    async with open_domain("memory:", tools=tools) as opened:
        yield opened


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
