"""Existing MCP servers behind a domain: started, watched over, and started again when they have crashed.

Source: Model Context Protocol specification, "Tools" and "Lifecycle"; mcp Python SDK 2, `mcp.Client`.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from mcp import Client, StdioServerParameters
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    TextContent,
    Tool,
)
from pydantic import TypeAdapter, ValidationError

from coagent.config.domain_file import Configured
from coagent.config.upstreams import UpstreamTable
from coagent.errors import ConfigurationError, TargetError, ToolFailed
from coagent.gateways.mcp.content import value_of
from coagent.protocol.values import Value

_Result: TypeAlias = CallToolResult | InputRequiredResult
_RESULT: TypeAdapter[_Result] = TypeAdapter(_Result)
_PAGES_MAX = 1000
"""A server whose pages never end is not followed for ever."""
PROGRESS: ContextVar[ProgressFnT | None] = ContextVar("progress", default=None)
"""Hears how far the tool has come that is called in this task."""


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
            ConfigurationError: It cannot be started.
        """
        try:
            client = await self._connected()
            found: list[Tool] = []
            cursor: str | None = None
            for _ in range(_PAGES_MAX):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                if page.next_cursor is None or page.next_cursor == cursor:
                    break
                cursor = page.next_cursor
            return found
        except (TargetError, MCPError, ValidationError) as error:
            raise ConfigurationError(
                f"upstream {self.name!r} cannot be used: {error}", "Try its command by hand."
            ) from None

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Value:
        """Call one of its tools.

        Returns:
            What it answers, as `content.value_of` gives it.

        Raises:
            ToolFailed: The tool says that it has failed.
            UpstreamCrashed: The server has gone meanwhile, or has not answered in time.
            TargetError: It cannot be started.
        """
        client = await self._connected()
        try:
            with anyio.fail_after(self.table.call_s):
                result = await self._answer(client, tool, dict(arguments))
        except MCPError as error:
            if error.code not in (CONNECTION_CLOSED, REQUEST_TIMEOUT):
                raise ToolFailed(f"{tool} of {self.name!r} failed: {error}") from None
            self._crashed(client)
            raise UpstreamCrashed(f"upstream {self.name!r} has gone in the middle of {tool}") from None
        except TimeoutError:
            self._crashed(client)
            raise UpstreamCrashed(
                f"upstream {self.name!r} has not answered {tool} within {self.table.call_s:g} s"
            ) from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError) as error:
            self._crashed(client)
            raise UpstreamCrashed(
                f"upstream {self.name!r} has gone in the middle of {tool} ({type(error).__name__})"
            ) from None
        if isinstance(result, InputRequiredResult):
            raise ToolFailed(f"{tool} of {self.name!r} asks a person something, which cannot be done here")
        if result.is_error:
            raise ToolFailed(f"{tool} of {self.name!r} failed: {_reason(result)}")
        return value_of(result)

    async def _answer(self, client: Client, tool: str, arguments: dict[str, Any]) -> _Result:
        """Return what a tool answers, whether or not it fits its own output schema: it has acted by then."""
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments))
        return await client.session.send_request(request, _RESULT, progress_callback=PROGRESS.get())

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
                async with Client(self._server()) as client:
                    self._client = client
                    wish.done.set()
                    await self._broken.wait()
            except Exception as error:  # of a server that is gone anything may come
                wish.failure = _told(error)
            finally:
                self._client = None
                wish.done.set()

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


@asynccontextmanager
async def connected(found: Configured) -> AsyncIterator[None]:
    """Hold while the upstream servers of a domain run, their tools among the domain's.

    Raises:
        ConfigurationError: One cannot be started, or its declarations do not fit its tools.
    """
    from coagent.gateways.mcp.declarations import declared_tools

    async with AsyncExitStack() as stack:
        for table in found.file.upstreams:
            running = Upstream(table, found.path.resolve().parent).running()
            upstream = await stack.enter_async_context(running)
            found.domain.add_tools(declared_tools(upstream, await upstream.tools(), found.path))
        yield


def _reason(result: CallToolResult) -> str:
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return " ".join(texts) or "it gives no reason"


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(one) for one in error.exceptions)
    return str(error) or type(error).__name__
