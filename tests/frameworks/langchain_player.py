"""Plays a part with an agent of LangChain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from framework_world import Part
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from scripted_endpoint import Player, Script, Stage, blocks

from coagent.gateways.frameworks.langchain import CoAgentMiddleware, run_to_commit


class Scripted(BaseChatModel):
    """A model that a script plays."""

    player: Any
    tools: list[str] | None = None

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        self.tools = [tool.name for tool in tools]
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        raise AssertionError("CoAgent's middleware is asynchronous")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        said = [index for index, message in enumerate(messages) if isinstance(message, AIMessage)]
        new = messages[said[-1] + 1 :] if said else messages
        system = [message.text for message in messages if isinstance(message, SystemMessage)]
        turn: Any = SimpleNamespace(
            shown="\n".join(message.text for message in new if not isinstance(message, SystemMessage)),
            tools=self.tools,
            system="\n".join(system),
        )
        reply = blocks(await self.player._reply_async(turn))
        message = AIMessage(
            "".join(block["text"] for block in reply if block["type"] == "text"),
            tool_calls=[
                {
                    "name": block["name"],
                    "args": block["input"],
                    "id": f"call_{len(messages)}_{index}",
                    "type": "tool_call",
                }
                for index, block in enumerate(reply)
                if block["type"] == "tool_use"
            ],
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def scripted(script: Script) -> Scripted:
    return Scripted(player=Player(script))


async def langchain(part: Part, stage: Stage) -> None:
    tools = [StructuredTool.from_function(coroutine=function) for function in part.functions]
    if part.session is None:
        await create_agent(scripted(part.script), tools).ainvoke({"messages": [("user", part.goal)]})
        return
    domain, session = part.governed
    agent = create_agent(
        scripted(part.script), tools, middleware=[CoAgentMiddleware(domain, session, part.declarations)]
    )
    await run_to_commit(agent, session, part.goal)
