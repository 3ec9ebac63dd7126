"""Claude Agent SDK: an in-process MCP server of governed tools, and sessions that end committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    Message,
    ResultError,
    ResultMessage,
    SdkMcpTool,
    TextBlock,
    create_sdk_mcp_server,
)
from claude_agent_sdk.types import McpSdkServerConfig
from pydantic import ConfigDict, create_model

from coagent.errors import ConfigurationError, ToolFailed
from coagent.gateways.frameworks.governed import (
    LOCAL,
    Declared,
    Existing,
    Governed,
    Shown,
    until_committed,
)
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent.wording.instructions import for_a_framework
from coagent.wording.results import text_of

__all__ = ["LOCAL", "Declared", "GovernedTools", "govern_tools", "run_to_commit"]


@dataclass(frozen=True, slots=True)
class GovernedTools:
    """An agent's tools, governed, as an MCP server within this process. Made by `govern_tools`.

    Args:
        governed: What its calls go through.
        server: The server, for `ClaudeAgentOptions.mcp_servers`.
        name: The name of the server; models see its tools as `mcp__NAME__TOOL`.
    """

    governed: Governed
    server: McpSdkServerConfig
    name: str

    def options(self, options: ClaudeAgentOptions | None = None) -> ClaudeAgentOptions:
        """Return options with the server, leave to call its tools, and the guidance for the model.

        Raises:
            ConfigurationError: The system prompt or the other servers stand in a file.
        """
        options = options or ClaudeAgentOptions()
        if not isinstance(options.mcp_servers, dict):
            raise ConfigurationError(
                "the MCP servers of the options stand in a file", "Give them as a dictionary."
            )
        return replace(
            options,
            mcp_servers={**options.mcp_servers, self.name: self.server},
            allowed_tools=[*options.allowed_tools, f"mcp__{self.name}"],
            system_prompt=_extended(options.system_prompt, for_a_framework(self.governed.session.name)),
        )


def govern_tools(
    tools: Sequence[SdkMcpTool[Any]],
    domain: Domain,
    session: AgentSession,
    declarations: Mapping[str, Declared] | None = None,
    *,
    offer: Collection[str] | None = None,
    scheme: str = "tools",
    name: str = "coagent",
) -> GovernedTools:
    """Return an MCP server whose tools go through the agent's session.

    Use it as `await run_to_commit(prompt, govern_tools(tools, domain, session, declarations))`, once for each
    session. It also has the domain's own tools, `coagent_undo` and `coagent_amend`.

    Args:
        tools: The agent's tools, made with `@claude_agent_sdk.tool`.
        domain: The domain that the agent takes part in.
        session: The agent's session.
        declarations: What the tools read and write, by name. A tool that is not named is irreversible: it
            runs when the agent is committed.
        offer: The names of the domain's own tools to add; all by default.
        scheme: What undeclared tools are taken to write, as a whole.
        name: The name of the server.

    Raises:
        ConfigurationError: A declaration does not fit its tool, or there is no tool that it is for.
    """
    governed = Governed(domain, session, declarations, offer=offer, scheme=scheme)
    governed.check_declarations(tool.name for tool in tools)
    made = [tool if governed.is_local(tool.name) else _governed(tool, governed) for tool in tools]
    made += [
        SdkMcpTool(tool.name, tool.description, tool.schema, _handler(tool.call)) for tool in governed.offered
    ]
    return GovernedTools(governed, create_sdk_mcp_server(name, tools=made), name)


async def run_to_commit(
    prompt: str,
    tools: GovernedTools,
    options: ClaudeAgentOptions | None = None,
    *,
    on_message: Callable[[Message], None] | None = None,
) -> ResultMessage:
    """Run a session of Claude until its work is committed: when something moves after its turn, it goes on.

    Args:
        prompt: What it is to do.
        tools: The agent's tools.
        options: Further options. Claude's own tools are not governed: leave them out with `tools=[]`.
        on_message: Given each message that comes.

    Returns:
        The result of the last turn.

    Raises:
        Exception: What the session failed with. The agent's work has been withdrawn then.
    """
    client: ClaudeSDKClient | None = None
    result: ResultMessage | None = None

    async def work(prompt: str, anew: bool) -> str:
        nonlocal client, result
        if anew:
            if client is not None:
                await client.disconnect()
            client = ClaudeSDKClient(tools.options(options))
            await client.connect()
        assert client is not None
        tools.governed.failure = None
        result = await _turn(client, prompt, tools.governed.session, on_message)
        # The SDK shows the model what a tool raises, and goes on.
        if tools.governed.failure is not None:
            raise tools.governed.failure
        return ""  # it has been heard as it was said

    try:
        await until_committed(tools.governed.session, prompt, work)
    finally:
        if client is not None:
            await client.disconnect()
    assert result is not None
    return result


async def _turn(
    client: ClaudeSDKClient,
    prompt: str,
    session: AgentSession,
    on_message: Callable[[Message], None] | None,
) -> ResultMessage:
    await client.query(prompt)
    async for message in client.receive_response():
        if on_message is not None:
            on_message(message)
        if isinstance(message, AssistantMessage) and message.parent_tool_use_id is None:
            session.say("\n".join(block.text for block in message.content if isinstance(block, TextBlock)))
        if isinstance(message, ResultMessage):
            if message.is_error:
                why = message.result or "; ".join(message.errors or ()) or message.subtype
                raise ResultError(f"Claude's turn failed: {why}", {"subtype": message.subtype})
            return message
    raise ResultError("Claude's session ended before its turn did")


def _governed(tool: SdkMcpTool[Any], governed: Governed) -> SdkMcpTool[Any]:
    async def run(arguments: dict[str, Any]) -> Any:
        result = await tool.handler(arguments)
        content = result.get("content", [])
        texts = [part["text"] for part in content if part.get("type") == "text"]
        value = "\n".join(texts) if len(texts) == len(content) else content
        if result.get("is_error"):
            raise ToolFailed(text_of(value))
        return value

    governed.add(Existing(tool.name, tool.description, _schema(tool.input_schema), run, tool.handler))

    async def call(arguments: dict[str, Any]) -> Shown:
        return await governed.call(tool.name, arguments)

    return replace(tool, handler=_handler(call))


def _handler(
    call: Callable[[dict[str, Any]], Awaitable[Shown]],
) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    async def handler(arguments: dict[str, Any]) -> dict[str, Any]:
        shown = await call(arguments)
        return {"content": [{"type": "text", "text": shown.text}], "is_error": shown.failed}

    return handler


def _schema(declared: type | dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of what the SDK takes for one: a schema, names to types, or a TypedDict."""
    if isinstance(declared, dict) and isinstance(declared.get("type"), str) and "properties" in declared:
        return declared
    hints = declared if isinstance(declared, dict) else get_type_hints(declared)
    required = getattr(declared, "__required_keys__", frozenset(hints))
    fields: dict[str, Any] = {name: (hint, ... if name in required else None) for name, hint in hints.items()}
    model = create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)
    schema: dict[str, Any] = model.model_json_schema()
    for field in schema.get("properties", {}).values():
        field.pop("default", None)  # an argument that may be left out has none
    return schema


def _extended(prompt: Any, text: str) -> Any:
    if prompt is None:
        return text
    if isinstance(prompt, str):
        return f"{prompt}\n\n{text}"
    if prompt["type"] == "preset":
        return {**prompt, "append": "\n\n".join(filter(None, [prompt.get("append"), text]))}
    if prompt["type"] == "custom":
        return {**prompt, "prompt": f"{prompt['prompt']}\n\n{text}"}
    raise ConfigurationError("the system prompt stands in a file", "Give it as text.")
