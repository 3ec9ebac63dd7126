"""What is the Claude Agent SDK's own: schemas in three forms, the guidance, errors that the SDK swallows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from claude_agent_sdk import ClaudeAgentOptions, tool
from claude_agent_sdk_player import options_for, prefixed, require_cli, serving, tool_of
from framework_world import World, governed
from scripted_endpoint import Reply, call
from typing_extensions import TypedDict

import coagent
from coagent.gateways.frameworks.claude_agent_sdk import LOCAL, Declared, govern_tools, run_to_commit

pytestmark = pytest.mark.anyio


class Times(TypedDict, total=False):
    times: int


class Text(Times):
    text: Annotated[str, "What to say."]


async def idle(turn: Any) -> Reply:
    return "done"


def texts_of(content: Any) -> str:
    return "\n".join(part["text"] for part in content if part["type"] == "text")


async def test_tools_with_schemas_of_all_forms(tmp_path: Path) -> None:
    require_cli()
    seen: list[Any] = []
    said: list[str] = []

    @tool("say", "Say something.", Text)
    async def say_it(arguments: dict[str, Any]) -> dict[str, Any]:
        said.append(arguments["text"] * arguments.get("times", 1))
        return {"content": [{"type": "text", "text": "said"}, {"type": "text", "text": "loudly"}]}

    @tool("think", "Think.", {"type": "object", "properties": {}})
    async def think(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": "thought"}]}

    @tool("refuse", "Refuse.", {"why": str})
    async def refuse(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": f"refused: {arguments['why']}"}], "is_error": True}

    async def script(turn: Any) -> AsyncIterator[Reply]:
        seen.append(turn)
        for reply in (
            call("say", text="ha", times=2),
            call("say", text="ho"),
            call("think"),
            call("refuse", why="no"),
            call("refuse"),
            call("coagent_amend", call_id="[call A.1]", arguments={"times": 3}),
            call("coagent_amend", call_id="A.1", arguments={"times": "many"}),
        ):
            turn = yield reply
            seen.append(turn.result)
        yield "done"

    declared = {
        "say": Declared(writes=["said:"], gate="stage"),
        "think": LOCAL,
        "refuse": Declared(reads=["x:"]),
    }
    async with serving() as endpoint, coagent.open_domain() as domain:
        session = await domain.join("A")
        endpoint.script("model", prefixed(script, "mine"))
        tools = govern_tools([say_it, think, refuse], domain, session, declared, name="mine")
        options = options_for(endpoint, str(tmp_path), system_prompt="Be brief.")
        result = await run_to_commit("[script:model] Speak.", tools, options)
        assert result.result == "done"
        assert session.state == "committed"
    first, *results = seen
    assert sorted(name for name in first.tools if name.startswith("mcp")) == [
        f"mcp__mine__{name}" for name in ("coagent_amend", "coagent_undo", "refuse", "say", "think")
    ]
    system = texts_of(first.body["system"])
    assert "Be brief.\n\nOther agents work" in system
    assert "You are agent 'A'" in system
    assert said == ["hahaha", "ho"]  # at the commit, as amended
    assert results[0].text.startswith("staged")
    assert (results[2].text, results[2].is_error) == ("thought", False)
    assert (results[3].text, results[3].is_error) == ("error: refused: no\n[call A.3]", True)
    assert results[4].is_error
    assert (results[5].is_error, results[6].is_error) == (False, True)
    assert "times" in results[6].text


async def test_a_failure_that_no_model_can_mend_ends_the_run(tmp_path: Path) -> None:
    require_cli()
    world = World()
    async with serving() as endpoint, governed(world, A=idle) as parts:
        domain, session = parts[0].governed

        async def withdraw(text: str) -> str:
            """Have the agent's work withdrawn, as an operator would."""
            await session.abort(text)
            return "withdrawn"

        async def script(turn: Any) -> AsyncIterator[Reply]:
            yield call("put", name="x", value="1")
            yield call("withdraw", text="enough")
            yield call("put", name="y", value="1")
            yield "done"

        endpoint.script("model", prefixed(script, "coagent"))
        tools = govern_tools(
            [tool_of(one) for one in (world.put, withdraw)],
            domain,
            session,
            {"put": world.declarations["put"], "withdraw": LOCAL},
        )
        with pytest.raises(coagent.AgentNotActive):
            await run_to_commit("[script:model] Write.", tools, options_for(endpoint, str(tmp_path)))
        assert session.state == "aborted"
    assert world.values == {}


async def test_agents_share_a_tool_of_one_handler() -> None:
    world = World()
    tools = [tool_of(function) for function in world.functions]
    async with governed(world, A=idle, B=idle) as parts:
        for part in parts:
            govern_tools(tools, *part.governed, part.declarations)
        assert sorted(parts[0].governed[0].tools) == ["append", "fail", "get", "mail", "put"]


async def test_options() -> None:
    async with coagent.open_domain() as domain:
        tools = govern_tools([], domain, await domain.join("A"))
        preset: Any = {"type": "preset", "preset": "claude_code", "append": "Be brief."}
        made: Any = tools.options(ClaudeAgentOptions(system_prompt=preset, allowed_tools=["Read"]))
        assert made.allowed_tools == ["Read", "mcp__coagent"]
        assert made.system_prompt["append"].startswith("Be brief.\n\nOther agents")
        made = tools.options(ClaudeAgentOptions(system_prompt={"type": "custom", "prompt": "Hi."}))
        assert made.system_prompt["prompt"].startswith("Hi.\n\nOther agents")
        for options in (
            ClaudeAgentOptions(system_prompt={"type": "file", "path": "x"}),
            ClaudeAgentOptions(mcp_servers="servers.json"),
        ):
            with pytest.raises(coagent.CoAgentError, match="in a file"):
                tools.options(options)
        with pytest.raises(coagent.CoAgentError, match="no tool 'got' to declare"):
            govern_tools([], domain, await domain.join("B"), {"got": LOCAL})
