"""OpenAI Agents SDK: function tools that are governed, and runs that end committed."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import anyio
from agents.memory import Session
from agents.tool import set_function_tool_failure_error_function
from agents.tool_context import ToolContext
from openai.types.responses import ResponseOutputMessage

from agents import (
    Agent,
    FunctionTool,
    ModelResponse,
    RunContextWrapper,
    RunHooks,
    Runner,
    RunResult,
    Tool,
    ToolOutputText,
)
from coagent.errors import ConfigurationError
from coagent.gateways.frameworks.governed import (
    LOCAL,
    Declared,
    Existing,
    Governed,
    Offered,
    Shown,
    never_ran,
    takes_arguments_alone,
    until_committed,
)
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent.wording.instructions import for_a_framework as guidance

__all__ = ["LOCAL", "Declared", "govern_tools", "guidance", "run_to_commit"]


def govern_tools(
    tools: Sequence[Tool],
    domain: Domain,
    session: AgentSession,
    declarations: Mapping[str, Declared] | None = None,
    *,
    offer: Collection[str] | None = None,
    scheme: str = "tools",
) -> list[Tool]:
    """Return tools that go through the agent's session.

    Use it as `Agent(name, tools=govern_tools(tools, domain, session, declarations))`, once for each session;
    put `guidance(session.name)` into the agent's instructions. The domain's own tools, `coagent_undo` and
    `coagent_amend` are added.

    Args:
        tools: The agent's tools.
        domain: The domain that the agent takes part in.
        session: The agent's session.
        declarations: What the tools read and write, by name. A tool that is not named is irreversible: it
            runs when the agent is committed.
        offer: The names of the domain's own tools to add; all by default.
        scheme: What undeclared tools are taken to write, as a whole.

    Raises:
        ConfigurationError: A declaration does not fit its tool, or there is no tool that it is for; or a tool
            is no function of this process, and not declared as LOCAL.
    """
    governed = Governed(domain, session, declarations, offer=offer, scheme=scheme)
    governed.check_declarations(tool.name for tool in tools)
    return [
        *(tool if governed.is_local(tool.name) else _governed(tool, governed) for tool in tools),
        *(_offered(tool) for tool in governed.offered),
    ]


async def run_to_commit(
    agent: Agent[Any], session: AgentSession, prompt: str, *, memory: Session | None = None, **options: Any
) -> RunResult:
    """Run an agent until its work is committed: when something moves after it had finished, it goes on.

    Args:
        agent: An agent with governed tools.
        session: The agent's session in the domain.
        prompt: What it is to do.
        memory: The SDK's own session, where the conversation is kept in one.
        **options: For `Runner.run`.

    Returns:
        The result of the last run, with the whole conversation.

    Raises:
        Exception: What the run raised. The agent's work has been withdrawn then.
    """
    result: RunResult | None = None
    options["hooks"] = _Listening(session, options.get("hooks"))

    async def work(prompt: str, anew: bool) -> str:
        nonlocal result
        goes_on = result is not None and not anew
        asked: Any = prompt
        if result is not None and goes_on and memory is None:
            asked = [*result.to_input_list(), {"role": "user", "content": prompt}]
        going = result.last_agent if result is not None and goes_on else agent
        result = await Runner.run(going, asked, session=memory, **options)
        if result.interruptions:
            raise ConfigurationError(
                "the run was interrupted for tools to be approved",
                "Resume it with `Runner.run`, and call `session.finish(wait=True)` yourself.",
            )
        return ""  # it has been heard as it was said

    await until_committed(session, prompt, work)
    assert result is not None
    return result


class _Listening(RunHooks[Any]):
    """Hears what the model says beside its calls; all else is for the hooks of whoever runs the agent."""

    def __init__(self, session: AgentSession, own: RunHooks[Any] | None) -> None:
        self._session, self._own = session, own

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "_own") if name.startswith("on_") else None
        return (
            object.__getattribute__(self, name) if own is None or name == "on_llm_end" else getattr(own, name)
        )

    async def on_llm_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse
    ) -> None:
        for item in response.output:
            if isinstance(item, ResponseOutputMessage):
                self._session.say("".join(part.text for part in item.content if part.type == "output_text"))
        if self._own is not None:
            await self._own.on_llm_end(context, agent, response)


def _governed(tool: Tool, governed: Governed) -> FunctionTool:
    if not isinstance(tool, FunctionTool):
        raise ConfigurationError(
            f"tool {tool.name!r} does not run a function here, so it cannot be governed",
            "Declare it as LOCAL if it touches nothing that agents share.",
        )
    # The SDK would make a result out of what the tool raises, and a failed call must be known as one.
    raising = set_function_tool_failure_error_function(copy.copy(tool), None)
    contexts: list[ToolContext[Any]] = []
    function = getattr(tool, "__wrapped__", None)
    plain = takes_arguments_alone(function, tool.params_json_schema)

    async def run(arguments: dict[str, Any]) -> Any:
        if not plain and not contexts:
            raise never_ran(tool.name)
        text = json.dumps(arguments)
        latest: ToolContext[Any] | None = contexts[-1] if contexts else None
        context: ToolContext[Any] = ToolContext(
            latest.context if latest else None,
            tool_name=tool.name,
            tool_call_id=latest.tool_call_id if latest else tool.name,
            tool_arguments=text,
            agent=latest.agent if latest else None,
            run_config=latest.run_config if latest else None,
        )
        seconds = tool.timeout_seconds
        with nullcontext() if seconds is None else anyio.fail_after(seconds):
            result = await raising.on_invoke_tool(context, text)
        return result.text if isinstance(result, ToolOutputText) else result

    identity = function if plain else object()
    governed.add(Existing(tool.name, tool.description, tool.params_json_schema, run, identity))

    async def invoke(context: ToolContext[Any], arguments: dict[str, Any]) -> Shown:
        contexts[:] = [context]
        return await governed.call(tool.name, arguments)

    made = replace(
        tool,
        on_invoke_tool=_invoker(invoke),
        timeout_seconds=None,
        output_json_schema=None,
        _output_type_adapter=None,
    )
    return set_function_tool_failure_error_function(made, None)


def _offered(one: Offered) -> FunctionTool:
    async def invoke(context: ToolContext[Any], arguments: dict[str, Any]) -> Shown:
        return await one.call(arguments)

    made = FunctionTool(one.name, one.description, one.schema, _invoker(invoke), strict_json_schema=False)
    return set_function_tool_failure_error_function(made, None)


def _invoker(
    invoke: Callable[[ToolContext[Any], dict[str, Any]], Awaitable[Shown]],
) -> Callable[[ToolContext[Any], str], Awaitable[str]]:
    async def on_invoke_tool(context: ToolContext[Any], text: str) -> str:
        try:
            arguments = json.loads(text or "{}")
        except ValueError as error:
            return f"error: the arguments are no JSON: {error}"
        if not isinstance(arguments, dict):
            return "error: the arguments are no JSON object"
        return (await invoke(context, arguments)).text

    return on_invoke_tool
