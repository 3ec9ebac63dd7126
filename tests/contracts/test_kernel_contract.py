"""What every protocol's kernel promises, whatever it makes of conflicts: logs replay, and nothing is kept."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coagent
from coagent import AgentNotActive, AgentRestarted, State, ToolFailed, tool
from coagent.log.codec import encode_state
from coagent.protocol.checkpoint import restore, state_of
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent.runtime.protocols import PROTOCOLS
from coagent.runtime.session import AgentSession

KINDS = [("mtpo", "fixed"), ("mtpo", "early"), *((name, "fixed") for name in PROTOCOLS if name != "mtpo")]
SEEDS = range(12)


class Ran(NamedTuple):
    """A run: its protocol, what happened, and what the kernel held at the end."""

    protocol: str
    order: str
    events: tuple[Event, ...]
    dump: str
    leftovers: list[str]

    def kernel(self) -> Mtpo:
        """Return a kernel that nothing has happened to yet."""
        return PROTOCOLS[self.protocol](early=self.order == "early")


@tool
async def read(state: State, key: str) -> Any:
    """Read."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: int) -> None:
    """Write blindly."""
    await state.put(key, value)


@tool
async def add(state: State, key: str, value: int) -> int:
    """Write what depends on what is there; fails where that is nothing."""
    found = await state.get(key)
    if found is None:
        raise ToolFailed("there is nothing")
    await state.put(key, found + value)
    return int(found + value)


@tool
async def delete(state: State, key: str, value: int) -> None:
    """Delete."""
    await state.delete(key)


@tool
async def names(state: State, key: str) -> list[str]:
    """List."""
    return await state.list("kv:")


@tool(effect="irreversible")
async def send(state: State, key: str) -> Any:
    """Do what cannot be taken back."""
    return await state.get(key)


TOOLS = [read, put, add, delete, names, send]


async def _work(session: AgentSession, chance: random.Random) -> None:
    while True:
        try:
            for _ in range(chance.randint(1, 6)):
                await _act(session, chance)
            if chance.random() < 0.2:
                await session.abort()
                return
            while (await session.finish(wait=True)).state != "committed":
                pass
        except AgentRestarted:
            continue
        except AgentNotActive:
            pass
        return


async def _act(session: AgentSession, chance: random.Random) -> None:
    for _ in range(chance.randint(0, 3)):
        await anyio.sleep(0)
    undoable = [call.call_id for call in session.calls if call.tool != "send"]
    if undoable and chance.random() < 0.15:
        await session.undo(chance.choice(undoable))
        return
    made = chance.choice(TOOLS)
    given = {"key": f"kv:{chance.choice('abc')}"}
    if made.name in ("put", "add", "delete"):
        given["value"] = chance.randint(1, 9)  # type: ignore[assignment]
    with contextlib.suppress(ToolFailed):
        await session.call(made.name, **given)


@cache
def ran(protocol: str, order: str, seed: int) -> Ran:
    """Return a random run, the same one for the same seed."""

    async def run() -> Ran:
        chance = random.Random(seed)
        events: list[Event] = []
        target = coagent.targets.Memory({"kv:a": 1, "kv:b": 2})
        async with coagent.open_domain(
            "memory:", targets=[target], tools=TOOLS, protocol=protocol, order=order
        ) as domain:
            domain.observe(events.append)
            async with anyio.create_task_group() as tasks:
                for number in range(chance.randint(2, 4)):
                    tasks.start_soon(_work, await domain.join(f"A{number}"), chance)
            await domain.settle()
            kernel = domain.kernel
            kernel.check_invariants()
            left = [*map(str, kernel.tracked_keys()), *kernel.scanned_prefixes()]
            left += [agent.name for agent in kernel.agents.values() if not agent.ended]
            left += ["work"] * kernel.has_work + ["effects"] * kernel.has_effects
            assert isinstance(kernel, Mtpo)
            return Ran(protocol, order, tuple(events), _dump(kernel), left)

    return anyio.run(run)


def _dump(kernel: Mtpo) -> str:
    return encode_state(state_of(kernel))


def _replayed(kernel: Mtpo, events: Sequence[Event]) -> Mtpo:
    for event in events:
        kernel.step(event)
        if kernel.notifies:  # otherwise what a call saw may have gone without anybody's minding
            kernel.check_invariants()
    return kernel


@pytest.mark.parametrize(("protocol", "order"), KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_replayed_gives_the_kernel_that_it_was_written_by(protocol: str, order: str, seed: int) -> None:
    one = ran(protocol, order, seed)
    kernel = _replayed(one.kernel(), one.events)
    assert _dump(kernel) == one.dump
    assert kernel.passed_over == 0


@pytest.mark.parametrize(("protocol", "order"), KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_when_all_agents_have_ended_nothing_is_kept_of_them(protocol: str, order: str, seed: int) -> None:
    assert ran(protocol, order, seed).leftovers == []


@pytest.mark.parametrize("order", ["fixed", "early"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_kernel_restored_at_any_event_goes_on_as_one_that_was_there(order: str, seed: int) -> None:
    one = ran("mtpo", order, seed)
    for at in range(0, len(one.events), 3):
        before = _replayed(one.kernel(), one.events[:at])
        restored = one.kernel()
        restore(restored, state_of(before))
        assert _dump(_replayed(restored, one.events[at:])) == one.dump, f"from event {at} on"


@pytest.mark.parametrize(("protocol", "order"), KINDS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_may_not_happen_changes_nothing_wherever_a_log_has_it(
    protocol: str, order: str, data: st.DataObject
) -> None:
    one = ran(protocol, order, data.draw(st.sampled_from(SEEDS)))
    strays = data.draw(
        st.dictionaries(
            st.integers(0, len(one.events)), st.lists(st.sampled_from(one.events), min_size=1, max_size=3),
            min_size=1, max_size=4,
        )
    )  # fmt: skip
    kernel, illegal = one.kernel(), 0
    for at in range(len(one.events) + 1):
        for stray in strays.get(at, ()):
            if kernel.objection(stray) is None:
                continue  # it might have happened here too
            before = _dump(kernel)
            assert kernel.step(stray) is None
            assert _dump(kernel) == before, f"{stray} at {at}"
            illegal += 1
        if at < len(one.events):
            kernel.step(one.events[at])
    kernel.check_invariants()
    assert _dump(kernel) == one.dump
    assert kernel.passed_over == illegal
