"""Both sections of the benchmark, as JSON data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from coagent_lab.bench.bash.arms import Worker, run_tasks, summary
from coagent_lab.bench.bash.contended import Contest
from coagent_lab.bench.bash.scenarios import SCENARIOS
from coagent_lab.bench.bash.tasks import TaskSet
from coagent_lab.bench.samples import machine


def measure(
    tasks: TaskSet,
    arms: tuple[str, ...],
    only: frozenset[str],
    workers: Sequence[int],
    seeds: Sequence[int],
    progress: Callable[[str], None],
    more: Mapping[str, Worker] | None = None,
) -> dict[str, Any]:
    """Run tasks alone, then workers together.

    Args:
        workers: Numbers of workers that work at once.
        seeds: One for each trial.
        progress: Called with what has been done.
        more: Further arms by name, and who does the tasks alone in them.

    Returns:
        `alone` by arm, `together` by case; `raw_broken`: the part of the trials that plain bash ended as no
        serial run ends, whatever the order; `raw_broken_min`: the same for the case that it does best in.
        Where that is 0, the case says nothing. Both are None without such trials.
    """
    alone = summary(run_tasks(tasks, arms, only, progress, more))
    together = anyio.run(_together, arms, workers, seeds, progress) if seeds else []
    broken = [1 - one["some_order"] / one["trials"] for one in together if one["arm"] == "raw"]
    return {
        "tasks": tasks.name,
        "machine": machine(),
        "parameters": {"workers": list(workers), "seeds": list(seeds)},
        "alone": alone,
        "together": together,
        "raw_broken": sum(broken) / len(broken) if broken else None,
        "raw_broken_min": min(broken, default=None),
    }


async def _together(
    arms: tuple[str, ...], workers: Sequence[int], seeds: Sequence[int], progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    found = []
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as scratch:
        for number, scenario in enumerate(SCENARIOS):
            for count in workers:
                contest = Contest(scenario, count, Path(scratch).resolve() / f"{number}-{count}")
                for arm in arms:
                    trials = [await contest.trial(arm, seed) for seed in seeds]
                    found.append(
                        {
                            "scenario": scenario.name,
                            "workers": count,
                            "arm": arm,
                            "trials": len(trials),
                            "in_order": sum(one.in_order for one in trials),
                            "some_order": sum(one.some_order for one in trials),
                            "notices": sum(one.notices for one in trials) / len(trials),
                            "served": sum(one.served for one in trials),
                            "failures": [one.failure for one in trials if one.failure],
                        }
                    )
                    progress(f"{scenario.name}, {count} workers, {arm}")
    return found
