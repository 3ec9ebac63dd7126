"""What is LangChain's own: `ainvoke` alone, tools with a runtime, other middleware, interrupts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from framework_world import World, governed
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, ToolCallLimitMiddleware
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langchain_player import scripted
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from scripted_endpoint import Reply, call

import coagent
from coagent.gateways.frameworks.langchain import LOCAL, CoAgentMiddleware, Declared, run_to_commit

pytestmark = pytest.mark.anyio


def tools_of(world: World) -> list[BaseTool]:
    return [StructuredTool.from_function(coroutine=function) for function in world.functions]


async def idle(turn: Any) -> Reply:
    return "done"


async def test_ainvoke_alone_ends_committed() -> None:
    world = World(geo="bad")
    seen: list[Any] = []

    async def copies(turn: Any) -> AsyncIterator[Reply]:
        seen.append(turn)
        turn = yield call("get", name="geo")
        yield call("put", name="canary", value=turn.shown.splitlines()[0])
        a = await domain.attach("A")
        await a.call("put", name="geo", value="good")
        await a.finish()
        turn = yield "copied"
        seen.append(turn)
        yield call("coagent_amend", call_id="B.2", arguments={"value": "good"})
        yield "copied again"

    async with governed(world, A=idle, B=copies) as parts:
        domain, b = parts[1].governed
        agent = create_agent(
            scripted(copies),
            tools_of(world),
            system_prompt="Be brief.",
            middleware=[CoAgentMiddleware(domain, b, world.declarations)],
        )
        state = await agent.ainvoke({"messages": [HumanMessage("Copy geo.")]})
        assert b.state == "committed"
    assert world.values == {"geo": "good", "canary": "good"}
    kinds = [message.type for message in state["messages"]]
    assert kinds == ["human", "ai", "tool", "ai", "tool", "ai", "human", "ai", "tool", "ai"]
    assert state["messages"][6].text.startswith("[coagent notice]")
    assert seen[1].shown == state["messages"][6].text
    assert seen[0].system.startswith("Be brief.\n\nOther agents work")
    assert set(seen[0].tools) == {"get", "put", "append", "mail", "fail", "coagent_undo", "coagent_amend"}


@dataclass
class Owner:
    key: str


async def nothing(**_: Any) -> None:
    return None


async def test_a_call_runs_again_with_its_own_agents_context() -> None:
    log: list[tuple[str, str, int]] = []

    @tool
    def add(text: str, runtime: ToolRuntime[Owner]) -> dict[str, int]:
        """Add to the log."""
        log.append((runtime.context.key, text, len(runtime.state["messages"])))
        return {"entries": len(log)}

    async def take_back(prepared: None, result: Any, **_: Any) -> None:
        log.pop()

    def adds(text: str) -> Any:
        async def script(turn: Any) -> AsyncIterator[Reply]:
            yield call("add", text=text)
            yield "done"

        return script

    declared = {"add": Declared(reads=["log:all"], writes=["log:all"], prepare=nothing, reverse=take_back)}
    async with coagent.open_domain() as domain:
        a, b = await domain.join("A"), await domain.join("B")
        of_a = create_agent(
            scripted(adds("a")),
            [add],
            middleware=[CoAgentMiddleware(domain, a, declared)],
            context_schema=Owner,
        )
        governing = CoAgentMiddleware(domain, b, declared)

        async def adds_early(turn: Any) -> AsyncIterator[Reply]:
            turn = yield call("add", text="b")
            assert turn.shown == '{"entries": 1}\n[call B.1]'
            await run_to_commit(of_a, a, "Add.", context=Owner("key of A"))
            yield "done"

        of_b = create_agent(scripted(adds_early), [add], middleware=[governing], context_schema=Owner)
        await run_to_commit(of_b, b, "Add.", context=Owner("key of B"))
        assert sorted(domain.tools) == ["add", "add@0"]
    assert log == [("key of A", "a", 2), ("key of B", "b", 2)]


async def test_agents_share_a_tool_of_one_function() -> None:
    world = World()
    async with governed(world, A=idle, B=idle) as parts:
        for part in parts:
            domain, session = part.governed
            governing = CoAgentMiddleware(domain, session, part.declarations)
            await run_to_commit(
                create_agent(scripted(idle), tools_of(world), middleware=[governing]), session, "Rest."
            )
        assert sorted(domain.tools) == ["append", "fail", "get", "mail", "put"]


async def test_a_local_tool_may_change_the_agents_state() -> None:
    @tool
    def plan(text: str, runtime: ToolRuntime) -> Command[Any]:
        """Plan."""
        return Command(update={"messages": [ToolMessage("planned", tool_call_id=runtime.tool_call_id)]})

    seen: list[str] = []

    async def plans(turn: Any) -> AsyncIterator[Reply]:
        turn = yield call("plan", text="x")
        seen.append(turn.shown)
        yield "done"

    for declared, expected in ((LOCAL, "planned"), (Declared(writes=["x:"], gate="wait"), "own state")):
        async with coagent.open_domain() as domain:
            session = await domain.join("A")
            governing = CoAgentMiddleware(domain, session, {"plan": declared})
            agent = create_agent(scripted(plans), [plan], middleware=[governing])
            await run_to_commit(agent, session, "Plan.")
        assert expected in seen.pop()


async def test_a_failed_call_is_an_error_of_the_tool_and_limits_end_the_agent() -> None:
    world = World()

    async def fails(turn: Any) -> AsyncIterator[Reply]:
        while True:
            yield call("fail", name="thing")

    async with governed(world, A=fails) as parts:
        domain, session = parts[0].governed
        agent = create_agent(
            scripted(fails),
            tools_of(world),
            middleware=[
                ToolCallLimitMiddleware(run_limit=2, exit_behavior="end"),
                CoAgentMiddleware(domain, session, world.declarations),
            ],
        )
        state = await run_to_commit(agent, session, "Try.")
        assert session.state == "committed"
    results = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert [message.status for message in results] == ["error"] * 3
    assert isinstance(state["messages"][-1], AIMessage)


async def test_a_person_may_approve_calls() -> None:
    world = World()

    async def writes(turn: Any) -> AsyncIterator[Reply]:
        yield call("put", name="x", value="1")
        yield "done"

    async with governed(world, A=writes) as parts:
        domain, session = parts[0].governed
        agent = create_agent(
            scripted(writes),
            tools_of(world),
            middleware=[
                HumanInTheLoopMiddleware(interrupt_on={"put": True}),
                CoAgentMiddleware(domain, session, world.declarations),
            ],
            checkpointer=InMemorySaver(),
        )
        config: Any = {"configurable": {"thread_id": "1"}}
        state = await agent.ainvoke({"messages": [HumanMessage("Write.")]}, config)
        assert "__interrupt__" in state
        assert (session.state, world.values) == ("active", {})
        await agent.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
        assert (session.state, world.values) == ("committed", {"x": "1"})


async def test_what_is_declared_must_be_there() -> None:
    world = World()

    async def gets(turn: Any) -> AsyncIterator[Reply]:
        yield call("get", name="x")
        yield "done"

    async with governed(world, A=gets) as parts:
        domain, session = parts[0].governed
        governing = CoAgentMiddleware(domain, session, {"got": LOCAL})
        agent = create_agent(scripted(gets), tools_of(world), middleware=[governing])
        with pytest.raises(coagent.CoAgentError, match="no tool 'got' to declare"):
            await run_to_commit(agent, session, "Get.")
        assert session.state == "aborted"
