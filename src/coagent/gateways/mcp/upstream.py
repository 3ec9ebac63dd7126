"""Existing MCP servers behind a domain: started, watched over, and started again when they have crashed.

Source: Model Context Protocol specification, "Tools" and "Lifecycle"; mcp Python SDK 2, `mcp.Client`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import PromptsListChanged, ResourcesListChanged, ToolsListChanged
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    Prompt,
    PromptListChangedNotification,
    ReadResourceResult,
    Resource,
    ResourceListChangedNotification,
    ResourceTemplate,
    TextContent,
    Tool,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

from coagent.config.upstreams import UpstreamTable
from coagent.errors import ConfigurationError, TargetError, ToolFailed
from coagent.gateways.mcp.content import value_of
from coagent.protocol.values import Value, same

ListKind: TypeAlias = Literal["tools", "prompts", "resources"]
_CHANGES: dict[type, ListKind] = {
    ToolListChangedNotification: "tools",
    PromptListChangedNotification: "prompts",
    ResourceListChangedNotification: "resources",
    ToolsListChanged: "tools",
    PromptsListChanged: "prompts",
    ResourcesListChanged: "resources",
}
_T = TypeVar("_T")
_Result: TypeAlias = CallToolResult | InputRequiredResult
_RESULT: TypeAdapter[_Result] = TypeAdapter(_Result)
_PAGES_MAX = 1000
"""A server whose pages never end is not followed for ever."""


@dataclass
class UnderWay:
    """A call that a client waits for.

    Args:
        tool: What it calls.
        arguments: With what.
        progress: Hears how far it has come.
        cancelled: Set once nobody waits for it any more.
    """

    tool: str
    arguments: Mapping[str, Any]
    progress: ProgressFnT | None = None
    cancelled: anyio.Event = field(default_factory=anyio.Event)

    def is_this(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        """Tell whether a run is one of this call: others' may run again because of it."""
        return tool == self.tool and all(
            name in arguments and same(arguments[name], value) for name, value in self.arguments.items()
        )


UNDER_WAY: ContextVar[UnderWay | None] = ContextVar("under_way", default=None)
"""The call for which this task works."""


class UpstreamCrashed(TargetError):
    """The server has gone in the middle of a call, or has not answered in time."""


class _Wish:
    """A call that needs the server to run."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.failure = ""


class Upstream:
    """One server. Use it as `async with upstream.running():`.

    Args:
        table: How it is started and governed.
        folder: Where relative paths start.
    """

    def __init__(self, table: UpstreamTable, folder: Path) -> None:
        self.table = table
        self.name = table.name
        self.folder = folder
        self.on_change: Callable[[ListKind], None] = lambda kind: None
        """Called when it says that a list has changed."""
        self._client: Client | None = None
        self._broken = anyio.Event()
        self._connecting = anyio.Lock()
        self._wanted, self._wishes = anyio.create_memory_object_stream[_Wish](1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Upstream]:
        """Keep it running, and start it again when it has crashed and is called."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()
                self._wanted.close()
                self._wishes.close()

    async def tools(self) -> list[Tool]:
        """Return the tools that it offers.

        Raises:
            ConfigurationError: It cannot be started, or offers what is no tool.
        """
        try:
            return await self._all(lambda client, cursor: client.list_tools(cursor=cursor), "tools")
        except (TargetError, ToolFailed) as error:
            raise ConfigurationError(
                f"upstream {self.name!r} cannot be used: {error}", "Try its command by hand."
            ) from None

    async def has(self, kind: Literal["resources", "prompts"]) -> bool:
        """Tell whether it has resources, or prompts."""
        return getattr((await self._connected()).server_capabilities, kind) is not None

    async def resources(self) -> list[Resource]:
        """Return the resources that it lists; raises as `call`."""
        return await self._all(lambda client, cursor: client.list_resources(cursor=cursor), "resources")

    async def templates(self) -> list[ResourceTemplate]:
        """Return the templates of its resources; raises as `call`."""
        return await self._all(
            lambda client, cursor: client.list_resource_templates(cursor=cursor), "resource_templates"
        )

    async def prompts(self) -> list[Prompt]:
        """Return the prompts that it lists; raises as `call`."""
        return await self._all(lambda client, cursor: client.list_prompts(cursor=cursor), "prompts")

    async def read_resource(self, uri: str) -> ReadResourceResult:
        """Return what a resource holds; raises as `call`."""
        return await self._asked(f"reading {uri}", lambda client: client.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str] | None) -> GetPromptResult:
        """Return a prompt with its arguments filled in; raises as `call`."""
        return await self._asked(f"prompt {name}", lambda client: client.get_prompt(name, arguments))

    async def _all(self, page: Callable[..., Awaitable[Any]], field: str) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            got = await self._asked(f"listing its {field}", partial(page, cursor=cursor))
            found += getattr(got, field)
            if got.next_cursor is None or got.next_cursor == cursor:
                break
            cursor = got.next_cursor
        return found

    async def call(
        self, tool: str, arguments: Mapping[str, Any], progress: ProgressFnT | None = None
    ) -> Value:
        """Call one of its tools.

        Args:
            tool: Its name.
            arguments: Its arguments.
            progress: Hears how far it has come.

        Returns:
            What it answers, as `content.value_of` gives it.

        Raises:
            ToolFailed: The tool says that it has failed.
            UpstreamCrashed: The server has gone meanwhile, or has not answered in time.
            TargetError: It cannot be started.
        """
        result = await self._asked(tool, lambda client: _answer(client, tool, dict(arguments), progress))
        if isinstance(result, InputRequiredResult):
            raise ToolFailed(f"{tool} of {self.name!r} asks a person something, which cannot be done here")
        if result.is_error:
            raise ToolFailed(f"{tool} of {self.name!r} failed: {_reason(result)}")
        return value_of(result)

    async def _asked(self, what: str, ask: Callable[[Client], Awaitable[_T]]) -> _T:
        """Ask it something, and tell its failures from its end."""
        client = await self._connected()
        try:
            with anyio.fail_after(self.table.call_s):
                return await ask(client)
        except MCPError as error:
            if error.code not in (CONNECTION_CLOSED, REQUEST_TIMEOUT):
                raise ToolFailed(f"{what} of {self.name!r} failed: {error}") from None
            why = f"has gone in the middle of {what}"
        except TimeoutError:
            why = f"has not answered {what} within {self.table.call_s:g} s"
        except ValidationError as error:
            raise UpstreamCrashed(
                f"upstream {self.name!r} has answered {what} with what is no answer: {error}"
            ) from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError) as error:
            why = f"has gone in the middle of {what} ({type(error).__name__})"
        self._crashed(client)
        raise UpstreamCrashed(f"upstream {self.name!r} {why}")

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None:
                wish = _Wish()
                with anyio.move_on_after(self.table.start_s) as waiting:
                    await self._wanted.send(wish)
                    await wish.done.wait()
                if waiting.cancelled_caught:
                    raise TargetError(
                        f"upstream {self.name!r} has not started within {self.table.start_s:g} s",
                        "Try its command by hand, or set start_s.",
                    )
                if self._client is None:
                    raise TargetError(
                        f"upstream {self.name!r} does not start: {wish.failure}", "Try its command by hand."
                    )
            return self._client

    def _crashed(self, client: Client) -> None:
        if self._client is client:
            self._client = None
            self._broken.set()

    async def _keep(self) -> None:
        # Whoever opens the connection has to close it, so one task does both.
        async for wish in self._wishes:
            self._broken = anyio.Event()
            try:
                async with (
                    Client(self._server(), message_handler=self._heard) as client,
                    anyio.create_task_group() as tasks,
                ):
                    self._client = client
                    wish.done.set()
                    if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                        tasks.start_soon(self._listen, client)
                    await self._broken.wait()
                    tasks.cancel_scope.cancel()
            except Exception as error:  # of a server that is gone anything may come
                wish.failure = _told(error)
            finally:
                self._client = None
                wish.done.set()

    async def _heard(self, message: Any) -> None:
        """Hear from a server of the versions with sessions that its lists have changed."""
        kind = _CHANGES.get(type(message))
        if kind is not None:
            self.on_change(kind)

    async def _listen(self, client: Client) -> None:
        """Hear the same from a server of the versions without."""
        with contextlib.suppress(MCPError, ListenNotSupportedError, SubscriptionLost, TimeoutError):
            async with client.listen(
                tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
            ) as events:
                async for event in events:
                    kind = _CHANGES.get(type(event))
                    if kind is not None:
                        self.on_change(kind)

    def _server(self) -> Any:
        table = self.table
        if table.url is not None:
            return table.url
        assert table.command is not None, "the file was checked to have it"
        cwd = (self.folder / table.cwd).resolve()
        return StdioServerParameters(
            command=table.command[0],
            args=table.command[1:],
            env={**os.environ, **table.env},
            cwd=cwd,
        )


async def _answer(
    client: Client, tool: str, arguments: dict[str, Any], progress: ProgressFnT | None
) -> _Result:
    """Return what a tool answers, whether or not it fits its own output schema: it has acted by then."""
    request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments))
    return await client.session.send_request(request, _RESULT, progress_callback=progress)


def _reason(result: CallToolResult) -> str:
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return " ".join(texts) or "it gives no reason"


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(part) for part in error.exceptions)
    return str(error) or type(error).__name__
