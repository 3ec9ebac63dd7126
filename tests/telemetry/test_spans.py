"""Spans of agents and calls: names, attributes and parents are those of the conventions."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from looked import TOOLS, Seen, id_of, links, looked_at, parent_of
from opentelemetry.trace import SpanKind, StatusCode

import coagent
from coagent import ConfigurationError, ToolFailed, UnknownTool
from coagent.telemetry import instrument
from coagent.telemetry.book import Book

pytestmark = pytest.mark.anyio


async def test_an_agent_is_a_span_with_its_calls_in_it() -> None:
    async with looked_at() as (domain, seen):
        a = await domain.join("A")
        await a.call("get", key="kv:x")
        await a.call("put", key="kv:x", value=2)
        assert (await a.finish()).state == "committed"
        agent = seen.the("invoke_agent A")
    assert agent.kind is SpanKind.INTERNAL
    assert parent_of(agent) is None
    assert dict(agent.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "A",
        "coagent.agent.rank": 0,
        "coagent.agent.order": 0,
        "coagent.agent.outcome": "committed",
        "coagent.domain": "memory:",
        "coagent.protocol": "mtpo",
        "coagent.call.count": 2,
        "coagent.notice.count": 0,
        "coagent.reexecution.count": 0,
    }
    assert agent.status.status_code is StatusCode.UNSET
    call = seen.the("execute_tool put")
    assert call.kind is SpanKind.INTERNAL
    assert parent_of(call) == id_of(agent)
    assert dict(call.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "put",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "A.2",
        "gen_ai.agent.name": "A",
        "coagent.agent.rank": 0,
        "coagent.agent.order": 0,
        "coagent.call.id": "A.2",
        "coagent.call.status": "done",
        "coagent.domain": "memory:",
        "coagent.protocol": "mtpo",
        "coagent.run": "call",
    }


async def test_a_span_around_a_call_is_its_parent_and_the_agent_is_linked() -> None:
    async with looked_at() as (domain, seen):
        a = await domain.join("A")
        tracer = seen.tracers.get_tracer("framework")
        with tracer.start_as_current_span("step") as step:
            await a.call("get", key="kv:x")
        await a.abort()
    call = seen.the("execute_tool get")
    assert parent_of(call) == step.get_span_context().span_id
    assert links(call) == {"agent": [id_of(seen.the("invoke_agent A"))]}


async def test_where_an_agent_joins_within_a_span_that_is_the_agents_parent() -> None:
    async with looked_at() as (domain, seen):
        tracer = seen.tracers.get_tracer("framework")
        with tracer.start_as_current_span("session") as session:
            a = await domain.join("A")
            await a.call("get", key="kv:x")
        await a.abort()
    agent = seen.the("invoke_agent A")
    assert parent_of(agent) == session.get_span_context().span_id
    assert parent_of(seen.the("execute_tool get")) == id_of(agent)


async def test_what_already_traces_the_tool_is_the_calls_span_and_that_of_no_other() -> None:
    traced = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get"}
    async with looked_at() as (domain, seen):
        a = await domain.join("A")
        tracer = seen.tracers.get_tracer("framework")
        with tracer.start_as_current_span("execute_tool get", attributes=traced):
            await a.call("get", key="kv:x")
            await a.call("get", key="kv:x")
            await a.call("put", key="kv:x", value=3)
        await a.abort()
    outer = seen.of_call("A.1")
    assert parent_of(outer) is None
    assert (outer.attributes or {})["coagent.agent.rank"] == 0
    assert [parent_of(seen.of_call(one)) for one in ("A.2", "A.3")] == [id_of(outer)] * 2
    assert len(seen.named("execute_tool get")) == 2


async def test_what_a_tool_traces_is_within_its_call() -> None:
    seen = Seen()

    @coagent.tool
    async def traced(state: coagent.State) -> int:
        with seen.tracers.get_tracer("library").start_as_current_span("GET"):
            return 1

    domain = coagent.open_domain(tools=[traced])
    instrument(domain, tracer_provider=seen.tracers, meter_provider=seen.meters)
    async with domain:
        a = await domain.join("A")
        await a.call("traced")
    assert parent_of(seen.the("GET")) == id_of(seen.the("execute_tool traced"))


async def test_a_tool_that_fails_is_an_error_without_what_it_says() -> None:
    async with looked_at({"kv:p": "poison"}) as (domain, seen):
        a = await domain.join("A")
        with pytest.raises(ToolFailed, match="hunter2"):
            await a.call("copy", source="kv:p", to="kv:q")
    call = seen.the("execute_tool copy")
    assert call.status.status_code is StatusCode.ERROR
    assert call.status.description is None
    assert not call.events
    attributes = dict(call.attributes or {})
    assert attributes["error.type"] == "ToolFailed"
    assert attributes["coagent.error.code"] == "tool_failed"
    assert attributes["coagent.call.status"] == "failed"
    assert attributes["coagent.call.id"] == "A.1"
    assert "hunter2" not in str(attributes)


async def test_a_name_that_is_no_tools_is_not_repeated() -> None:
    async with looked_at() as (domain, seen):
        a = await domain.join("A")
        with pytest.raises(UnknownTool):
            await a.call("whatever a model says")
    call = seen.the("execute_tool _OTHER")
    assert (call.attributes or {})["error.type"] == "UnknownTool"
    assert "whatever" not in str([dict(one.attributes or {}) for one in seen.spans])


async def test_staged_and_held_back_calls_say_so_and_the_staged_one_runs_at_commit() -> None:
    async with looked_at(order="early") as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        staged = await b.call("mail", text="hello")
        await b.call("get", key="kv:x")
        await a.call("put", key="kv:x", value=2)
        held = await b.call("post", text="now")
        assert (staged.status, held.status) == ("staged", "held_back")
        await b.undo("B.2")
        await a.finish()
        assert (await b.finish(wait=True)).state == "committed"
    of_staging = seen.of_call("B.1")
    assert (of_staging.attributes or {})["coagent.call.status"] == "staged"
    assert (seen.the("execute_tool post").attributes or {})["coagent.call.status"] == "held_back"
    ran = seen.of_call("B.1", run="staged")
    assert parent_of(ran) == id_of(seen.the("invoke_agent B"))
    assert links(ran) == {"call": [id_of(of_staging)]}
    undone = seen.the("undo get")
    assert (undone.attributes or {})["coagent.undo"] is True
    assert links(undone) == {"call": [id_of(seen.of_call("B.2"))]}


async def test_an_aborted_agent_is_an_error_and_what_is_open_at_the_end_is_none() -> None:
    async with looked_at() as (domain, seen):
        a, _ = await domain.join("A"), await domain.join("B")
        await a.abort("a reason that may say anything")
    a_span, b_span = seen.the("invoke_agent A"), seen.the("invoke_agent B")
    assert a_span.status.status_code is StatusCode.ERROR
    assert (a_span.attributes or {})["error.type"] == "aborted"
    assert "a reason" not in str(dict(a_span.attributes or {}))
    assert b_span.status.status_code is StatusCode.UNSET
    assert (b_span.attributes or {})["coagent.agent.outcome"] == "open"


async def test_a_promoted_agent_has_its_new_order() -> None:
    async with looked_at(order="early") as (domain, seen):
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("get", key="kv:x")
        await b.call("put", key="kv:y", value=1)
        assert (await b.finish(wait=True)).state == "committed"
    assert (seen.the("invoke_agent B").attributes or {})["coagent.agent.order"] < 0


async def test_a_domain_that_nobody_looks_at_has_plain_sessions_and_runners() -> None:
    async with coagent.open_domain(tools=TOOLS) as domain:
        a = await domain.join("A")
        assert type(a) is coagent.AgentSession
        assert {type(one).__module__ for one in a._work.runners.values()} == {
            "coagent.runtime.native",
            "coagent.runtime.declared",
        }


def test_a_domain_is_looked_at_once() -> None:
    domain = instrument(coagent.open_domain())
    with pytest.raises(ConfigurationError, match="already"):
        instrument(domain)


async def test_a_defect_in_telemetry_costs_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Book, *_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Book, "about", broken)
    monkeypatch.setattr(Book, "told", broken)
    with caplog.at_level(logging.WARNING):
        async with looked_at() as (domain, _):
            a, b = await domain.join("A"), await domain.join("B")
            await b.call("get", key="kv:x")
            await a.call("put", key="kv:x", value=2)
            assert [n.before for n in (await b.call("get", key="kv:y")).notifications] == [1]
            assert (await a.finish()).state == "committed"
            assert (await b.finish()).state == "committed"
    assert [one.name for one in caplog.records] == ["coagent.telemetry"]
