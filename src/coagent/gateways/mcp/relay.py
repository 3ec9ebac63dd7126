"""The upstream servers of a domain: their tools among its own, their resources and prompts, and what changes.

Reading a resource is a call of the agent that reads, so that what later agents have done is not in it, and
its agent is told when it changes. Prompts are texts for people, and are passed on as they are.
Source: Model Context Protocol specification, "Resources", "Prompts" and "Tools: List Changed Notification".
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp_types import (
    BlobResourceContents,
    GetPromptResult,
    Prompt,
    ReadResourceResult,
    Resource,
    ResourceContents,
    ResourceTemplate,
    TextResourceContents,
    Tool,
)

from coagent.config.domain_file import Configured
from coagent.errors import CoAgentError, ConfigurationError, InvalidArguments, ToolFailed
from coagent.gateways.mcp.content import decode, encode
from coagent.gateways.mcp.declarations import UpstreamTool, declared_tools
from coagent.gateways.mcp.own_tools import OWN_TOOLS
from coagent.gateways.mcp.upstream import ListKind, Upstream
from coagent.protocol.values import Value
from coagent.runtime.domain import Domain
from coagent.runtime.outcomes import Outcome
from coagent.tools.base import Tool as DomainTool
from coagent.wording.quoting import Quoting
from coagent.wording.results import with_notices

NOTICES_URI = "coagent://notices"
"""The resource under which notices stand beside what is read."""
_URI_SCHEMA = {"type": "object", "properties": {"uri": {"type": "string"}}, "required": ["uri"]}


class ResourceReader(UpstreamTool):
    """Reads resources of a server, as a tool that no client is offered."""

    def __init__(self, upstream: Upstream) -> None:
        async def read(uri: str) -> Value:
            result = await upstream.read_resource(uri)
            return [decode(block.model_dump(mode="json", by_alias=True)) for block in result.contents]

        name = resource_tool(upstream.name)
        super().__init__(
            Tool(name=name, input_schema=_URI_SCHEMA),
            None,
            (),
            exec=read,
            reads=upstream.table.resources or [f"{upstream.name}:"],
            name=name,
            description=f"Read a resource of {upstream.name}.",
            schema=_URI_SCHEMA,
        )


def resource_tool(upstream: str) -> str:
    """Return the name of the tool that reads a server's resources."""
    return f"{upstream}:resource"


class Relay:
    """All upstream servers of a domain.

    Args:
        domain: The domain.
        file: Its file, for messages.
    """

    def __init__(self, domain: Domain, file: Path) -> None:
        self._domain = domain
        self._file = file
        self._upstreams: list[Upstream] = []
        self._offered: dict[str, frozenset[str]] = {}
        self.has_resources = self.has_prompts = False
        self.on_change: Callable[[ListKind], None] = lambda kind: None
        """Called when clients' lists have changed."""
        self._changes, self._to_come = anyio.create_memory_object_stream[tuple[Upstream, ListKind]](math.inf)

    async def add(self, upstream: Upstream) -> None:
        """Take a running server up.

        Raises:
            ConfigurationError: It cannot be used, its declarations do not fit its tools, or it has a tool of
                a name that is taken.
        """
        self._upstreams.append(upstream)
        await self._offer(upstream)
        if await upstream.has("resources"):
            self.has_resources = True
            self._domain.add_tools([ResourceReader(upstream)])
        if await upstream.has("prompts"):
            self.has_prompts = True
        upstream.on_change = lambda kind: self._changes.send_nowait((upstream, kind))

    async def follow(self) -> None:
        """Take up what servers say has changed, for ever."""
        async for upstream, kind in self._to_come:
            if kind == "tools":
                try:
                    await self._offer(upstream)
                except CoAgentError:  # as before: agents may have called what is there
                    continue
            self.on_change(kind)

    def is_offered(self, tool: DomainTool) -> bool:
        """Tell whether clients may call a tool: its server has it still, and it is no reader of resources."""
        if isinstance(tool, ResourceReader):
            return False
        return not isinstance(tool, UpstreamTool) or any(
            tool.name in names for names in self._offered.values()
        )

    async def _offer(self, upstream: Upstream) -> None:
        tools = declared_tools(upstream, await upstream.tools(), self._file)
        mine = self._offered.get(upstream.name, frozenset())
        own = {tool.name for tool in OWN_TOOLS}
        for tool in tools:
            other = next((name for name, names in self._offered.items() if tool.name in names), None)
            taken = tool.name in own or (tool.name in self._domain.tools and other is None)
            if other not in (None, upstream.name) or taken:
                raise ConfigurationError(
                    f"{self._file}: "
                    + (
                        f"CoAgent has a tool {tool.name!r} of its own, as upstream {upstream.name!r} has"
                        if other is None
                        else f"upstreams {other!r} and {upstream.name!r} both have a tool {tool.name!r}"
                    ),
                    f'Give one of them a prefix: prefix = "{upstream.name}_".',
                )
        self._domain.add_tools([tool for tool in tools if tool.name not in mine])
        self._domain.tools.update({tool.name: tool for tool in tools if tool.name in mine})
        self._offered[upstream.name] = frozenset(tool.name for tool in tools)

    async def resources(self) -> list[Resource]:
        """Return the resources of all servers."""
        return [
            resource for upstream in await self._with("resources") for resource in await upstream.resources()
        ]

    async def templates(self) -> list[ResourceTemplate]:
        """Return the templates of resources of all servers."""
        return [
            template for upstream in await self._with("resources") for template in await upstream.templates()
        ]

    async def reader(self, uri: str) -> str:
        """Return the tool that reads a resource: of the server that lists it, or has a template for it.

        Raises:
            InvalidArguments: No server has it.
        """
        best, chosen = -1, None
        for upstream in await self._with("resources"):
            if any(resource.uri == uri for resource in await upstream.resources()):
                return resource_tool(upstream.name)
            for template in await upstream.templates():
                start = template.uri_template.partition("{")[0]
                if uri.startswith(start) and len(start) > best:
                    best, chosen = len(start), upstream
        if chosen is None:
            raise InvalidArguments(f"there is no resource {uri!r}", "List the resources.")
        return resource_tool(chosen.name)

    async def prompts(self) -> list[Prompt]:
        """Return the prompts of all servers, under the names that their tools would have."""
        return [
            prompt.model_copy(update={"name": upstream.table.prefix + prompt.name})
            for upstream in await self._with("prompts")
            for prompt in await upstream.prompts()
        ]

    async def prompt(self, name: str, arguments: dict[str, str] | None) -> GetPromptResult:
        """Return a prompt with its arguments filled in.

        Raises:
            InvalidArguments: No server has it.
        """
        for upstream in await self._with("prompts"):
            for prompt in await upstream.prompts():
                if upstream.table.prefix + prompt.name == name:
                    return await upstream.prompt(prompt.name, arguments)
        raise InvalidArguments(f"there is no prompt {name!r}", "List the prompts.")

    async def _with(self, kind: Any) -> Sequence[Upstream]:
        return [upstream for upstream in self._upstreams if await upstream.has(kind)]


def resource_of(outcome: Outcome, quoting: Quoting) -> ReadResourceResult:
    """Return what was read as the client gets it: notices beside it, in a resource of their own.

    Args:
        outcome: Of a call of a `ResourceReader`.
        quoting: Of the agent that reads.
    """
    contents: list[Any] = [_contents(part, quoting) for part in outcome.value]
    if outcome.notifications:
        text = with_notices(outcome.notifications, "", quoting).strip()
        contents.insert(0, TextResourceContents(uri=NOTICES_URI, mime_type="text/plain", text=text))
    return ReadResourceResult(contents=contents)


def _contents(value: dict[str, Any], quoting: Quoting) -> ResourceContents:
    given = encode(value)
    if "blob" in given:
        return BlobResourceContents.model_validate(given, by_name=False)
    if not isinstance(given.get("text"), str):
        raise ToolFailed(f"{given.get('uri')!r} has neither text nor bytes")
    return TextResourceContents.model_validate(
        {**given, "text": quoting.set_apart(given["text"])}, by_name=False
    )


@asynccontextmanager
async def connected(found: Configured) -> AsyncIterator[Relay]:
    """Hold while the upstream servers of a domain run, their tools among the domain's.

    Raises:
        ConfigurationError: One cannot be started, or its declarations do not fit its tools.
    """
    relay = Relay(found.domain, found.path)
    async with AsyncExitStack() as stack:
        for table in found.file.upstreams:
            running = Upstream(table, found.path.resolve().parent).running()
            await relay.add(await stack.enter_async_context(running))
        if not found.file.upstreams:
            yield relay
            return
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(relay.follow)
        yield relay
        tasks.cancel_scope.cancel()
