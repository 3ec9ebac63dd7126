"""Every protocol but `naive` ends as a serial run: random programs and schedules against a plain dict."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

import anyio
import pytest

import coagent
from coagent import AgentRestarted, State, ToolFailed, tool
from coagent.protocol.values import Value
from coagent.runtime.session import AgentSession

RUNS = 200
Program: TypeAlias = Callable[[], Generator[tuple[str, dict[str, Any]], Any, None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@tool
async def read(state: State, key: str) -> Value:
    """Read."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: int) -> str:
    """Write blindly."""
    await state.put(key, value)
    return "ok"


@tool
async def triple(state: State, key: str, by: int) -> int:
    """Read, and write what depends on it."""
    value: int = ((await state.get(key) or 0) * 3 + by) % 1009
    await state.put(key, value)
    return value


@tool
async def keys(state: State) -> list[str]:
    """List."""
    return await state.list("kv:")


@tool
async def move(state: State, source: str, target: str) -> str:
    """Move; fails where there is nothing to move, or something in the way."""
    value = await state.get(source)
    if value is None or await state.get(target) is not None:
        raise ToolFailed("it cannot be moved")
    await state.delete(source)
    await state.put(target, value)
    return "moved"


TOOLS = {one.name: one for one in (read, put, triple, keys, move)}


def program(randomness: random.Random) -> Program:
    """Return a random program; what it does depends on what it reads."""
    steps = [
        (
            randomness.choice(sorted(TOOLS)),
            randomness.choice("abcd"),
            randomness.choice("abcd"),
            randomness.randint(1, 9),
        )
        for _ in range(randomness.randint(2, 6))
    ]

    def run() -> Generator[tuple[str, dict[str, Any]], Any, None]:
        seen = 1
        for name, one, other, number in steps:
            try:
                if name == "read":
                    seen = (seen * 31 + ((yield name, {"key": f"kv:{one}"}) or 0)) % 1009
                elif name == "keys":
                    seen = (seen * 17 + len((yield name, {}))) % 1009
                elif name == "put":
                    yield name, {"key": f"kv:{one if seen % 2 else other}", "value": seen + number}
                elif name == "triple":
                    seen = (seen * 7 + (yield name, {"key": f"kv:{one}", "by": number})) % 1009
                else:
                    yield name, {"source": f"kv:{one}", "target": f"kv:{other}"}
            except ToolFailed:
                seen = (seen * 13 + 5) % 1009

    return run


class Plain:
    """Reads for `State`, from a dict."""

    volatile: frozenset[str] = frozenset()

    def __init__(self, objects: dict[str, Value]) -> None:
        self.objects = objects

    def canonical(self, key: str) -> str:
        return key

    def find(self, key: str) -> tuple[str, Value]:
        return key, self.objects.get(key)

    async def read(self, key: str) -> Value:
        return self.objects.get(key)

    async def keys(self, prefix: str) -> Mapping[str, Value]:
        return {key: value for key, value in self.objects.items() if key.startswith(prefix)}

    async def load(self, wanted: list[str]) -> Mapping[str, Value]:
        return {key: self.objects.get(key) for key in wanted}


async def serially(objects: dict[str, Value], programs: Sequence[Program]) -> dict[str, Value]:
    """Return what the programs leave, one after another."""
    for one in programs:
        running = one()
        result, failure = None, None
        while True:
            try:
                name, arguments = running.throw(failure) if failure else running.send(result)
            except StopIteration:
                break
            state = State(Plain(objects))
            result, failure = None, None
            try:
                result = await TOOLS[name].run(state, arguments)
            except ToolFailed as error:
                failure = error
                continue
            for key, value in state.writes.items():
                if value is None:
                    objects.pop(key, None)
                else:
                    objects[key] = value
    return objects


class Slow(coagent.targets.Memory):
    """A target that lets others go first, at random."""

    def __init__(self, initial: Mapping[str, Value], randomness: random.Random) -> None:
        super().__init__(initial)
        self._randomness = randomness

    async def get(self, key: str) -> Value:
        await self._give_way()
        return await super().get(key)

    async def put(self, key: str, value: Value, *, expected: Sequence[Value]) -> None:
        await self._give_way()
        await super().put(key, value, expected=expected)

    async def _give_way(self) -> None:
        for _ in range(self._randomness.randint(0, 3)):
            await anyio.sleep(0)


async def follow(session: AgentSession, one: Program, target: Slow) -> None:
    """Follow a program; begin again where the protocol has undone it, or a notice has come."""
    while True:
        try:
            if await attempt(session, one, target):
                return
        except AgentRestarted:
            continue


async def attempt(session: AgentSession, one: Program, target: Slow) -> bool:
    """Follow a program once through; False where all of it was undone for a notice."""
    made: list[str] = []
    running = one()
    result, failure = None, None
    notified = False
    while not notified:
        await target._give_way()
        try:
            name, arguments = running.throw(failure) if failure else running.send(result)
        except StopIteration:
            settlement = await session.finish(wait=True)
            if settlement.state == "committed":
                return True
            break
        result, failure = None, None
        try:
            outcome = await session.call(name, **arguments)
            result = outcome.value
            made.append(outcome.call_id)
            notified = bool(outcome.notifications)
        except ToolFailed as error:
            failure = error
            made.append(str(error.call_id))
            notified = bool(error.notifications)
    for call_id in reversed(made):
        await session.undo(call_id)
    return False


async def run(seed: int, protocol: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return where a random run ended, and where its programs end serially in the order of their commits."""
    randomness = random.Random(seed)
    initial: dict[str, Value] = {f"kv:{name}": randomness.randint(0, 9) for name in "abc"}
    programs = [program(randomness) for _ in range(randomness.randint(2, 4))]
    target = Slow(initial, randomness)
    order: list[str] = []
    async with coagent.open_domain(
        "memory:", targets=[target], tools=list(TOOLS.values()), protocol=protocol
    ) as domain:

        def note(_event: object) -> None:
            for agent in domain.agents:
                if agent.phase.value == "committed" and agent.name not in order:
                    order.append(agent.name)

        domain.observe(note)
        async with anyio.create_task_group() as tasks:
            for number, one in enumerate(programs):
                tasks.start_soon(follow, await domain.join(str(number)), one, target)
        assert domain.quiescent
    return target.snapshot(), await serially(dict(initial), [programs[int(name)] for name in order])


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["serial", "2pl", "occ", "mtpo"])
async def test_runs_end_as_one_after_another_in_the_order_of_commits(protocol: str) -> None:
    await hold(protocol, range(RUNS))


@pytest.mark.anyio
@pytest.mark.long
@pytest.mark.parametrize("protocol", ["serial", "2pl", "occ", "mtpo"])
async def test_more_of_them_do(protocol: str) -> None:
    await hold(protocol, range(RUNS, 4 * RUNS))


async def hold(protocol: str, seeds: range) -> None:
    for seed in seeds:
        got, wanted = await run(seed, protocol)
        assert got == wanted, f"seed {seed}"


@pytest.mark.anyio
async def test_naive_is_caught() -> None:
    """A check that the weak protocol passes would show nothing."""
    wrong = 0
    for seed in range(RUNS):
        got, wanted = await run(seed, "naive")
        wrong += got != wanted
    assert wrong > RUNS // 4
