"""One task after another, in each arm: by plain bash, by the governed shell, by grown tools, by a model."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import anyio

from coagent_lab.bench.bash.governed import governed
from coagent_lab.bench.bash.growth import growth
from coagent_lab.bench.bash.results import Result, judged
from coagent_lab.bench.bash.tasks import Task, TaskSet
from coagent_lab.bench.bash.trees import build, fresh_copy, run_bash

ARMS = ("raw", "traced", "toolsmith")
BY_MODEL = "toolsmith-model"
"""The arm in which a language model makes the tools."""
_GROWING = ("toolsmith", BY_MODEL)

Worker: TypeAlias = Callable[[Task, Path, Path], Awaitable[Result]]
"""Does a task on a tree in its own way; the second folder is the library of its arm, which lasts over all."""


def run_tasks(
    tasks: TaskSet,
    arms: tuple[str, ...],
    only: frozenset[str],
    progress: Callable[[str], None],
    more: Mapping[str, Worker] | None = None,
) -> dict[str, list[Result]]:
    """Run tasks in each arm, arms by turns, each task on a fresh copy of the tree.

    Args:
        only: Ids of tasks; all where it is empty.
        progress: Called with the id of each task that is done.
        more: Further arms by name, and who does the tasks in them.

    Raises:
        CoAgentError: The tree cannot be made.
    """
    workers: dict[str, Worker] = {**{arm: _OWN[arm] for arm in arms}, **(more or {})}
    found: dict[str, list[Result]] = {arm: [] for arm in workers}
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as scratch:
        place = Path(scratch).resolve()
        template = build(tasks.setup, place / "template")
        for task in tasks.tasks:
            if only and task.id not in only:
                continue
            for arm, worker in workers.items():
                root = fresh_copy(template, place / "work")
                found[arm].append(anyio.run(worker, task, root, place / f"library-{arm}"))
            progress(task.id)
    return found


async def _raw(task: Task, root: Path, library: Path) -> Result:
    start = perf_counter()
    code, output = run_bash(task.solution, root)
    seconds = perf_counter() - start
    return judged(task, root, code, output, seconds)


async def _traced(task: Task, root: Path, library: Path) -> Result:
    return await governed(task, root)


_OWN: dict[str, Worker] = {"raw": _raw, "traced": _traced, "toolsmith": governed}


def summary(found: dict[str, list[Result]]) -> dict[str, Any]:
    """Return the figures of each arm as JSON data.

    Times are ratios to the first arm, over the tasks for which an arm ran anything; None where it never did.
    """
    first = next(iter(found.values()))
    arms = {}
    for arm, results in found.items():
        timed = [(one.seconds, base.seconds) for one, base in zip(results, first, strict=True) if one.seconds]
        own_s, base_s = (sum(both[place] for both in timed) for place in (0, 1))
        tried = [one for one in results if one.undone is not None]
        arms[arm] = {
            "tasks": len(results),
            "passed": sum(one.passed for one in results),
            "undo_tried": len(tried),
            "undo_exact": sum(bool(one.undone) for one in tried),
            "tokens": sum(one.tokens for one in results),
            **(growth(results) if arm in _GROWING else {}),
            "time_ratio": round(own_s / base_s, 2) if base_s else None,
            "failed": [asdict(one) for one in results if not one.passed or one.undone is False],
        }
    return arms
