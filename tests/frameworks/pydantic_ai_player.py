"""Plays a part with an agent of Pydantic AI."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from framework_world import Part
from pydantic_ai import Agent, FunctionToolset
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_endpoint import Player, Script, Stage, blocks

from coagent.gateways.frameworks.pydantic_ai import govern, run_to_commit


def scripted(script: Script) -> FunctionModel:
    """Return a model that a script plays."""
    player = Player(script)

    async def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        last = messages[-1]
        assert isinstance(last, ModelRequest)
        shown = "\n".join(
            str(part.content)
            for part in last.parts
            if isinstance(part, ToolReturnPart | UserPromptPart | RetryPromptPart)
        )
        turn: Any = SimpleNamespace(
            shown=shown, tools=[tool.name for tool in info.function_tools], system=str(info.instructions)
        )
        said = blocks(await player._reply_async(turn))
        return ModelResponse(
            [
                TextPart(block["text"])
                if block["type"] == "text"
                else ToolCallPart(block["name"], block["input"])
                for block in said
            ]
        )

    return FunctionModel(reply)


async def pydantic_ai(part: Part, stage: Stage) -> None:
    toolset: Any = FunctionToolset(part.functions)
    if part.session is None:
        await Agent(scripted(part.script), toolsets=[toolset]).run(part.goal)
        return
    domain, session = part.governed
    agent = Agent(scripted(part.script), toolsets=[govern(toolset, domain, session, part.declarations)])
    await run_to_commit(agent, session, part.goal)
