"""What is Pydantic AI's own: dependencies, validators, several agents with tools of one name, streaming."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from framework_world import World, governed
from pydantic import BaseModel
from pydantic_ai import Agent, FunctionToolset, ModelRetry, RunContext, ToolReturn
from pydantic_ai_player import scripted
from scripted_endpoint import Reply, call

import coagent
from coagent.gateways.frameworks.pydantic_ai import LOCAL, Declared, govern, run_to_commit

pytestmark = pytest.mark.anyio


class Entry(BaseModel):
    text: str
    times: int = 1


async def nothing(**_: Any) -> None:
    return None


def appends(text: str, seen: list[Any]) -> Any:
    async def script(turn: Any) -> AsyncIterator[Reply]:
        seen.append(turn)
        turn = yield call("add", text=text)
        seen.append(turn)
        yield "done"

    return script


async def idle(turn: Any) -> Reply:
    return "done"


async def test_a_call_runs_again_with_its_own_agents_dependencies() -> None:
    log: list[tuple[str, str]] = []
    toolset: FunctionToolset[str] = FunctionToolset()

    @toolset.tool
    def add(ctx: RunContext[str], entry: Entry) -> ToolReturn:
        """Add to the log."""
        log.append((ctx.deps, entry.text * entry.times))
        return ToolReturn({"entries": len(log)})

    async def take_back(prepared: None, result: Any, **_: Any) -> None:
        log.pop()

    declared = {"add": Declared(reads=["log:all"], writes=["log:all"], prepare=nothing, reverse=take_back)}
    seen: list[Any] = []
    async with coagent.open_domain() as domain:
        a, b = await domain.join("A"), await domain.join("B")
        of_b = Agent(
            scripted(appends("b", seen)), deps_type=str, toolsets=[govern(toolset, domain, b, declared)]
        )
        await of_b.run("Add.", deps="key of B")
        of_a = Agent(
            scripted(appends("a", [])), deps_type=str, toolsets=[govern(toolset, domain, a, declared)]
        )
        await run_to_commit(of_a, a, "Add.", deps="key of A")
        # B's run is over; its call was reversed and ran again after A's.
        assert log == [("key of A", "a"), ("key of B", "b")]
        assert (await b.finish(wait=True)).state == "notified"
        assert sorted(domain.tools) == ["add", "add@0"]
    assert seen[0].tools == ["add", "coagent_undo", "coagent_amend"]
    assert "You are agent 'B'" in seen[0].system
    assert seen[1].shown == '{"entries":1}\n[call B.1]'


async def test_agents_share_a_tool_of_one_function() -> None:
    world = World()
    async with governed(world, A=None, B=None) as parts:  # type: ignore[arg-type]
        for part in parts:
            domain, session = part.governed
            toolset: Any = FunctionToolset(part.functions)
            governing = govern(toolset, domain, session, part.declarations)
            await Agent(scripted(idle), toolsets=[governing]).run("Rest.")
        assert sorted(domain.tools) == ["append", "fail", "get", "mail", "put"]


async def test_a_local_tool_is_left_alone() -> None:
    async def add(entry: Entry) -> str:
        """Add."""
        if entry.times > 1:
            raise ModelRetry("once is enough")
        return "added"

    seen: list[Any] = []

    async def script(turn: Any) -> AsyncIterator[Reply]:
        for times in (2, 1):
            turn = yield call("add", entry={"text": "x", "times": times})
            seen.append(turn.shown)
        yield "done"

    async with coagent.open_domain() as domain:
        session = await domain.join("A")
        toolset: Any = FunctionToolset([add])
        agent = Agent(scripted(script), toolsets=[govern(toolset, domain, session, {"add": LOCAL})])
        await run_to_commit(agent, session, "Add.")
        assert session.calls == []
    assert seen == ["once is enough", "added"]


async def test_what_is_declared_must_be_there() -> None:
    async with coagent.open_domain() as domain:
        toolset = govern(FunctionToolset([World().get]), domain, await domain.join("A"), {"got": LOCAL})
        with pytest.raises(coagent.CoAgentError, match=r"no tool 'got' to declare. The agent has: get"):
            await Agent(scripted(idle), toolsets=[toolset]).run("Rest.")


async def test_a_governed_tool_cannot_call_a_governed_one() -> None:
    world = World()
    async with governed(world, A=None) as parts:  # type: ignore[arg-type]
        domain, session = parts[0].governed

        async def outer(turn: Any) -> AsyncIterator[Reply]:
            yield call("delegate")

        async def inner(turn: Any) -> AsyncIterator[Reply]:
            yield call("put", name="x", value="1")

        toolset: Any = FunctionToolset(world.functions)
        worker = Agent(scripted(inner), toolsets=[govern(toolset, domain, session, world.declarations)])

        async def delegate() -> str:
            """Let another agent do it."""
            return (await worker.run("Do it.")).output

        declared = {"delegate": Declared(writes=["all:"], gate="wait")}
        manager = Agent(
            scripted(outer), toolsets=[govern(FunctionToolset([delegate]), domain, session, declared)]
        )
        seen = await manager.run("Do it.")
        assert "Declare the outer one as LOCAL" in str(seen.all_messages())
    assert world.values == {}
