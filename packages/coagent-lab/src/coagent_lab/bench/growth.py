"""How the cost of a call grows with the calls that were made before and with the agents that take part.

The domains of all sizes are open at once and take turns, so that noise falls on all sizes alike.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from coagent.runtime.domain import Domain
from coagent_lab.bench.samples import Act, median_of_rounds, timed

AIM_RATIOS = {"committed calls": 1.1, "uncommitted calls": 1.1, "agents": 1.3}
"""How much more than at the smallest size a call may cost at the largest, by what grows."""

CALLS_AN_AGENT = 100
CALLS_BEFORE = 10
_SHARED_KEYS = 64

Axis = Literal["committed calls", "uncommitted calls", "agents"]
Open = Callable[[str], AbstractAsyncContextManager[Domain]]


class Plan(NamedTuple):
    """What is measured at which sizes.

    Args:
        series: (subject, axis, sizes).
        rounds: How often each size is measured.
        samples: Samples a round and operation.
    """

    series: list[tuple[str, Axis, list[int]]]
    rounds: int
    samples: int

    @classmethod
    def of(cls, quick: bool) -> Plan:
        """Return the short plan or the full one."""
        calls = [10**3, 10**4, 10**5]
        more = [] if quick else [10**6]
        return cls(
            [
                ("memory", "committed calls", calls + more),
                ("memory", "uncommitted calls", calls + more),
                ("sqlite", "committed calls", calls[:2] if quick else calls),
                ("memory", "agents", [2, 10, 100] if quick else [2, 10, 100, 1000]),
            ],
            5 if quick else 9,
            200,
        )


@dataclass(frozen=True)
class Growth:
    """The median cost of an operation, in microseconds, at growing sizes."""

    subject: str
    axis: Axis
    operation: str
    sizes: list[int]
    median_us: list[float]

    @property
    def aim_ratio(self) -> float:
        """How much more a call is to cost at most."""
        return AIM_RATIOS[self.axis]

    @property
    def ratio(self) -> float:
        """How much more a call costs at the largest size than at the smallest."""
        return round(self.median_us[-1] / self.median_us[0], 3)

    @property
    def met(self) -> bool:
        """Whether it grows by less than was aimed at."""
        return self.ratio <= self.aim_ratio


async def measure_growth(plan: Plan, open_as: Open, progress: Callable[[str], None]) -> list[Growth]:
    """Measure every series of the plan.

    Args:
        plan: What to measure.
        open_as: Opens a fresh domain, on "memory" or on "sqlite", with the tools `get` and `put`.
        progress: Told what is being done.
    """
    found = []
    for subject, axis, sizes in plan.series:
        async with AsyncExitStack() as stack:
            calls: list[dict[str, Act]] = []
            for size in sizes:
                progress(f"growth: {subject}, {size:,} {axis}")
                domain = await stack.enter_async_context(open_as(subject))
                calls.append(await _grown(domain, axis, size))
            found += await _measured(plan, subject, axis, sizes, calls)
        gc.collect()
    return found


async def _measured(
    plan: Plan, subject: str, axis: Axis, sizes: list[int], calls: list[dict[str, Act]]
) -> list[Growth]:
    rounds: dict[tuple[str, int], list[list[float]]] = {}
    gc.collect()
    for number in range(plan.rounds + 1):
        for size, acts in zip(sizes, calls, strict=True):
            for operation, act in acts.items():
                first = number * plan.samples
                samples = await timed(plan.samples, lambda n, act=act, first=first: act(first + n))  # type: ignore[misc]
                if number:  # the first round warms up
                    rounds.setdefault((operation, size), []).append(samples)
    return [
        Growth(
            subject,
            axis,
            operation,
            sizes,
            [round(median_of_rounds(rounds[operation, size], 0.5), 2) for size in sizes],
        )
        for operation in calls[0]
    ]


async def _grown(domain: Domain, axis: Axis, size: int) -> dict[str, Act]:
    """Bring a domain to a size, and return what is to be timed there."""
    if axis == "agents":
        agents = [await domain.join(f"agent {number}") for number in range(size)]
        for number in range(CALLS_BEFORE):
            for agent in agents:
                await agent.call("put", key=f"kv:own {agent.name}", value=number)
                await agent.call("get", key=f"kv:{number % _SHARED_KEYS}")
        return {
            "read": lambda n: agents[n % size].call("get", key=f"kv:{n % _SHARED_KEYS}"),
            "write": lambda n: agents[n % size].call(
                "put", key=f"kv:own {agents[n % size].name}", value=n + CALLS_BEFORE
            ),
        }
    await make_history(domain, size, commit=axis == "committed calls")
    measured: Any = await domain.join("measured")
    return {
        "read": lambda n: measured.call("get", key=f"kv:{n % _SHARED_KEYS}"),
        "write": lambda n: measured.call("put", key=f"kv:{n % _SHARED_KEYS}", value=-n),
    }


async def make_history(domain: Domain, calls: int, *, commit: bool) -> None:
    """Make calls, half of them reads, by agents that commit or by one that does not.

    Args:
        domain: Has the tools `get` and `put`.
        calls: How many; a multiple of `CALLS_AN_AGENT` where agents commit.
        commit: Whether they do.
    """
    each = CALLS_AN_AGENT if commit else calls
    for start in range(0, calls, each):
        agent = await domain.join(f"agent {start}")
        for number in range(start, start + each, 2):
            key = f"kv:{number // 2 % _SHARED_KEYS}"
            await agent.call("put", key=key, value=number + 1)
            await agent.call("get", key=key)
        if commit:
            settlement = await agent.finish()
            assert settlement.state == "committed", "nobody comes before it"
