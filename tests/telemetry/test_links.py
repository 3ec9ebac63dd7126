"""Notices are links from what carries them to what caused them; so are runs on a new prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from looked import TOOLS, Seen, id_of, links, looked_at, parent_of
from opentelemetry.trace import StatusCode

import coagent
from coagent.protocol.keys import Key
from coagent.telemetry import instrument

pytestmark = pytest.mark.anyio


async def test_a_contended_pair_writer_reader_told_and_amended() -> None:
    async with looked_at() as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("get", key="kv:x")
        await b.call("put", key="kv:y", value=1)
        await a.call("put", key="kv:x", value=2)
        told = await b.call("get", key="kv:z")
        assert [n.premises for n in told.notifications] == [["B.1"]]
        await b.amend("B.2", value=2)
        await a.finish()
        assert (await b.finish()).state == "committed"
    write, first = seen.of_call("A.1"), seen.of_call("B.1")
    carrier, amended = seen.of_call("B.3"), seen.of_call("B.2", run="amend")
    assert links(carrier) == {"notice": [id_of(write)]}
    (link,) = carrier.links
    assert dict(link.attributes or {}) == {
        "coagent.link": "notice",
        "coagent.notice.cause.agent": "A",
        "coagent.notice.cause.call.id": "A.1",
        "coagent.notice.kinds": ("result_changed",),
        "coagent.notice.premises": ("B.1",),
    }
    assert (carrier.attributes or {})["coagent.notice.count"] == 1
    assert (carrier.attributes or {})["coagent.notice.causes"] == ("A.1",)
    again = seen.of_call("B.1", run="reexecution")
    assert (again.attributes or {})["coagent.reexecution"] is True
    assert parent_of(again) == id_of(seen.the("invoke_agent B"))
    assert links(again) == {"call": [id_of(first)], "cause": [id_of(write)]}
    assert amended.name == "execute_tool put"
    assert links(amended) == {"call": [id_of(seen.of_call("B.2"))]}
    assert parent_of(write) == id_of(seen.the("invoke_agent A"))
    assert (seen.the("invoke_agent B").attributes or {})["coagent.notice.count"] == 1


async def test_a_notice_that_comes_at_the_end_is_a_link_of_the_agents_span() -> None:
    async with looked_at() as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("get", key="kv:x")
        await a.call("put", key="kv:x", value=2)
        assert (await b.finish()).state == "notified"
        await a.call("put", key="kv:x", value=3)
        assert len(await b.notifications()) == 1
        await a.finish()
        await b.finish()
    assert links(seen.the("invoke_agent B")) == {
        "notice": [id_of(seen.of_call("A.1")), id_of(seen.of_call("A.2"))]
    }


async def test_what_an_amendment_or_an_undo_causes_leads_to_it() -> None:
    async with looked_at() as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("put", key="kv:x", value=2)
        await b.call("get", key="kv:x")
        await a.amend("A.1", value=3)
        amended = await b.call("get", key="kv:y")
        await a.undo("A.1")
        undone = await b.call("get", key="kv:y")
        assert [len(one.notifications) for one in (amended, undone)] == [1, 1]
    assert links(seen.of_call("B.2")) == {"notice": [id_of(seen.of_call("A.1", run="amend"))]}
    assert links(seen.of_call("B.3")) == {"notice": [id_of(seen.of_call("A.1", run="undo"))]}


async def test_a_call_that_fails_carries_its_notices_too() -> None:
    async with looked_at({"kv:x": 1, "kv:p": "poison"}) as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("get", key="kv:x")
        await a.call("put", key="kv:x", value=2)
        with pytest.raises(Exception, match="poison"):
            await b.call("copy", source="kv:p", to="kv:q")
    failed = seen.the("execute_tool copy")
    assert failed.status.status_code is StatusCode.ERROR
    assert links(failed) == {"notice": [id_of(seen.of_call("A.1"))]}


async def test_a_reexecution_that_fails_is_an_error() -> None:
    async with looked_at() as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("copy", source="kv:x", to="kv:y")
        await a.call("put", key="kv:x", value="poison")
        await b.notifications()
    again = seen.of_call("B.1", run="reexecution")
    assert again.status.status_code is StatusCode.ERROR
    assert (again.attributes or {})["error.type"] == "ToolFailed"


async def test_what_somebody_outside_has_changed_is_a_notice_without_a_link() -> None:
    async with looked_at() as (domain, seen):
        b = await domain.join("B")
        await b.call("get", key="kv:x")
        target = domain.targets.of("kv:x")
        await target.put(Key("kv:x"), 5, expected=[1])
        await domain.look("kv:x")
        assert len((await b.call("get", key="kv:y")).notifications) == 1
    carrier = seen.of_call("B.2")
    assert links(carrier) == {}
    assert (carrier.attributes or {})["coagent.notice.causes"] == ("outside",)


async def test_a_write_can_be_linked_to_before_its_call_returns() -> None:
    seen, go_on = Seen(), anyio.Event()

    class Slow(coagent.targets.Memory):
        """Takes its time, for which the call that has written waits."""

        instant = False

        async def put(self, key: Key, value: Any, *, expected: Sequence[Any]) -> None:
            await go_on.wait()
            await super().put(key, value, expected=expected)

    made = coagent.open_domain(targets=[Slow({"kv:x": 1})], tools=TOOLS)
    instrument(made, tracer_provider=seen.tracers, meter_provider=seen.meters)
    returned: list[str] = []
    async with made as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("get", key="kv:x")

        async def write() -> None:
            returned.append((await a.call("put", key="kv:x", value=2)).call_id)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while not b.notified:
                await anyio.lowlevel.checkpoint()
            told = await b.call("get", key="kv:z")
            assert [one.cause.call_id for one in told.notifications] == ["A.1"]
            assert not returned
            go_on.set()
    assert links(seen.of_call("B.2")) == {"notice": [id_of(seen.of_call("A.1"))]}
