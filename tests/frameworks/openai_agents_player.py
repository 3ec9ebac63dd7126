"""Plays a part with an agent of the OpenAI Agents SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from agents.testing import assistant_message, function_call
from framework_world import Part
from scripted_endpoint import Player, Script, Stage, blocks

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from coagent.gateways.frameworks.openai_agents import govern_tools, guidance, run_to_commit

UNTRACED = RunConfig(tracing_disabled=True)


class Scripted(Model):
    """A model that a script plays."""

    def __init__(self, script: Script) -> None:
        self._player = Player(script)

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: Any,
        *args: Any,
        **options: Any,
    ) -> ModelResponse:
        items = [{"role": "user", "content": input}] if isinstance(input, str) else list(input)
        said = [
            index
            for index, item in enumerate(items)
            if item.get("role") == "assistant" or item.get("type") == "function_call"
        ]
        new = items[said[-1] + 1 :] if said else items
        turn: Any = SimpleNamespace(
            shown="\n".join(str(item.get("output", item.get("content"))) for item in new),
            tools=[tool.name for tool in tools],
            system=system_instructions,
        )
        output = [
            assistant_message(block["text"], item_id=f"message_{len(items)}")
            if block["type"] == "text"
            else function_call(block["name"], block["input"], call_id=f"call_{len(items)}_{index}")
            for index, block in enumerate(blocks(await self._player._reply_async(turn)))
        ]
        return ModelResponse(output, Usage(), None)

    def stream_response(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


async def openai_agents(part: Part, stage: Stage) -> None:
    tools: Any = [function_tool(function, failure_error_function=None) for function in part.functions]
    model = Scripted(part.script)
    if part.session is None:
        await Runner.run(Agent("agent", tools=tools, model=model), part.goal, run_config=UNTRACED)
        return
    domain, session = part.governed
    agent = Agent(
        session.name,
        instructions=guidance(session.name),
        tools=govern_tools(tools, domain, session, part.declarations),
        model=model,
    )
    await run_to_commit(agent, session, part.goal, run_config=UNTRACED)
