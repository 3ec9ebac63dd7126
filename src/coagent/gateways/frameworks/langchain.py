"""LangChain: middleware that governs an agent's tools, and lets it end only when its work is committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse, hook_config
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime
from langgraph.types import Command

from coagent.errors import ConfigurationError, ToolFailed
from coagent.gateways.frameworks.governed import (
    LOCAL,
    Declared,
    Existing,
    Governed,
    Offered,
    finished_prompt,
    never_ran,
    takes_arguments_alone,
    until_committed,
)
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent.wording.instructions import for_a_framework
from coagent.wording.results import text_of

__all__ = ["LOCAL", "CoAgentMiddleware", "Declared", "run_to_commit"]

Handler = Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]


class CoAgentMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Governs an agent's tools; the agent ends only when its work is committed.

    Use it as `create_agent(model, tools, middleware=[CoAgentMiddleware(domain, session, declarations)])`, as
    the last of the middleware, once for each session. It also adds the domain's own tools, `coagent_undo` and
    `coagent_amend`, and the instructions on working with others. The agent can be run by `ainvoke` and
    `astream` alone. A run that raises leaves its work in the domain: abort the session, or use
    `run_to_commit`.

    Args:
        domain: The domain that the agent takes part in.
        session: The agent's session.
        declarations: What the tools read and write, by name. A tool that is not named is irreversible: it
            runs when the agent is committed.
        offer: The names of the domain's own tools to add; all by default.
        scheme: What undeclared tools are taken to write, as a whole.

    Raises:
        ConfigurationError: There is no tool of the domain of a name in `offer`. When the agent runs: a
            declaration does not fit its tool, or there is no tool that it is for.
    """

    def __init__(
        self,
        domain: Domain,
        session: AgentSession,
        declarations: Mapping[str, Declared] | None = None,
        *,
        offer: Collection[str] | None = None,
        scheme: str = "tools",
    ) -> None:
        super().__init__()
        self._governed = Governed(domain, session, declarations, offer=offer, scheme=scheme)
        self._runs: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {}
        self.tools = [_offered(tool) for tool in self._governed.offered]
        self._offered = {tool.name for tool in self.tools}

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        for tool in request.tools:
            if isinstance(tool, BaseTool) and self._is_governed(tool.name):
                self._governed.add(self._existing(tool))
        text = for_a_framework(self._governed.session.name)
        return await handler(request.override(system_message=_extended(request.system_message, text)))

    async def awrap_tool_call(self, request: ToolCallRequest, handler: Handler) -> ToolMessage | Command[Any]:
        name, tool = request.tool_call["name"], request.tool
        self._say(request.state)
        if tool is None or not self._is_governed(name):
            return await handler(request)
        self._governed.check_declarations(tool.name for tool in request.runtime.tools)
        if not _is_plain(tool):
            self._runs[name] = _bound(request, handler)
        self._governed.add(self._existing(tool))
        shown = await self._governed.call(name, request.tool_call["args"])
        return ToolMessage(
            shown.text,
            name=name,
            tool_call_id=request.tool_call["id"],
            status="error" if shown.failed else "success",
        )

    @hook_config(can_jump_to=["model"])
    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Commit, or let the model go on with what has moved since it had finished."""
        self._say(state)
        settlement = await self._governed.session.finish(wait=True)
        if settlement.state == "committed":
            return None
        return {
            "messages": [
                HumanMessage(finished_prompt(settlement.notifications, self._governed.session.quoting))
            ],
            "jump_to": "model",
        }

    def _say(self, state: Any) -> None:
        """Note the text that the model's last message has beside its calls."""
        messages = state.get("messages") if isinstance(state, dict) else None
        said = next((message for message in reversed(messages or ()) if isinstance(message, AIMessage)), None)
        if said is not None:
            self._governed.session.say(str(said.text))

    def _is_governed(self, name: str) -> bool:
        return name not in self._offered and not self._governed.is_local(name)

    def _existing(self, tool: BaseTool) -> Existing:
        if _is_plain(tool):

            async def run(arguments: dict[str, Any]) -> Any:
                return await _invoked(tool, arguments)

            return Existing(tool.name, tool.description, _schema(tool), run, _function(tool))

        async def run_bound(arguments: dict[str, Any]) -> Any:
            if tool.name not in self._runs:
                raise never_ran(tool.name)
            return await self._runs[tool.name](arguments)

        return Existing(tool.name, tool.description, _schema(tool), run_bound, self)


async def run_to_commit(
    agent: Runnable[Any, Any], session: AgentSession, prompt: str, **options: Any
) -> dict[str, Any]:
    """Run an agent with `CoAgentMiddleware` until its work is committed; where it fails, withdraw its work.

    Args:
        agent: What `create_agent` has made.
        session: The agent's session.
        prompt: What it is to do.
        **options: For `ainvoke`, such as `config` and `context`.

    Returns:
        The agent's last state.

    Raises:
        Exception: What the run raised. The agent's work has been withdrawn then.
    """
    state: dict[str, Any] = {}

    async def work(prompt: str, anew: bool) -> str:
        earlier = [] if anew else state["messages"]
        found = await agent.ainvoke({"messages": [*earlier, HumanMessage(prompt)]}, **options)
        if "__interrupt__" in found:
            raise ConfigurationError(
                "the run was interrupted, and waits for somebody's answer",
                "Run such an agent with `ainvoke` and a checkpointer; it commits when it ends.",
            )
        state.clear()
        state.update(found)
        return ""  # the middleware has heard it

    await until_committed(session, prompt, work)
    return state


async def _invoked(tool: BaseTool, arguments: dict[str, Any]) -> Any:
    call = {"name": tool.name, "args": arguments, "id": tool.name, "type": "tool_call"}
    return _value(tool.name, await tool.ainvoke(call))


def _bound(request: ToolCallRequest, handler: Handler) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    """Return what runs a tool again with the state and the context of its agent's latest call of it."""

    async def run(arguments: dict[str, Any]) -> Any:
        call = request.override(tool_call={**request.tool_call, "args": arguments})
        return _value(request.tool_call["name"], await handler(call))

    return run


def _value(name: str, result: Any) -> Any:
    if isinstance(result, ToolMessage):
        if result.status == "error":
            raise ToolFailed(text_of(result.content))
        return result.content
    if isinstance(result, Command):
        raise ToolFailed(f"tool {name!r} changes its agent's own state, so it cannot be governed")
    return result


def _function(tool: BaseTool) -> Callable[..., Any] | None:
    return getattr(tool, "coroutine", None) or getattr(tool, "func", None)


def _schema(tool: BaseTool) -> dict[str, Any]:
    schema: dict[str, Any] = convert_to_openai_tool(tool)["function"].get("parameters", {})
    return schema


def _is_plain(tool: BaseTool) -> bool:
    return takes_arguments_alone(_function(tool), _schema(tool))


def _offered(one: Offered) -> BaseTool:
    async def run(**arguments: Any) -> str:
        return (await one.call(arguments)).text

    return StructuredTool(
        name=one.name, description=one.description or one.name, args_schema=one.schema, coroutine=run
    )


def _extended(message: SystemMessage | None, text: str) -> SystemMessage:
    if message is None:
        return SystemMessage(text)
    if isinstance(message.content, str):
        return SystemMessage(f"{message.content}\n\n{text}")
    return SystemMessage([*message.content, {"type": "text", "text": text}])
