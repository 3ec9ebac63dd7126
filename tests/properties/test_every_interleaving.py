"""Small cases, every order of arrival: two agents with three calls each, three agents with two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import pytest

import coagent
from coagent import AgentSession, State, ToolFailed, tool
from coagent.protocol.values import Value


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@tool
async def copy(state: State, source: str, target: str) -> Value:
    """Write to one object what another one holds."""
    value = await state.get(source)
    await state.put(target, value)
    return value


@tool
async def add(state: State, key: str, by: int) -> Value:
    """Read, and write what depends on it."""
    value: int = (await state.get(key) or 0) * 2 + by
    await state.put(key, value)
    return value


@tool
async def put(state: State, key: str, value: int) -> str:
    """Write blindly."""
    await state.put(key, value)
    return "ok"


@tool
async def count(state: State, target: str) -> int:
    """Write how many objects there are."""
    found = len(await state.list("kv:"))
    await state.put(target, found)
    return found


@tool
async def remove(state: State, key: str) -> str:
    """Delete an object that exists."""
    if await state.get(key) is None:
        raise ToolFailed(f"there is no {key}")
    await state.delete(key)
    return "removed"


TOOLS = [copy, add, put, count, remove]
Call = tuple[str, dict[str, object]]
A, B, C, N = "kv:a", "kv:b", "kv:c", "kv:n"


def call(name: str, *values: object) -> Call:
    """Return a call with its arguments in the order of the signature."""
    made = next(one for one in TOOLS if one.name == name)
    return name, dict(zip(made.schema["properties"], values, strict=True))


CASES: dict[str, list[list[Call]]] = {
    "lost update": [[call("add", A, 1)] * 3, [call("add", A, 5)] * 3],
    "write skew": [
        [call("copy", A, B), call("add", A, 1), call("copy", A, C)],
        [call("copy", B, A), call("add", B, 1), call("copy", C, B)],
    ],
    "phantom": [
        [call("count", A), call("put", N, 1), call("count", B)],
        [call("count", C), call("remove", N), call("put", "kv:m", 2)],
    ],
    "blind over read-modify-write": [
        [call("put", A, 7), call("remove", B), call("put", B, 1)],
        [call("add", A, 1), call("put", A, 3), call("add", B, 2)],
    ],
    "failing": [
        [call("remove", A), call("put", A, 4), call("remove", C)],
        [call("remove", A), call("add", A, 1), call("copy", A, C)],
    ],
    "three chains": [
        [call("add", A, 1), call("copy", A, B)],
        [call("add", B, 2), call("copy", B, C)],
        [call("add", C, 3), call("copy", C, A)],
    ],
    "three deleters": [
        [call("remove", A), call("count", B)],
        [call("remove", A), call("put", A, 9)],
        [call("count", C), call("remove", A)],
    ],
}
INITIAL: dict[str, Value] = {A: 1, B: 2, C: 3}


class Steps:
    """An agent that makes its calls one at a time, and again where they had failed and would go through."""

    def __init__(self, session: AgentSession, calls: Sequence[Call]) -> None:
        self.session = session
        self.left = list(calls)
        self.made: list[str] = []

    async def step(self) -> None:
        name, arguments = self.left.pop(0)
        try:
            self.made.append((await self.session.call(name, **arguments)).call_id)
        except ToolFailed as error:
            self.made.append(str(error.call_id))

    async def finish(self) -> None:
        """Finish, and make again what has come to be possible by what the agent was told."""
        await self._revive()
        while (await self.session.finish(wait=True)).state != "committed":
            await self._revive()

    async def _revive(self) -> None:
        for call_id in self.made:
            try:
                self.session.result(call_id)
                if not self.session.effective(call_id):
                    await self.session.amend(call_id)
            except ToolFailed:
                continue


def orders(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield every order of arrival."""
    yield from sorted(set(permutations([who for who, length in enumerate(lengths) for _ in range(length)])))


async def run(agents: Sequence[Sequence[Call]], order: Sequence[int], protocol: str) -> dict[str, Value]:
    """Return where the agents end, in an order of arrival."""
    target = coagent.targets.Memory(INITIAL)
    async with coagent.open_domain("memory:", targets=[target], tools=TOOLS, protocol=protocol) as domain:
        if protocol == "mtpo":
            domain.observe(lambda _event: domain.kernel.check_invariants())
        steps = [Steps(await domain.join(str(who)), calls) for who, calls in enumerate(agents)]
        for who in order:
            await steps[who].step()
        for one in steps:
            await one.finish()
    return target.snapshot()


@pytest.mark.anyio
@pytest.mark.parametrize("case", CASES)
async def test_every_order_of_arrival_ends_as_one_after_another(case: str) -> None:
    agents = CASES[case]
    one_after_another = [who for who, calls in enumerate(agents) for _ in calls]
    wanted = await run(agents, one_after_another, "naive")  # with nobody else there, control changes nothing
    tried = list(orders([len(calls) for calls in agents]))
    assert len(tried) == (20 if len(agents) == 2 else 90)
    for order in tried:
        assert await run(agents, order, "mtpo") == wanted, order


@pytest.mark.anyio
async def test_without_control_some_orders_end_otherwise() -> None:
    agents = CASES["write skew"]
    ends = [await run(agents, order, "naive") for order in orders([3, 3])]
    assert any(end != ends[0] for end in ends)
