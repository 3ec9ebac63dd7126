"""The serial oracle: the programs one after another over a plain dict, and what outsiders did in between.

It shares no code with the kernel or the runtime, so that a defect of theirs cannot hide here: only the tools'
own functions and the programs are the same.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from coagent.agents.scripted import GiveUp, Program
from coagent.errors import ToolFailed
from coagent.tools.declared import DeclaredTool
from coagent.tools.native import NativeTool
from coagent_lab.sim.remote import Remote, remote
from coagent_lab.sim.tools import HEAD, outbox

AnyTool: TypeAlias = NativeTool | DeclaredTool

FAILED = ("failed",)
"""In the place of the result of a call that failed."""


class Edit(NamedTuple):
    """What an outsider did to one object.

    Args:
        saw: What they had before them; None: nothing.
        found: What they left; None: they deleted it.
    """

    key: str
    saw: Any
    found: Any

    def applied(self, now: Any) -> Any:
        """Return what they would have left, had they had `now` before them.

        Outsiders of the simulation keep to what has one meaning: they set fields of documents, put lines of
        their own right above the first line of a text, which nobody ever changes, create and delete.
        """
        saw, found = self.saw, self.found
        if isinstance(found, dict) and isinstance(now, dict):
            known = saw if isinstance(saw, dict) else {}
            touched = [name for name in {*known, *found} if known.get(name) != found.get(name)]
            others = {name: value for name, value in now.items() if name not in touched}
            return others | {name: found[name] for name in touched if name in found}
        if all(isinstance(value, str) and HEAD in value for value in (saw, found, now)):
            old, new = (value.split(HEAD, 1)[0].splitlines(True) for value in (saw, found))
            above, below = now.split(HEAD, 1)
            kept = [line for line in above.splitlines(True) if line in new or line not in old]
            added = [line for line in new if line not in old]
            return "".join([*kept, *added, HEAD, below])
        return found


class Turn(NamedTuple):
    """One agent's run.

    Args:
        sequences: The numbers of its calls within the agent, in their order.
        edits: What outsiders did right above one of its calls, by that call's number, in their order.
    """

    agent: str
    program: Program
    sequences: Sequence[int] = ()
    edits: Sequence[tuple[int, Edit]] = ()


History: TypeAlias = Sequence[Turn | Edit]
"""What happened, one after another."""


@dataclass
class SerialRun:
    """Where the serial run ends.

    Args:
        state: The final state.
        effects: The irreversible effects in their order.
        aborted: The agents whose programs gave up.
        results: What each agent's calls returned, in order; a failure as `FAILED`.
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
    tools: Iterable[AnyTool],
    absent: Iterable[str] = (),
) -> SerialRun:
    """Run programs one after another.

    Args:
        initial: The state before.
        programs: (agent, program) in rank order.
        tools: What they call.
        absent: The agents that were ended from outside: they count as if they had never been.
    """
    left_out = set(absent)
    return run_history(initial, [Turn(*one) for one in programs if one[0] not in left_out], tools)


def run_history(initial: Mapping[str, Any], history: History, tools: Iterable[AnyTool]) -> SerialRun:
    """Run agents and outsiders one after another.

    Args:
        initial: The state before.
        history: What happens.
        tools: What the agents call.
    """
    run = SerialRun(copy.deepcopy(dict(initial)))
    by_name = {tool.name: tool for tool in tools}
    for one in history:
        if isinstance(one, Edit):
            _apply(one, run.state)
        else:
            _run_agent(run, one, by_name)
    return run


def _apply(edit: Edit, objects: dict[str, Any]) -> None:
    value = copy.deepcopy(edit.applied(objects.get(edit.key)))
    if value is None:
        objects.pop(edit.key, None)
    else:
        objects[edit.key] = value


def _run_agent(run: SerialRun, turn: Turn, tools: Mapping[str, AnyTool]) -> None:
    state = dict(run.state)
    staged: list[tuple[str, str, Any]] = []
    results = run.results.setdefault(turn.agent, [])
    edits = list(turn.edits)
    running = turn.program()
    try:
        asked: Any = next(running)
        while True:
            here = turn.sequences[len(results)] if len(results) < len(turn.sequences) else None
            while edits and (here is None or edits[0][0] < here):
                _apply(edits.pop(0)[1], state)
            tool = tools[asked[0]]
            sent: list[tuple[str, str, Any]] = []
            handle = DictState(state)
            try:
                value = _run_tool(tool, handle, asked[1], sent)
            except Exception as failure:
                results.append(FAILED)
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
        for _, edit in edits:
            _apply(edit, state)
        run.state = state
        run.effects += staged
    except (ToolFailed, GiveUp):
        run.aborted.add(turn.agent)


def _run_tool(
    tool: AnyTool, handle: DictState, arguments: Mapping[str, Any], sent: list[tuple[str, str, Any]]
) -> Any:
    token, system = outbox.set(sent), Remote(handle.objects)
    other_token = remote.set(system)
    given = copy.deepcopy(dict(arguments))
    act = tool.exec(given) if isinstance(tool, DeclaredTool) else tool.function(handle, **given)
    try:
        running: Generator[Any, Any, Any] = act.__await__()
        next(running)
    except StopIteration as ended:
        handle.objects = {key: value for key, value in handle.objects.items() if key not in system.before}
        handle.objects |= system.objects
        return ended.value
    finally:
        outbox.reset(token)
        remote.reset(other_token)
    raise AssertionError(f"tool {tool.name!r} of the simulated world waits for something")


def _matching(value: Any, pattern: str) -> list[Any]:
    if not isinstance(value, str):
        return []
    return [[number, line] for number, line in enumerate(value.splitlines(), 1) if re.search(pattern, line)]
