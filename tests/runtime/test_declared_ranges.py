"""What a declared call found in a range is known as long as it rests on it: no target can say it again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coagent import DeclaredTool, Domain, open_domain
from coagent.protocol.events import CallBegun, CallRan, Event

HELD: dict[str, int] = {}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def write(name: str, value: int) -> str:
    """Write an object."""
    HELD[name] = value
    return "ok"


async def prepare(**_: object) -> dict[str, int]:
    return dict(HELD)


async def reverse(prepared: dict[str, int], result: object, **_: object) -> None:
    HELD.clear()
    HELD.update(prepared)


async def read(name: str) -> int | None:
    """Read an object."""
    return HELD.get(name)


async def add_up() -> str:
    """Write the sum of all objects, and do not tell it."""
    HELD["sum"] = sum(HELD.values())
    return "ok"


@pytest.fixture
async def domain() -> AsyncIterator[Domain]:
    HELD.clear()
    tools = [
        DeclaredTool(read, reads=["sys:{name}"]),
        DeclaredTool(write, writes=["sys:{name}"], prepare=prepare, reverse=reverse),
        DeclaredTool(add_up, writes=["sys:"], prepare=prepare, reverse=reverse),
    ]
    async with open_domain("memory:", tools=tools) as opened:
        yield opened


@pytest.mark.anyio
async def test_what_an_agent_left_in_a_range_is_no_news_when_it_has_committed(domain: Domain) -> None:
    a, b = await domain.join("A"), await domain.join("B")
    await a.call("write", name="x", value=1)
    await b.call("add_up")
    await a.finish(wait=True)
    events: list[Event] = []
    domain.observe(events.append)
    assert (await b.call("read", name="x")).value == 1
    assert [type(event) for event in events] == [CallBegun, CallRan], "nothing in the range has changed"
    assert (await b.finish(wait=True)).state == "committed"


@pytest.mark.anyio
async def test_who_saw_what_was_made_of_a_range_is_told_when_something_else_lies_in_it(
    domain: Domain,
) -> None:
    a, b, c = [await domain.join(name) for name in ("A", "B", "C")]
    written = await a.call("write", name="x", value=1)
    await b.call("add_up")
    assert (await c.call("read", name="sum")).value == 1
    await a.amend(written.call_id, value=5)
    assert [(notice.before, notice.after) for notice in await c.notifications()] == [(1, 5)]
