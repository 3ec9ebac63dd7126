"""Tools of an upstream server as declared tools of a domain, by the tables of the domain file."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio
from mcp_types import Tool

from coagent.config.explain import nearest
from coagent.config.upstreams import StepTable, UpstreamToolTable
from coagent.errors import ConfigurationError, ToolFailed
from coagent.gateways.mcp.paths import Returned, filled
from coagent.gateways.mcp.upstream import UNDER_WAY, UnderWay, Upstream, UpstreamCrashed
from coagent.protocol.calls import Footprint
from coagent.protocol.values import Value
from coagent.tools.declared import DeclaredTool
from coagent.wording.quoting import printable

_TOLD_MAX = 500
_PATH_FIELD = re.compile(r"\{([^{}:\s]+):path\}")


def declared_tools(upstream: Upstream, offered: Sequence[Tool], file: Path) -> list[DeclaredTool]:
    """Return the tools of a server as those of a domain.

    Args:
        upstream: The server.
        offered: The tools that it offers.
        file: The domain file, for messages.

    Raises:
        ConfigurationError: A table names a tool or an argument that the server does not have.
    """
    table = upstream.table
    by_name = {tool.name: tool for tool in offered}
    for name, declaration in table.tools.items():
        steps = [*declaration.prepare.values(), *(declaration.reverse or ())]
        for called in (name, *(step.tool for step in steps)):
            if called not in by_name:
                raise ConfigurationError(
                    f"{file}: upstream {table.name!r} has no tool {called!r}",
                    nearest(called, sorted(by_name)),
                )
    return [
        _declared(upstream, tool, table.tools.get(tool.name))
        for tool in offered
        if tool.name in table.tools or table.undeclared == "govern"
    ]


class UpstreamTool(DeclaredTool):
    """A declared tool of an upstream server.

    Args:
        offered: As its server offers it.
        root: Paths stand in keys relative to it, however its callers write them; None: as they are written.
        paths: The arguments that are paths.
        options: As for `DeclaredTool`.
    """

    def __init__(self, offered: Tool, root: str | None, paths: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.offered_as = offered
        self._root = root
        self._paths = tuple(dict.fromkeys(name.partition(".")[0] for name in paths))

    def footprint(self, arguments: Mapping[str, Any]) -> Footprint:
        if self._root is None:
            return super().footprint(arguments)
        shorter = {name: self._below_root(arguments[name]) for name in self._paths if name in arguments}
        return super().footprint({**arguments, **shorter})

    def _below_root(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._below_root(item) for item in value]
        if not isinstance(value, str) or not value:
            return value
        assert self._root is not None, "paths are made shorter where there is a root"
        inside = os.path.relpath(os.path.join(self._root, value), self._root)
        return value if inside.startswith("..") else inside


def _declared(upstream: Upstream, tool: Tool, declaration: UpstreamToolTable | None) -> DeclaredTool:
    table = upstream.table
    everything = f"{table.name}:"
    if declaration is None:
        reads_only = tool.annotations is not None and bool(tool.annotations.read_only_hint)
        declaration = (
            UpstreamToolTable(effect="read", reads=[everything])
            if reads_only
            else UpstreamToolTable(effect="irreversible", writes=[everything], gate="wait")
        )
    reads = declaration.reads or ([everything] if declaration.effect == "read" else [])
    writes = declaration.writes or ([everything] if declaration.effect == "irreversible" else [])
    phases = Phases(upstream, tool, declaration)
    schema = dict(tool.input_schema)
    hints = tool.annotations
    return UpstreamTool(
        tool,
        None if table.root is None else str((upstream.folder / table.root).resolve()),
        [name for template in (*reads, *writes) for name in _PATH_FIELD.findall(template)],
        exec=phases.exec,
        reads=reads,
        writes=writes,
        prepare=phases.prepare if declaration.prepare else None,
        reverse=phases.reverse if declaration.reverse is not None else None,
        name=table.prefix + tool.name,
        description=_description(tool, declaration),
        schema=schema,
        gate=declaration.gate,
        idempotent=declaration.effect == "irreversible" and hints is not None and bool(hints.idempotent_hint),
    )


def _description(tool: Tool, declaration: UpstreamToolTable) -> str:
    text = printable(tool.description or tool.title or tool.name)
    if declaration.effect != "irreversible":
        return text
    when = (
        "when your work is committed"
        if declaration.gate != "wait"
        else "once the agents before you have committed"
    )
    return f"{text}\n\nThis cannot be taken back, so it runs only {when}."


class Phases:
    """The three phases of one tool, as calls of tools of its server."""

    def __init__(self, upstream: Upstream, tool: Tool, declaration: UpstreamToolTable) -> None:
        self._upstream = upstream
        self._tool = tool.name
        self._repeatable = tool.annotations is not None and bool(tool.annotations.idempotent_hint)
        self._declaration = declaration
        # Of the run of this task: others may run the tool at the same time, for what has nothing to do with
        # it.
        self._prepared: ContextVar[Value] = ContextVar("prepared", default=None)

    async def prepare(self, /, **arguments: Any) -> Value:
        """Capture what the reverse needs: name to what is there, or None where nothing is."""
        found: dict[str, Value] = {"unique": token_hex(8)}
        for name, step in self._declaration.prepare.items():
            try:
                found[name] = await self._step(step, {**arguments, "arguments": arguments})
            except ToolFailed as failure:
                if step.absent is None or not re.search(step.absent, str(failure)):
                    raise
                found[name] = None
        self._prepared.set(found)
        return found

    async def exec(self, /, **arguments: Any) -> Value:
        """Call the tool.

        A server that crashes in the middle of it may have acted. What can be taken back is, so that the call
        has changed nothing; else the message says what is unknown.
        """
        under_way = UNDER_WAY.get()
        name = self._upstream.table.prefix + self._tool
        mine = under_way if under_way is not None and under_way.is_this(name, arguments) else None
        try:
            if self._declaration.effect == "read" and mine is not None:
                return await _unless_cancelled(mine, lambda: self._call(arguments, mine))
            return await self._call(arguments, mine)
        except UpstreamCrashed as crash:
            if self._declaration.effect == "read":
                raise ToolFailed(f"{crash.cause}; it only reads", "Call it again.") from None
            if self._declaration.reverse is None and self._repeatable:  # once or twice, its server says
                return await self._call(arguments, mine)
            await self._after_crash(crash, arguments)
            raise ToolFailed(
                f"{crash.cause}; what it may have done was taken back", "Call it again."
            ) from None

    async def _call(self, arguments: Mapping[str, Any], under_way: UnderWay | None) -> Value:
        progress = None if under_way is None else under_way.progress
        return await self._upstream.call(self._tool, arguments, progress)

    async def _after_crash(self, crash: UpstreamCrashed, arguments: Mapping[str, Any]) -> None:
        """Take back what a call may have done whose server has crashed."""
        told = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        unknown = f"{crash.cause}: whether {self._tool}({told[:_TOLD_MAX]}) took effect is unknown"
        if self._declaration.reverse is None:
            raise UpstreamCrashed(
                unknown, "Look at the system, and put it right by hand if need be."
            ) from None
        try:
            await self.reverse(self._prepared.get(), None, **arguments)
        except Exception as failure:
            raise UpstreamCrashed(
                f"{unknown}, and it could not be taken back: {failure}",
                f"Look at the system; what was there before it: {str(self._prepared.get())[:_TOLD_MAX]}",
            ) from None

    async def reverse(self, prepared: Value, result: Value, /, **arguments: Any) -> None:
        """Take the call back."""
        known = prepared if isinstance(prepared, dict) else {}
        returned = {
            name: None if value is None else Returned(value)
            for name, value in {**known, "result": result}.items()
        }
        for step in self._declaration.reverse or ():
            if step.when is not None and known.get(step.when) is None:
                continue
            if step.unless is not None and known.get(step.unless) is not None:
                continue
            values = {**arguments, **returned, "arguments": arguments}
            if step.each is None:
                await self._step(step, values)
                continue
            for item in filled(f"{{{step.each}}}", values, step.tool):
                await self._step(step, {**values, "item": item})

    async def _step(self, step: StepTable, values: Mapping[str, Any]) -> Value:
        return await self._upstream.call(step.tool, filled(step.arguments, values, step.tool))


async def _unless_cancelled(under_way: UnderWay, act: Callable[[], Awaitable[Value]]) -> Value:
    """Do what only reads, as long as somebody waits for it.

    Raises:
        ToolFailed: Nobody does.
        Exception: What `act` raised.
    """
    found: list[Value] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await under_way.cancelled.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            found.append(await act())
        except Exception as raised:  # a task group would wrap it
            failure = raised
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not found:
        raise ToolFailed(f"{under_way.tool} was cancelled by its client")
    return found[0]
