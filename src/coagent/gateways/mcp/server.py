"""An MCP server that offers the tools of a domain; each of its clients is an agent.

Source: Model Context Protocol specification, "Tools"; mcp Python SDK 2, `mcp.server.lowlevel`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import anyio
from mcp.server import Server, ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from coagent.errors import AgentNotActive, AgentRestarted, CoAgentError, InvalidArguments, UnknownTool
from coagent.gateways.mcp import texts
from coagent.gateways.mcp.clients import Client, Clients
from coagent.runtime.domain import Domain
from coagent.runtime.quoting import Quoting, one_line
from coagent.runtime.session import AgentSession
from coagent.runtime.shown import error_text, outcome_text, text_of, undone_text, with_notices
from coagent.tools.names import function_names

WAIT_S_DEFAULT = 45.0
"""How long one `coagent_finish` waits: many clients give a call a minute."""
_WAIT_S_MAX = 3600.0
_CALL_ID = {"type": "string", "description": "The id of one of your calls, as shown in [call ID]."}
_OWN = (
    Tool(
        name="coagent_finish",
        description="Say that your work is done: waits for the agents before you, then commits it, or "
        "returns notices that came meanwhile.",
        input_schema={
            "type": "object",
            "properties": {
                "wait_s": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": _WAIT_S_MAX,
                    "default": WAIT_S_DEFAULT,
                    "description": "How long to wait, in seconds.",
                },
                "keep": {
                    "type": "boolean",
                    "default": False,
                    "description": "Keep your unfinished work if you disconnect, instead of withdrawing it.",
                },
            },
        },
    ),
    Tool(
        name="coagent_undo",
        description="Withdraw one of your own calls with all its effects; what rested on it runs again.",
        input_schema={"type": "object", "properties": {"call_id": _CALL_ID}, "required": ["call_id"]},
    ),
    Tool(
        name="coagent_amend",
        description="Replace one of your own calls in its place; later calls that rested on it run again.",
        input_schema={
            "type": "object",
            "properties": {
                "call_id": _CALL_ID,
                "arguments": {
                    "type": "object",
                    "description": "Those to change; the others stay as they were.",
                },
            },
            "required": ["call_id", "arguments"],
        },
    ),
    Tool(
        name="coagent_status",
        description="Show where you stand: your rank, your calls, notices to read, and whom you wait for.",
        input_schema={"type": "object", "properties": {}},
        annotations=ToolAnnotations(read_only_hint=True),
    ),
)

Identify = Callable[[ServerRequestContext[Any, Any]], Client]
"""Tells which client a request comes from."""


class Gateway:
    """The tools of a domain as an MCP server.

    Args:
        domain: An open domain.
        clients: Who is who.
        identify: Tells which client a request comes from.
    """

    def __init__(self, domain: Domain, clients: Clients, identify: Identify) -> None:
        self._domain = domain
        self._clients = clients
        self._identify = identify
        self._own: dict[str, Callable[[Client, Mapping[str, Any]], Awaitable[str]]] = {
            "coagent_finish": self._finish,
            "coagent_undo": self._undo,
            "coagent_amend": self._amend,
            "coagent_status": self._status,
        }
        self.server: Server[Any] = Server(
            "coagent",
            version=_version(),
            instructions=texts.INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._called,
        )

    async def _list(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        client = self._identify(context)
        tools = [
            Tool(
                name=name,
                description=self._domain.tools[own].description,
                input_schema=self._domain.tools[own].schema,
            )
            for name, own in function_names(self._domain.tools).items()
            if client.tools is None or own in client.tools
        ]
        return ListToolsResult(tools=[*tools, *_OWN])

    async def _called(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        client = self._identify(context)
        client.busy += 1
        try:
            async with client.lock:  # an agent is a sequence, whatever its client does at once
                text = await self._answer(client, params.name, params.arguments or {})
                await self._domain.flush()  # the client may outlive this process, and knows the answer
        except CoAgentError as failure:
            return CallToolResult(
                content=[TextContent(type="text", text=error_text(failure, _quoting(client)))], is_error=True
            )
        finally:
            client.busy -= 1
            self._clients.met(client)
        return CallToolResult(content=[TextContent(type="text", text=text)])

    async def _answer(self, client: Client, name: str, arguments: Mapping[str, Any]) -> str:
        if name in self._own:
            return await self._own[name](client, arguments)
        own = function_names(self._domain.tools).get(name)
        if own is None or (client.tools is not None and own not in client.tools):
            known = ", ".join(function_names(client.tools or self._domain.tools))
            raise UnknownTool(f"there is no tool {name!r}", f"There are: {known}.")
        session = await self._clients.session(client)
        try:
            return outcome_text(await session.call(own, **arguments), session.quoting)
        except AgentRestarted as restarted:
            return f"{restarted} All your calls were withdrawn."
        except AgentNotActive:
            client.session = None
            raise

    async def _finish(self, client: Client, arguments: Mapping[str, Any]) -> str:
        wait_s = arguments.get("wait_s", WAIT_S_DEFAULT)
        if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 <= wait_s <= _WAIT_S_MAX:
            raise InvalidArguments(f"wait_s is {wait_s!r}", f"Pass seconds from 0 to {_WAIT_S_MAX:g}.")
        client.kept = bool(arguments.get("keep", client.kept))
        session = await self._clients.resumed(client)
        if session is None or client.over:
            return (
                texts.COMMITTED if session is not None else "You have not called anything: nothing to commit."
            )
        settlement = await session.finish()
        if settlement.state == "waiting" and wait_s > 0:
            with anyio.move_on_after(wait_s):
                settlement = await session.finish(wait=True)
        if settlement.state == "committed":
            return texts.COMMITTED
        if settlement.state == "notified":
            return with_notices(settlement.notifications, texts.NOTIFIED)
        return texts.waiting(self._before(session), wait_s)

    async def _undo(self, client: Client, arguments: Mapping[str, Any]) -> str:
        session = await self._clients.session(client)
        return undone_text(await session.undo(_call_id(arguments)), session.quoting)

    async def _amend(self, client: Client, arguments: Mapping[str, Any]) -> str:
        changed = arguments.get("arguments")
        if not isinstance(changed, dict):
            raise InvalidArguments("'arguments' is no object", "Pass the arguments to change.")
        session = await self._clients.session(client)
        return outcome_text(await session.amend(_call_id(arguments), **changed), session.quoting)

    async def _status(self, client: Client, arguments: Mapping[str, Any]) -> str:
        session = await self._clients.resumed(client)
        if session is None or client.over:
            return f"You are {client.name!r}, and have no work under way: your next call begins some."
        lines = [
            f"You are {session.name!r}, rank {session.rank}, {session.state}.",
            f"Agents before you that have not committed: {', '.join(self._before(session)) or 'none'}.",
            "There are notices for you: they come with your next call."
            if session.notified
            else "No notices.",
            "Your calls:",
            *(
                f"[call {one_line(one.call_id)}] {one_line(one.tool)} "
                + one_line(text_of(dict(one.arguments), 300), 400)
                + ("" if one.effective else " (has no effect)")
                for one in session.calls
            ),
        ]
        return "\n".join(lines)

    def _before(self, session: AgentSession) -> list[str]:
        before = [one for one in self._domain.agents if one.rank < session.rank and not one.ended]
        return [one_line(one.name) for one in before]


def _quoting(client: Client) -> Quoting:
    return Quoting() if client.session is None else client.session.quoting


def _call_id(arguments: Mapping[str, Any]) -> str:
    call_id = arguments.get("call_id")
    if not isinstance(call_id, str):
        raise InvalidArguments("'call_id' is missing", "Pass the id of one of your calls, as in [call ID].")
    return call_id.strip().strip("[]").removeprefix("call ").strip()


def _version() -> str:
    try:
        return version("coagent-mtpo")
    except PackageNotFoundError:
        return "0"
