"""What is the OpenAI Agents SDK's own: contexts, failure texts, hosted tools, approvals, memory, handoffs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from framework_world import World, governed
from openai_agents_player import UNTRACED, Scripted
from scripted_endpoint import Reply, call

import coagent
from agents import (
    Agent,
    RunContextWrapper,
    SQLiteSession,
    ToolOutputText,
    WebSearchTool,
    function_tool,
)
from coagent.gateways.frameworks.openai_agents import (
    LOCAL,
    Declared,
    govern_tools,
    guidance,
    run_to_commit,
)

pytestmark = pytest.mark.anyio


async def nothing(**_: Any) -> None:
    return None


async def idle(turn: Any) -> Reply:
    return "done"


def tools_of(world: World) -> Any:
    return [function_tool(function) for function in world.functions]


async def test_a_call_runs_again_with_its_own_agents_context() -> None:
    log: list[tuple[str, str]] = []

    @function_tool
    def add(context: RunContextWrapper[str], text: str) -> ToolOutputText:
        """Add to the log."""
        log.append((context.context, text))
        return ToolOutputText(text=f"{len(log)} entries")

    async def take_back(prepared: None, result: Any, **_: Any) -> None:
        assert result == f"{len(log)} entries"
        log.pop()

    declared = {"add": Declared(reads=["log:all"], writes=["log:all"], prepare=nothing, reverse=take_back)}
    seen: list[str] = []
    async with coagent.open_domain() as domain:
        a, b = await domain.join("A"), await domain.join("B")

        async def adds_late(turn: Any) -> AsyncIterator[Reply]:
            yield call("add", text="a")
            yield "done"

        async def adds_early(turn: Any) -> AsyncIterator[Reply]:
            turn = yield call("add", text="b")
            seen.append(turn.shown)
            of_a = Agent("A", tools=govern_tools([add], domain, a, declared), model=Scripted(adds_late))
            await run_to_commit(of_a, a, "Add.", context="key of A", run_config=UNTRACED)
            turn = yield "done"
            seen.append(turn.shown)
            yield "done"

        of_b = Agent("B", tools=govern_tools([add], domain, b, declared), model=Scripted(adds_early))
        await run_to_commit(of_b, b, "Add.", context="key of B", run_config=UNTRACED)
        assert sorted(domain.tools) == ["add", "add@0"]
    assert log == [("key of A", "a"), ("key of B", "b")]
    assert seen[0] == "1 entries\n[call B.1]"
    assert "2 entries" in seen[1]


async def test_agents_share_a_tool_of_one_function() -> None:
    world = World()
    async with governed(world, A=idle, B=idle) as parts:
        for part in parts:
            govern_tools(tools_of(world), *part.governed, part.declarations)
        assert sorted(parts[0].governed[0].tools) == ["append", "fail", "get", "mail", "put"]


async def test_a_failure_is_known_as_one_although_the_sdk_would_make_a_result_of_it() -> None:
    seen: list[str] = []

    @function_tool(timeout=0.01)
    async def hang() -> str:
        """Never answer."""
        await anyio.sleep_forever()
        return ""

    async def fails(turn: Any) -> AsyncIterator[Reply]:
        for name, arguments in (("fail", {"name": "thing"}), ("hang", {})):
            turn = yield call(name, **arguments)
            seen.append(turn.shown)
        yield "done"

    world = World()
    async with governed(world, A=fails) as parts:
        domain, session = parts[0].governed
        declared = {**world.declarations, "hang": Declared(reads=["kv:"])}
        tools = govern_tools([*tools_of(world), hang], domain, session, declared)
        await run_to_commit(
            Agent("A", tools=tools, model=Scripted(fails)), session, "Try.", run_config=UNTRACED
        )
    assert seen == [
        "error: tool 'fail' failed: ValueError: there is no thing\n[call A.1]",
        "error: tool 'hang' failed: TimeoutError\n[call A.2]",
    ]


async def test_what_cannot_be_governed_is_refused() -> None:
    async with coagent.open_domain() as domain:
        session = await domain.join("A")
        search = WebSearchTool()
        with pytest.raises(coagent.CoAgentError, match="Declare it as LOCAL"):
            govern_tools([search], domain, session)
        assert govern_tools([search], domain, session, {search.name: LOCAL})[0] is search
        with pytest.raises(coagent.CoAgentError, match="no tool 'got' to declare"):
            govern_tools([], domain, session, {"got": LOCAL})


async def test_an_interrupted_run_is_withdrawn() -> None:
    world = World()

    async def writes(turn: Any) -> AsyncIterator[Reply]:
        yield call("get", name="x")
        yield call("put", name="x", value="1")

    async with governed(world, A=writes) as parts:
        domain, session = parts[0].governed
        tools: Any = [function_tool(world.get), function_tool(world.put, needs_approval=True)]
        declared = {name: world.declarations[name] for name in ("get", "put")}
        agent = Agent("A", tools=govern_tools(tools, domain, session, declared), model=Scripted(writes))
        with pytest.raises(coagent.CoAgentError, match="to be approved"):
            await run_to_commit(agent, session, "Write.", run_config=UNTRACED)
        assert session.state == "aborted"


async def test_the_conversation_may_be_kept_in_the_sdks_session() -> None:
    world = World(geo="bad")
    seen: list[Any] = []

    async def copies(turn: Any) -> AsyncIterator[Reply]:
        turn = yield call("get", name="geo")
        yield call("put", name="canary", value=turn.shown.splitlines()[0])
        a = await domain.attach("A")
        await a.call("put", name="geo", value="good")
        await a.finish()
        turn = yield "copied"
        seen.append(turn)
        yield call("coagent_amend", call_id="B.2", arguments={"value": "good"})
        yield "copied again"

    memory = SQLiteSession("copies")
    async with governed(world, A=idle, B=copies) as parts:
        domain, b = parts[1].governed
        tools = govern_tools(tools_of(world), domain, b, world.declarations)
        worker = Agent("worker", instructions=guidance("B"), tools=tools, model=Scripted(copies))

        async def hands_over(turn: Any) -> AsyncIterator[Reply]:
            yield call("transfer_to_worker")

        manager = Agent("manager", handoffs=[worker], model=Scripted(hands_over))
        result = await run_to_commit(manager, b, "Copy geo.", memory=memory, run_config=UNTRACED)
        assert result.final_output == "copied again"
    assert world.values == {"geo": "good", "canary": "good"}
    assert seen[0].shown.startswith("[coagent notice]")
    assert "You are agent 'B'" in seen[0].system
    assert len(await memory.get_items()) == 12
    memory.close()
