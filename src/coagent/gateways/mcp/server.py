"""An MCP server that offers the tools of a domain; each of its clients is an agent.

Source: Model Context Protocol specification, "Tools"; mcp Python SDK 2, `mcp.server.lowlevel`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import anyio
from mcp.server import Server, ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceResult,
    TextContent,
)

from coagent.errors import AgentNotActive, AgentRestarted, CoAgentError, InvalidArguments, UnknownTool
from coagent.gateways.mcp.answers import Answer, answered, in_words, offered
from coagent.gateways.mcp.asking import decisions
from coagent.gateways.mcp.clients import Caller, Client, Clients
from coagent.gateways.mcp.own_tools import (
    HANDLE,
    JOIN,
    NAME_LENGTH_MAX,
    OWN_TOOLS,
    WAIT_S_DEFAULT,
    WAIT_S_MAX,
)
from coagent.gateways.mcp.passing import Hearers, HearingServer, PassingOn, Progress
from coagent.gateways.mcp.relay import Relay, ResourceReader, resource_of
from coagent.gateways.mcp.requests import Requests, answered_before, is_again
from coagent.gateways.mcp.upstream import UNDER_WAY, UnderWay
from coagent.runtime.amending import amend_as_asked
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent.runtime.standing import stuck_for
from coagent.tools.names import function_names
from coagent.wording import endings
from coagent.wording.instructions import for_a_client
from coagent.wording.quoting import Quoting, one_line
from coagent.wording.repairs import PREFIXED, call_id_of
from coagent.wording.results import error_text, outcome_text, text_of, undone_text

Identify = Callable[[ServerRequestContext[Any, Any]], Caller]
"""Tells whom a request comes from."""
_PROGRESS_S = 1.0
"""How often somebody who waits is told so, in seconds."""


class _Request(NamedTuple):
    """One call of a client's."""

    context: ServerRequestContext[Any, Any]
    params: CallToolRequestParams
    client: Client
    arguments: Mapping[str, Any]


class Gateway:
    """The tools of a domain as an MCP server.

    Args:
        domain: An open domain.
        clients: Who is who.
        identify: Tells whom a request comes from.
        relay: The upstream servers of the domain.
    """

    def __init__(self, domain: Domain, clients: Clients, identify: Identify, relay: Relay) -> None:
        self._domain = domain
        self._relay = relay
        self._hearers = Hearers()
        relay.on_change = self._hearers.tell
        self._clients = clients
        self._identify = identify
        self._requests: Requests[CallToolResult | InputRequiredResult] = Requests()
        self._own: dict[str, Callable[[_Request], Awaitable[str | Answer | InputRequiredResult]]] = {
            "coagent_finish": self._finish,
            "coagent_undo": self._undo,
            "coagent_amend": self._amend,
            "coagent_status": self._status,
        }
        self.server: Server[Any] = HearingServer(
            "coagent",
            version=_version(),
            instructions=for_a_client(),
            on_list_tools=self._list,
            on_call_tool=self._called,
            on_subscriptions_listen=self._hearers.listen,
            **self._passed_on(),
        )

    def _passed_on(self) -> dict[str, Any]:
        """Return what answers for the upstream servers' resources and prompts, where they have some."""
        passing = PassingOn(self._relay, self._identify, self._read)
        found: dict[str, Any] = {}
        if self._relay.has_resources:
            found |= {
                "on_list_resources": passing.resources,
                "on_list_resource_templates": passing.templates,
                "on_read_resource": passing.read,
            }
        if self._relay.has_prompts:
            found |= {"on_list_prompts": passing.prompts, "on_get_prompt": passing.prompt}
        return found

    async def tell_changes(self) -> None:
        """Tell clients, for ever, when what they are offered has changed."""
        await self._hearers.run()

    async def _list(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        caller = self._identify(context)
        self._hearers.met(caller.connection, context)
        allowed = caller.tools
        tools = [
            offered(name, self._domain.tools[own])
            for name, own in function_names(self._domain.tools).items()
            if (allowed is None or own in allowed) and self._relay.is_offered(self._domain.tools[own])
        ]
        return ListToolsResult(tools=[*tools, *OWN_TOOLS])

    async def _called(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        caller = self._identify(context)
        self._hearers.met(caller.connection, context)
        request = None
        if caller.connection is not None and context.request_id is not None:
            request = (caller.connection, context.request_id)
        asked = (params.name, params.arguments, params.input_responses)
        return await self._requests.once(request, asked, lambda: self._answered(context, params, caller))

    async def _answered(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams, caller: Caller
    ) -> CallToolResult | InputRequiredResult:
        quoting = Quoting()
        try:
            if params.name == JOIN.name:
                answer: Answer | InputRequiredResult = await self._join(caller, params.arguments or {})
            else:
                arguments = dict(params.arguments or {})
                client = self._clients.of(caller, _handle(arguments))
                if client.session is not None:
                    quoting = client.session.quoting
                answer = await self._in_turn(_Request(context, params, client, arguments))
        except CoAgentError as failure:
            return CallToolResult(
                content=[TextContent(type="text", text=error_text(failure, quoting))], is_error=True
            )
        if isinstance(answer, InputRequiredResult):
            return answer
        return CallToolResult(content=answer.content, structured_content=answer.data)

    async def _in_turn(self, request: _Request) -> Answer | InputRequiredResult:
        client = request.client
        client.busy += 1
        try:
            async with client.lock:  # an agent is a sequence, whatever its client does at once
                if client.session is not None:
                    await client.session.came_back()
                answer = await self._answer_with_progress(request)
                await self._domain.flush()  # the client may outlive this process, and knows the answer
                return answer
        finally:
            client.busy -= 1
            self._clients.met(client)

    async def _answer_with_progress(self, request: _Request) -> Answer | InputRequiredResult:
        """Answer, and tell a client that has asked for it meanwhile for how long, and for whom, it waits."""
        if (request.context.meta or {}).get("progress_token") is None:
            return await self._answer(request, None)
        answer: Answer | InputRequiredResult | CoAgentError
        progress = Progress(request.context)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell_of_progress, request, progress)
            try:
                answer = await self._answer(request, progress)
            except CoAgentError as failure:
                answer = failure  # a task group would wrap it
            tasks.cancel_scope.cancel()
        if isinstance(answer, CoAgentError):
            raise answer
        return answer

    async def _tell_of_progress(self, request: _Request, progress: Progress) -> None:
        while True:
            await anyio.sleep(_PROGRESS_S)
            session = request.client.session
            before = [] if session is None else self._before(session)
            await progress.waited(_PROGRESS_S, f"waits for {', '.join(before)}" if before else "at work")

    async def _join(self, caller: Caller, arguments: Mapping[str, Any]) -> Answer:
        name, take_up = arguments.get("name"), arguments.get("take_up", False)
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= NAME_LENGTH_MAX):
            raise InvalidArguments(
                f"name is {one_line(repr(name))}", f"Pass a text of 1 to {NAME_LENGTH_MAX} characters."
            )
        if not isinstance(take_up, bool):
            raise InvalidArguments(f"take_up is {one_line(repr(take_up))}", "Pass true or false.")
        client, handle = await self._clients.joined(caller, name, take_up)
        session = await self._clients.session(client)
        session.say(str(arguments.get("goal", "")), goal=True)
        await self._domain.flush()
        how = endings.joined(session.name, session.rank, handle)
        data = {"how": how, "agent": session.name, "rank": int(session.rank), HANDLE: handle}
        return in_words(how)._replace(data=data)

    async def _answer(self, request: _Request, progress: Progress | None) -> Answer | InputRequiredResult:
        client, name = request.client, request.params.name
        if name in self._own:
            answer = await self._own[name](request)
            return in_words(answer) if isinstance(answer, str) else answer
        own = function_names(self._domain.tools).get(name)
        if own is not None and isinstance(self._domain.tools[own], ResourceReader):
            own = None  # it is for `resources/read`
        if own is None or (client.tools is not None and own not in client.tools):
            known = ", ".join(function_names(client.tools or self._domain.tools))
            raise UnknownTool(f"there is no tool {name!r}", f"There are: {known}.")
        session = await self._clients.session(client)
        unheard, client.unheard = client.unheard, None
        if unheard is not None and is_again(unheard, own, request.arguments):
            outcome = await answered_before(session, unheard)
            said = endings.not_made_again(unheard.call_id)
            return answered(outcome, session.quoting, self._domain.tools[own], said)
        under_way = UnderWay(own, request.arguments, None if progress is None else progress.of_tool)
        UNDER_WAY.set(under_way)
        try:
            outcome = await session.call(own, **request.arguments)
        except AgentRestarted as restarted:
            return in_words(f"{restarted} All your calls were withdrawn.", self._domain.tools[own])
        except AgentNotActive:
            client.session = None
            raise
        finally:
            under_way.cancelled.set()
        return answered(outcome, session.quoting, self._domain.tools[own])

    async def _read(
        self, context: ServerRequestContext[Any, Any], caller: Caller, tool: str, uri: str
    ) -> ReadResourceResult:
        """Read a resource of an upstream server, as the next call of whoever asks."""
        client = self._clients.of(caller, None)
        client.busy += 1
        try:
            async with client.lock:
                if client.session is not None:
                    await client.session.came_back()
                session = await self._clients.session(client)
                result = resource_of(await session.call(tool, uri=uri), session.quoting)
                await self._domain.flush()
                return result
        finally:
            client.busy -= 1
            self._clients.met(client)

    async def _finish(self, request: _Request) -> str | InputRequiredResult:
        client, wait_s = request.client, request.arguments.get("wait_s", WAIT_S_DEFAULT)
        if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 <= wait_s <= WAIT_S_MAX:
            raise InvalidArguments(f"wait_s is {wait_s!r}", f"Pass seconds from 0 to {WAIT_S_MAX:g}.")
        client.kept = bool(request.arguments.get("keep", client.kept))
        session = await self._clients.resumed(client)
        if session is None or client.over:
            return endings.COMMITTED if session is not None else endings.NOTHING_TO_COMMIT
        asked = await self._decided(request, session)
        if isinstance(asked, InputRequiredResult):
            return asked
        await session.outlive(self._clients.leaves(client))
        settlement = await session.finish()
        if settlement.state == "waiting" and wait_s > 0:
            with anyio.move_on_after(wait_s):
                settlement = await session.finish(wait=True)
        if settlement.state == "committed":
            return endings.COMMITTED
        if settlement.state == "notified":
            return endings.notified(
                settlement.notifications, PREFIXED, "call coagent_finish", session.quoting
            )
        return endings.waiting(settlement.waits_for, wait_s, settlement.unknown)

    async def _decided(self, request: _Request, session: AgentSession) -> InputRequiredResult | None:
        """Let a person decide about what the agent has touched and is stuck, where the client can ask one."""
        kernel = self._domain.kernel
        touched = stuck_for(kernel, kernel.agents[session.rank])
        stuck: dict[str, str] = {key: kernel.stuck[key] for key in touched}
        answer = await decisions(request.context, request.params, stuck)
        if isinstance(answer, InputRequiredResult):
            return answer
        for key, how in answer.items():
            if key in kernel.stuck:
                await self._domain.resolve(key, how)
        return None

    async def _undo(self, request: _Request) -> str:
        session = await self._clients.session(request.client)
        return undone_text(await session.undo(call_id_of(request.arguments)), session.quoting)

    async def _amend(self, request: _Request) -> Answer:
        session = await self._clients.session(request.client)
        outcome = await amend_as_asked(session, request.arguments)
        if not outcome.call_id:  # a look at what the call would be
            return in_words(outcome_text(outcome, session.quoting))
        called = next(call.tool for call in session.calls if call.call_id == outcome.call_id)
        return answered(outcome, session.quoting, self._domain.tools[called])._replace(data=None)

    async def _status(self, request: _Request) -> str:
        client = request.client
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
                f"[call {one_line(call.call_id)}] {one_line(call.tool)} "
                + one_line(text_of(dict(call.arguments), 300), 400)
                + ("" if call.effective else " (has no effect)")
                for call in session.calls
            ),
        ]
        return "\n".join(lines)

    def _before(self, session: AgentSession) -> list[str]:
        before = [agent for agent in self._domain.agents if agent.rank < session.rank and not agent.ended]
        return [one_line(agent.name) for agent in before]


def _handle(arguments: dict[str, Any]) -> str | None:
    """Take the handle out of a call's arguments.

    Raises:
        InvalidArguments: It is no text.
    """
    handle = arguments.pop(HANDLE, None)
    if handle is None or handle == "":  # models fill in what they leave out
        return None
    if not isinstance(handle, str):
        raise InvalidArguments(f"{HANDLE} is no text", "Pass the handle as coagent_join returned it.")
    return handle.strip()


def _version() -> str:
    try:
        return version("coagent-mtpo")
    except PackageNotFoundError:
        return "0"
