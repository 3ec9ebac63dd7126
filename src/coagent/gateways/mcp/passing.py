"""What is passed on between clients and upstream servers besides calls: lists, resources, prompts, progress.

Source: Model Context Protocol specification, "Resources", "Prompts", "Progress" and, from 2026-07-28 on,
"Subscriptions"; up to 2025-11-25 a notification in the session.
"""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp.server import Server, ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.models import InitializationOptions
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    PromptListChangedNotification,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourceListChangedNotification,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from coagent.errors import CoAgentError, InvalidArguments
from coagent.gateways.mcp.clients import Caller
from coagent.gateways.mcp.relay import Relay
from coagent.gateways.mcp.upstream import ListKind

Context = ServerRequestContext[Any, Any]
_HEARERS_MAX = 1000
_EVENTS: dict[ListKind, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "tools": (ToolsListChanged, ToolListChangedNotification),
    "prompts": (PromptsListChanged, PromptListChangedNotification),
    "resources": (ResourcesListChanged, ResourceListChangedNotification),
}


class HearingServer(Server[Any]):
    """A server that says, at the handshake, that it tells when its lists change."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *args: Any, **options: Any
    ) -> InitializationOptions:
        """Return what the handshake says, with the promise to tell of changes."""
        told = notification_options or NotificationOptions(True, True, True)
        return super().create_initialization_options(told, *args, **options)


class Hearers:
    """The clients that are to hear when lists change."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        """Serves the streams on which clients of the versions without sessions hear."""
        self._sessions: OrderedDict[str, ServerSession] = OrderedDict()
        self._changed, self._to_tell = anyio.create_memory_object_stream[ListKind](math.inf)

    def met(self, connection: str | None, context: Context) -> None:
        """Note a client that has come."""
        if connection is None or context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return
        self._sessions[connection] = context.session
        self._sessions.move_to_end(connection)
        while len(self._sessions) > _HEARERS_MAX:
            self._sessions.popitem(last=False)

    def tell(self, kind: ListKind) -> None:
        """Have all clients told that a list has changed."""
        self._changed.send_nowait(kind)

    async def run(self) -> None:
        """Tell them, for ever."""
        async for kind in self._to_tell:
            event, notification = _EVENTS[kind]
            await self._bus.publish(event())
            for connection, session in list(self._sessions.items()):
                try:
                    await session.send_notification(notification())
                except (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                    self._sessions.pop(connection, None)


class Progress:
    """Tells one client how far its call has come: always further, as the protocol wants it.

    Args:
        context: Of the call.
    """

    def __init__(self, context: Context) -> None:
        self._session = context.session
        self._told = 0.0
        self._of_tool = False

    async def waited(self, seconds: float, how: str) -> None:
        """Tell that time has gone by, unless the tool itself tells how far it is."""
        if not self._of_tool:
            self._told += seconds
            await self._session.report_progress(self._told, None, how)

    async def of_tool(self, progress: float, total: float | None, message: str | None) -> None:
        """Pass on what the tool's server tells."""
        self._of_tool = True
        if progress <= self._told:  # of another run of it, or after we have told of seconds
            progress, total = math.nextafter(self._told, math.inf), None
        self._told = progress
        await self._session.report_progress(progress, total, message)


class PassingOn:
    """Answers for the resources and prompts of upstream servers.

    Args:
        relay: The servers.
        identify: Tells whom a request comes from.
        read: Reads a resource as a call of a client: with the context, who it is, the tool and the URI.
    """

    def __init__(
        self,
        relay: Relay,
        identify: Callable[[Context], Caller],
        read: Callable[[Context, Caller, str, str], Awaitable[ReadResourceResult]],
    ) -> None:
        self._relay = relay
        self._identify = identify
        self._read = read

    async def resources(self, context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        """Return the resources of all servers."""
        with _told():
            return ListResourcesResult(resources=await self._relay.resources())

    async def templates(
        self, context: Context, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """Return the templates of their resources."""
        with _told():
            return ListResourceTemplatesResult(resource_templates=await self._relay.templates())

    async def read(self, context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """Read a resource, as a call of whoever asks."""
        caller = self._identify(context)
        with _told():
            tool = await self._relay.reader(params.uri)
            if caller.tools is not None and tool not in caller.tools:
                raise InvalidArguments(f"{params.uri!r} is not for this client", f"Its tools lack {tool!r}.")
            return await self._read(context, caller, tool, params.uri)

    async def prompts(self, context: Context, params: PaginatedRequestParams | None) -> ListPromptsResult:
        """Return the prompts of all servers."""
        with _told():
            return ListPromptsResult(prompts=await self._relay.prompts())

    async def prompt(self, context: Context, params: GetPromptRequestParams) -> GetPromptResult:
        """Return a prompt with its arguments filled in."""
        with _told():
            return await self._relay.prompt(params.name, params.arguments)


@contextlib.contextmanager
def _told() -> Any:
    """Tell a client of a failure by an error of the protocol: these requests have no results that fail."""
    try:
        yield
    except InvalidArguments as error:
        raise MCPError(INVALID_PARAMS, str(error)) from None
    except CoAgentError as error:
        raise MCPError(INTERNAL_ERROR, str(error)) from None
