"""The serial oracle: tools over a plain dict, one agent after another. It shares no code with the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from coagent.errors import CoAgentError
from coagent.protocol.calls import Position, Rank, position_of
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.tools.native import NativeTool
from coagent.tools.state import State
from coagent_lab.bench.contended.workload import Program

_CALLS_MAX = 1000


class _Dict:
    """Reads for a `State`, from a dict."""

    volatile: frozenset[str] = frozenset()
    position: Position = position_of(0, 0)
    rank = Rank(0)

    def __init__(self, objects: Mapping[str, Value]) -> None:
        self._objects = objects

    def canonical(self, key: str) -> Key:
        return Key(key)

    literal = canonical

    def find(self, key: str) -> tuple[Key, Value]:
        return (name := Key(key)), self._objects.get(name)

    async def read(self, key: Key) -> Value:
        return self._objects.get(key)

    async def keys(self, prefix: str) -> Mapping[Key, Value]:
        return {Key(key): value for key, value in self._objects.items() if key.startswith(prefix)}

    def written(self, prefix: str) -> Mapping[Key, Value]:
        return {}

    def writers(self, prefix: str) -> Mapping[Key, Position | None]:
        return {}

    def own(self, *prefixes: str) -> frozenset[Key]:
        return frozenset()

    async def load(self, keys: list[Key]) -> Mapping[Key, Value]:
        return {key: self._objects.get(key) for key in keys}


async def run_serially(
    objects: Mapping[str, Value], tools: Iterable[NativeTool], programs: Iterable[Program]
) -> dict[str, Value]:
    """Return the state that the programs leave, one after another.

    Raises:
        CoAgentError: A program raises, or does not end.
    """
    state = dict(objects)
    by_name = {tool.name: tool for tool in tools}
    for program in programs:
        await _follow(state, by_name, program)
    return state


async def _follow(state: dict[str, Value], tools: Mapping[str, NativeTool], program: Program) -> None:
    running = program()
    result: Any = None
    failure: CoAgentError | None = None
    for _ in range(_CALLS_MAX):
        try:
            name, arguments = running.send(result) if failure is None else running.throw(failure)
        except StopIteration:
            return
        tool = tools[name]
        handle = State(_Dict(state))
        result, failure = None, None
        try:
            result = await tool.run(handle, tool.arguments.checked(arguments))
        except CoAgentError as error:
            failure = error
            continue
        for key, value in handle.writes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
    raise CoAgentError(f"a policy has made {_CALLS_MAX} calls and does not end", "Correct the policy.")
