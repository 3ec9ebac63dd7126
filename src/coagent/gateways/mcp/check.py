"""Tries the declarations of upstream servers against scratch instances: is what they say so?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mcp_types import Tool

from coagent.config.upstreams import StepTable, UpstreamTable, UpstreamToolTable
from coagent.errors import CoAgentError
from coagent.gateways.mcp.declarations import UpstreamTool, declared_tools
from coagent.gateways.mcp.paths import filled
from coagent.gateways.mcp.upstream import Upstream
from coagent.protocol.values import Value, same

Verdict = Literal["ok", "wrong", "untried", "undeclared"]
_SHOWN_MAX = 160


@dataclass(frozen=True)
class Finding:
    """What was found of one tool.

    Args:
        upstream: Its server.
        tool: Its name.
        effect: As declared, or as taken for granted.
        verdict: "ok", "wrong", "untried" (it could not be tried), or "undeclared".
        why: In words; empty where all is right.
    """

    upstream: str
    tool: str
    effect: str
    verdict: Verdict
    why: str


async def check(table: UpstreamTable, folder: Path, file: Path) -> list[Finding]:
    """Try the declarations of one server against a scratch instance of it.

    Args:
        table: The server and its declarations.
        folder: Where relative paths start.
        file: The domain file, for messages.

    Raises:
        ConfigurationError: The scratch instance cannot be started, or a table names a tool that is not there.
    """
    with tempfile.TemporaryDirectory(prefix="coagent-check-") as scratch:
        root = Path(scratch).resolve()
        for path, content in table.check.files.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        places = {"scratch": str(root)}
        command = filled(table.check.command or table.command, places, table.name)
        instance = table.model_copy(update={"command": command, "root": str(root)})
        async with Upstream(instance, folder).running() as upstream:
            offered = await upstream.tools()
            tools = {
                tool.name.removeprefix(table.prefix): tool for tool in declared_tools(upstream, offered, file)
            }
            for step in table.check.setup:
                await upstream.call(step.tool, filled(step.arguments, places, step.tool))
            trial = _Trial(upstream, table, places)
            return [await trial.of(tool, tools.get(tool.name)) for tool in offered]


class _Trial:
    """Tries one tool after another."""

    def __init__(self, upstream: Upstream, table: UpstreamTable, places: dict[str, str]) -> None:
        self._upstream = upstream
        self._table = table
        self._places = places

    async def of(self, offered: Tool, tool: Any) -> Finding:
        declaration = self._table.tools.get(offered.name)
        if declaration is None:
            taken = "hidden" if tool is None else tool.effect if tool.writes else "read"
            return self._found(offered, taken, "undeclared", f"it is taken to be {_guess(tool)}")
        if not declaration.scratch:
            return self._found(offered, declaration.effect, "untried", "it has no scratch arguments")
        if declaration.effect == "irreversible":
            return self._found(offered, declaration.effect, "untried", "what is irreversible is not tried")
        if not self._table.check.observe:
            return self._found(offered, declaration.effect, "untried", "there are no check.observe steps")
        for arguments in declaration.scratch:
            why = await self._faults(tool, declaration, filled(arguments, self._places, offered.name))
            if why:
                return self._found(offered, declaration.effect, "wrong", why)
        return self._found(offered, declaration.effect, "ok", "")

    async def _faults(
        self, tool: UpstreamTool, declaration: UpstreamToolTable, arguments: dict[str, Any]
    ) -> str:
        """Run a tool and take it back; returns what was not as it is declared."""
        told = str(arguments)[:_SHOWN_MAX]
        try:
            checked = tool.arguments.checked(arguments)
            tool.footprint(checked)
            before = await self._state()
            prepared = await tool.prepare(checked)
            if not same(before, await self._state()):
                return f"with {told}: prepare has changed something"
            result = await tool.exec(checked)
            after = await self._state()
            if declaration.effect == "read":
                return "" if same(before, after) else f"with {told}: it is declared to read, and has written"
            await tool.reverse(prepared, result, checked)
            restored = await self._state()
        except CoAgentError as failure:
            return f"with {told}: {failure}"
        if not same(before, restored):
            return (
                f"with {told}: the reverse does not restore what was there: {_difference(before, restored)}"
            )
        if same(before, after) and declaration.reverse:
            return f"with {told}: the check.observe steps do not show that anything has changed"
        return ""

    async def _state(self) -> Value:
        found: list[Value] = []
        for step in self._table.check.observe:
            found.append(await self._observed(step))
        return found

    async def _observed(self, step: StepTable) -> Value:
        try:
            return await self._upstream.call(step.tool, filled(step.arguments, self._places, step.tool))
        except CoAgentError as failure:
            return f"error: {failure}"

    def _found(self, tool: Tool, effect: str, verdict: Verdict, why: str) -> Finding:
        return Finding(self._table.name, tool.name, effect, verdict, why)


def failed(findings: Sequence[Finding]) -> bool:
    """Tell whether any declaration is wrong."""
    return any(finding.verdict == "wrong" for finding in findings)


def _guess(tool: Any) -> str:
    if tool is None:
        return "hidden from agents"
    if not tool.writes:
        return "reading everything of its server, by its annotation"
    return "irreversible, and writing everything of its server"


def _difference(before: Value, after: Value) -> str:
    from coagent.protocol.differences import difference

    text = difference(before, after)
    return text if len(text) <= 4 * _SHOWN_MAX else f"{text[: 4 * _SHOWN_MAX]}…"
