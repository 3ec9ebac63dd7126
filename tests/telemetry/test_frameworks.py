"""A framework that traces its agents itself: CoAgent's part of a tool call is on the framework's own span."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from looked import Seen, id_of, links, parent_of
from pydantic_ai import Agent, FunctionToolset
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai_player import scripted
from scripted_endpoint import Reply, call

import coagent
from coagent.gateways.frameworks.pydantic_ai import Declared, govern, run_to_commit
from coagent.telemetry import instrument

pytestmark = pytest.mark.anyio


async def script(turn: Any) -> AsyncIterator[Reply]:
    yield call("add", text="one")
    yield "done"


async def test_a_tool_call_of_pydantic_ai_is_one_span() -> None:
    seen, entries = Seen(), []
    toolset: FunctionToolset[None] = FunctionToolset()

    @toolset.tool_plain
    def add(text: str) -> int:
        """Add to the log."""
        entries.append(text)
        return len(entries)

    async def nothing(**_: Any) -> None:
        return None

    async def take_back(prepared: None, result: Any, **_: Any) -> None:
        entries.pop()

    declared = {"add": Declared(reads=["log:all"], writes=["log:all"], prepare=nothing, reverse=take_back)}
    domain = coagent.open_domain()
    async with instrument(domain, tracer_provider=seen.tracers, meter_provider=seen.meters):
        a = await domain.join("A")
        settings = InstrumentationSettings(tracer_provider=seen.tracers, meter_provider=seen.meters)
        agent = Agent(
            scripted(script),
            toolsets=[govern(toolset, domain, a, declared)],
            capabilities=[Instrumentation(settings)],
        )
        await run_to_commit(agent, a, "Add.")
    assert entries == ["one"]
    tool = seen.the("execute_tool add")
    attributes = dict(tool.attributes or {})
    assert attributes["coagent.call.id"] == "A.1"
    assert attributes["gen_ai.tool.call.id"] != "A.1", "it is the model's"
    (run,) = [span for span in seen.spans if id_of(span) == parent_of(tool)]
    assert run.instrumentation_scope is not None
    assert run.instrumentation_scope.name == "pydantic-ai"
    own = [span for span in seen.named("invoke_agent A") if "coagent.agent.rank" in (span.attributes or {})]
    assert links(tool) == {"agent": [id_of(one) for one in own]}
