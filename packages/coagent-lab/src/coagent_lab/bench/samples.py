"""Times of single calls: how they are taken, and what is made of them."""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import statistics
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

Act = Callable[[int], Awaitable[Any]]
"""Something to time; it is given the number of the sample."""


async def timed(count: int, act: Act, *, before: Act | None = None, after: Act | None = None) -> list[float]:
    """Return how long each of `count` calls took, in microseconds, without what the clock itself costs.

    Args:
        count: How many samples to take.
        act: What to time.
        before: Done before each of them, untimed.
        after: Done after each of them, untimed.
    """
    clock_ns = _clock_cost_ns()
    found = []
    for number in range(count):
        if before is not None:
            await before(number)
        start = perf_counter_ns()
        await act(number)
        found.append(max(perf_counter_ns() - start - clock_ns, 0) / 1000)
        if after is not None:
            await after(number)
    return found


def percentile(samples: list[float], part: float) -> float:
    """Return the value below which that part (0 to 1) of the samples lies."""
    ordered = sorted(samples)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def median_of_rounds(rounds: list[list[float]], part: float) -> float:
    """Return the median over rounds of one percentile, so that a disturbed round does not count."""
    return statistics.median(percentile(one, part) for one in rounds)


def mean_of_rounds(rounds: list[list[float]]) -> float:
    """Return the median over rounds of their means, which hold what single calls put off to later ones."""
    return statistics.median(statistics.fmean(one) for one in rounds)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "sqlite": sqlite3.sqlite_version,
    }


def collections() -> list[int]:
    """Return how often the garbage collector has run, by generation."""
    return [int(generation["collections"]) for generation in gc.get_stats()]


def _clock_cost_ns() -> int:
    costs = []
    for _ in range(1000):
        start = perf_counter_ns()
        costs.append(perf_counter_ns() - start)
    return int(statistics.median(costs))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"
