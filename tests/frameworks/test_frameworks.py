"""What holds in every framework: existing tools, governed in one line, make for a serial state."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from claude_agent_sdk_player import claude_agent_sdk
from framework_world import Framework, Part, World, governed, play
from langchain_player import langchain
from openai_agents_player import openai_agents
from pydantic_ai_player import pydantic_ai
from scripted_endpoint import Reply, Stage, call, say

import coagent
from coagent import State, tool
from coagent.gateways.frameworks.governed import Governed
from coagent.protocol.events import Said
from coagent.wording.repairs import PREFIXED

pytestmark = pytest.mark.anyio

NOTICE = "[coagent notice]"


@pytest.fixture(params=[pydantic_ai, langchain, openai_agents, claude_agent_sdk])
def framework(request: pytest.FixtureRequest) -> Any:
    return request.param


def call_ids(shown: str) -> list[str]:
    return re.findall(r"\[call (\S+)\]", shown)


def repairs(stage: Stage, after: str) -> Any:
    """A: puts a good image in when the cue comes."""

    async def script(turn: Any) -> AsyncIterator[Reply]:
        await stage.until(after)
        yield call("put", name="geo", value="good")
        stage.give("repaired")
        yield "repaired"

    return script


def copies(stage: Stage, seen: list[str]) -> Any:
    """B: reads the image, and writes what it has read to the canary once A has repaired it."""

    async def script(turn: Any) -> AsyncIterator[Reply]:
        turn = yield call("get", name="geo")
        value = turn.shown.splitlines()[0]
        stage.give("read")
        await stage.until("repaired")
        turn = yield call("put", name="canary", value=value)
        seen.append(turn.shown)
        if NOTICE in turn.shown:
            (own,) = call_ids(turn.shown)
            turn = yield call("coagent_amend", call_id=own, arguments={"value": "good"})
            seen.append(turn.shown)
        yield "copied"

    return script


async def test_without_coagent_there_is_the_anomaly(framework: Framework, stage: Stage) -> None:
    world = World(geo="bad")
    a, b = repairs(stage, "read"), copies(stage, [])
    await play(framework, stage, Part(a, world.functions), Part(b, world.functions))
    assert world.values == {"geo": "good", "canary": "bad"}


async def test_with_coagent_the_state_is_serial(framework: Framework, stage: Stage) -> None:
    world, seen = World(geo="bad"), []  # type: ignore[var-annotated]
    async with governed(world, A=repairs(stage, "read"), B=copies(stage, seen)) as parts:
        await play(framework, stage, *parts)
        assert [part.governed[1].state for part in parts] == ["committed"] * 2
    assert world.values == {"geo": "good", "canary": "good"}
    # The notice stands in front of the result, and the call's id after it.
    assert seen[0].startswith(NOTICE)
    assert seen[0].endswith("\n\nwritten\n[call B.2]")
    assert "B.1 get" in seen[0]
    assert seen[1] == "written\n[call B.2]"


async def test_what_a_model_says_beside_its_calls_is_on_record(framework: Framework, stage: Stage) -> None:
    world = World(geo="bad")
    heard: list[tuple[str, bool]] = []

    async def repairs_aloud(turn: Any) -> AsyncIterator[Reply]:
        yield [say("First I look.\nThen we shall see."), call("get", name="geo")]
        yield call("put", name="geo", value="good")
        yield "It is **good** now."

    async with governed(world, A=repairs_aloud) as parts:
        parts[0].governed[0].observe(
            lambda event: heard.append((event.text, event.goal)) if isinstance(event, Said) else None
        )
        await play(framework, stage, *parts)
    goal = [text for text, is_goal in heard if is_goal]
    assert len(goal) == 1
    assert parts[0].goal in goal[0]
    assert [text for text, is_goal in heard if not is_goal] == ["First I look.", "It is **good** now."]


async def test_an_agent_that_had_finished_is_resumed(framework: Framework, stage: Stage) -> None:
    world = World(geo="bad")
    seen: list[str] = []

    async def copies_early(turn: Any) -> AsyncIterator[Reply]:
        turn = yield call("get", name="geo")
        turn = yield call("put", name="canary", value=turn.shown.splitlines()[0])
        turn = yield "copied"
        seen.append(turn.shown)
        yield call("coagent_amend", call_id="B.2", arguments={"value": "good"})
        yield "copied again"

    async with governed(world, A=repairs(stage, "finished"), B=copies_early) as parts:
        session: Any = parts[1].session
        finish = session.finish

        async def finish_noted(**options: Any) -> Any:
            stage.give("finished")
            return await finish(**options)

        session.finish = finish_noted
        await play(framework, stage, *parts)
        assert session.state == "committed"
    assert world.values == {"geo": "good", "canary": "good"}
    assert NOTICE in seen[0]
    assert "You had finished" in seen[0]


async def test_late_calls_reverse_the_earlier_ones_which_run_again(
    framework: Framework, stage: Stage
) -> None:
    world = World(log="")

    async def first(turn: Any) -> AsyncIterator[Reply]:
        await stage.until("appended")
        yield call("append", name="log", text="a")
        yield "done"

    async def second(turn: Any) -> AsyncIterator[Reply]:
        yield call("append", name="log", text="b")
        stage.give("appended")
        yield "done"

    async with governed(world, A=first, B=second) as parts:
        await play(framework, stage, *parts)
    assert world.values == {"log": "ab"}
    assert world.history == ["append b", "restore ''", "append a", "append b"]


async def test_parallel_calls_run_one_after_another(framework: Framework, stage: Stage) -> None:
    world = World()
    seen: list[str] = []

    async def appends(turn: Any) -> AsyncIterator[Reply]:
        turn = yield [call("append", name="log", text=text) for text in "abc"]
        seen.append(turn.shown)
        yield "done"

    async with governed(world, A=appends) as parts:
        await play(framework, stage, *parts)
    assert world.values == {"log": "abc"}
    assert call_ids(seen[0]) == ["A.1", "A.2", "A.3"]


async def test_an_undeclared_tool_waits_for_the_commit(framework: Framework, stage: Stage) -> None:
    world = World()
    seen: list[tuple[str, list[str]]] = []

    async def mails(turn: Any) -> AsyncIterator[Reply]:
        turn = yield call("mail", text="hello")
        seen.append((turn.shown, list(world.sent)))
        turn = yield call("mail", text="again")
        yield call("coagent_undo", call_id=call_ids(turn.shown)[0])
        yield "done"

    async with governed(world, A=mails) as parts:
        await play(framework, stage, *parts)
    ((shown, sent),) = seen
    assert shown.startswith("staged: ")
    assert shown.endswith("[call A.1]")
    assert sent == []
    assert world.sent == ["hello"]


async def test_a_tool_that_raises_is_a_failed_call(framework: Framework, stage: Stage) -> None:
    world = World(geo="good")
    seen: list[str] = []

    async def tries(turn: Any) -> AsyncIterator[Reply]:
        turn = yield call("fail", name="thing")
        seen.append(turn.shown)
        turn = yield call("get")
        seen.append(turn.shown)
        yield call("put", name="geo", value="better")
        yield "done"

    async with governed(world, A=tries) as parts:
        await play(framework, stage, *parts)
        assert parts[0].governed[1].state == "committed"
    assert "there is no thing" in seen[0]
    assert seen[0].endswith("[call A.1]")
    assert "name" in seen[1]
    assert world.values == {"geo": "better"}


async def test_the_domains_own_tools_are_offered(framework: Framework, stage: Stage) -> None:
    @tool
    async def reserve(state: State, item: str, count: int) -> str:
        """Reserve stock."""
        free = await state.get(f"stock:{item}")
        await state.put(f"stock:{item}", free - count)
        return f"{free - count} left"

    seen: list[str] = []

    async def reserves(turn: Any) -> AsyncIterator[Reply]:
        turn = yield call("reserve", item="bolts", count=4)
        seen.append(turn.shown)
        turn = yield call("reserve", item="bolts", count=5)
        seen.append(turn.shown)
        turn = yield call("coagent_undo", call_id="A.1")
        seen.append(turn.shown)
        yield "done"

    stock = coagent.targets.Memory({"stock:bolts": 10})
    world = World()
    async with coagent.open_domain(targets=[stock], tools=[reserve]) as domain:
        part = Part(reserves, world.functions, world.declarations, domain, await domain.join("A"))
        await play(framework, stage, part)
    assert seen[:2] == ["6 left\n[call A.1]", "1 left\n[call A.2]"]
    assert seen[2] == "A.1 is undone.\nyour call A.2 returns now: 5 left"
    assert stock.snapshot() == {"stock:bolts": 5}


async def test_what_fails_withdraws_the_agents_work(framework: Framework, stage: Stage) -> None:
    world = World(geo="bad")

    async def breaks(turn: Any) -> AsyncIterator[Reply]:
        yield call("put", name="geo", value="worse")
        raise RuntimeError("the model is gone")

    async with governed(world, A=breaks) as parts:
        with pytest.raises(Exception, match="the model is gone"):
            await framework(parts[0], stage)
        assert parts[0].governed[1].state == "aborted"
    assert world.values == {"geo": "bad"}


async def test_what_an_agent_has_brought_along_is_offered_to_nobody_else() -> None:
    """By what the tool says of itself, whatever its class is."""

    @tool
    async def own(state: State) -> None:
        """Do nothing."""

    @tool
    async def brought(state: State) -> None:
        """Do nothing."""

    brought.origin = "somebody's"
    async with coagent.open_domain("memory:", tools=[own, brought]) as domain:
        offered = Governed(domain, await domain.join("A")).offered
        assert [one.name for one in offered] == ["own", PREFIXED.undo, PREFIXED.amend]
