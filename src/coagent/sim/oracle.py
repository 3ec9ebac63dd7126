"""The serial oracle: the programs one after another over a plain dict.

It shares no code with the kernel or the runtime, so that a defect of theirs cannot hide here: only the tools'
own functions and the programs are the same.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coagent.agents.scripted import GiveUp, Program
from coagent.errors import ToolFailed
from coagent.sim.tools import outbox
from coagent.tools.native import NativeTool


@dataclass
class SerialRun:
    """Where the serial run ends.

    Args:
        state: The final state.
        effects: The irreversible effects in their order.
        aborted: The agents whose programs gave up.
        results: What each agent's calls returned, in order; a failure as ("failed",).
    """

    state: dict[str, Any]
    effects: list[tuple[str, str, Any]] = field(default_factory=list)
    aborted: set[str] = field(default_factory=set)
    results: dict[str, list[Any]] = field(default_factory=dict)


class DictState:
    """What a tool gets in the place of a `State`: a dict, and the call's own changes over it."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self.objects = dict(objects)

    async def get(
        self,
        key: str,
        *,
        path: str | None = None,
        lines: tuple[int, int | None] | None = None,
        match: str | None = None,
    ) -> Any:
        """Read an object or a part of it."""
        value = copy.deepcopy(self.objects.get(key))
        if path is not None:
            for step in path.split("/")[1:]:
                value = value.get(step) if isinstance(value, dict) else None
        elif lines is not None:
            if not isinstance(value, str):
                return None
            first, last = lines
            value = "".join(value.splitlines(keepends=True)[first - 1 : last])
        elif match is not None:
            value = _matching(value, match)
        return value

    async def put(self, key: str, value: Any) -> None:
        """Write an object; None deletes it."""
        if value is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = copy.deepcopy(value)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        self.objects.pop(key, None)

    async def list(self, prefix: str, *, glob: str | None = None) -> list[str]:
        """List the keys under a prefix."""
        wanted = None if glob is None else re.compile(re.escape(glob).replace(r"\*", "[^/]*"))
        return sorted(
            key
            for key in self.objects
            if key.startswith(prefix) and (wanted is None or wanted.fullmatch(key.split(":", 1)[1]))
        )

    async def search(self, prefix: str, pattern: str) -> dict[str, Any]:
        """Search the texts under a prefix."""
        found = {key: _matching(self.objects[key], pattern) for key in await self.list(prefix)}
        return {key: lines for key, lines in found.items() if lines}


def run_serially(
    initial: Mapping[str, Any],
    programs: Iterable[tuple[str, Program]],
    tools: Iterable[NativeTool],
    absent: Iterable[str] = (),
) -> SerialRun:
    """Run programs one after another.

    Args:
        initial: The state before.
        programs: (agent, program) in rank order.
        tools: What they call.
        absent: The agents that were ended from outside: they count as if they had never been.
    """
    run = SerialRun(copy.deepcopy(dict(initial)))
    by_name = {tool.name: tool for tool in tools}
    for agent, program in programs:
        if agent not in set(absent):
            _run_agent(run, agent, program, by_name)
    return run


def _run_agent(run: SerialRun, agent: str, program: Program, tools: Mapping[str, NativeTool]) -> None:
    state = dict(run.state)
    staged: list[tuple[str, str, Any]] = []
    results = run.results.setdefault(agent, [])
    running = program()
    try:
        asked: Any = next(running)
        while True:
            tool = tools[asked[0]]
            sent: list[tuple[str, str, Any]] = []
            handle = DictState(state)
            try:
                value = _run_tool(tool, handle, asked[1], sent)
            except Exception as failure:
                results.append(("failed",))
                asked = running.throw(ToolFailed(str(failure)))
                continue
            state = handle.objects
            if tool.gate == "stage":
                staged += sent
                value = "staged"
            elif tool.gate == "wait":
                run.effects += [*staged, *sent]
                staged = []
            results.append(value)
            asked = running.send(copy.deepcopy(value))
    except StopIteration:
        run.state = state
        run.effects += staged
    except (ToolFailed, GiveUp):
        run.aborted.add(agent)


def _run_tool(
    tool: NativeTool, handle: DictState, arguments: Mapping[str, Any], sent: list[tuple[str, str, Any]]
) -> Any:
    token = outbox.set(sent)
    try:
        running: Generator[Any, Any, Any] = tool.function(
            handle, **copy.deepcopy(dict(arguments))
        ).__await__()
        next(running)
    except StopIteration as ended:
        return ended.value
    finally:
        outbox.reset(token)
    raise AssertionError(f"tool {tool.name!r} of the simulated world waits for something")


def _matching(value: Any, pattern: str) -> list[Any]:
    if not isinstance(value, str):
        return []
    return [[number, line] for number, line in enumerate(value.splitlines(), 1) if re.search(pattern, line)]
