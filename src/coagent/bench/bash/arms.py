"""One task after another: by plain bash, and by the governed shell, whose calls are undone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import anyio

from coagent.bench.bash.tasks import Task, TaskSet
from coagent.bench.bash.trees import build, differing, fresh_copy, run_bash, tree_of
from coagent.builtin.bash import bash_tools
from coagent.errors import CoAgentError
from coagent.runtime.domain import open_domain
from coagent.targets.files import Files

ARMS = ("raw", "traced")


@dataclass
class Result:
    """How one task went.

    Args:
        passed: Whether its checker was content.
        seconds: How long the command took.
        undone: Whether the undo brought every name, mode and byte back; None where nothing had changed.
        left: Paths that the undo left different.
        why: Why it did not pass, in words.
        tokens: What a language model spent on it.
    """

    task: str
    kind: str
    passed: bool
    seconds: float
    undone: bool | None = None
    left: tuple[str, ...] = ()
    why: str = ""
    tokens: int = 0


Worker: TypeAlias = Callable[[Task, Path], Awaitable[Result]]
"""Does a task on a tree in its own way; its arm is called "model"."""


def run_tasks(
    tasks: TaskSet,
    arms: tuple[str, ...],
    only: frozenset[str],
    progress: Callable[[str], None],
    worker: Worker | None = None,
) -> dict[str, list[Result]]:
    """Run tasks in each arm, arms by turns, each task on a fresh copy of the tree.

    Args:
        only: Ids of tasks; all where it is empty.
        progress: Called with the id of each task that is done.
        worker: Does the tasks as a further arm, "model".

    Raises:
        CoAgentError: The tree cannot be made.
    """
    found: dict[str, list[Result]] = {arm: [] for arm in (*arms, *(["model"] if worker else []))}
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as scratch:
        place = Path(scratch).resolve()
        template = build(tasks.setup, place / "template")
        for task in tasks.tasks:
            if only and task.id not in only:
                continue
            for arm in arms:
                root = fresh_copy(template, place / "work")
                one = _raw(task, root) if arm == "raw" else anyio.run(_traced, task, root)
                found[arm].append(one)
            if worker is not None:
                root = fresh_copy(template, place / "work")
                found["model"].append(anyio.run(worker, task, root))
            progress(task.id)
    return found


def _raw(task: Task, root: Path) -> Result:
    start = perf_counter()
    code, output = run_bash(task.solution, root)
    seconds = perf_counter() - start
    return judged(task, root, code, output, seconds)


async def _traced(task: Task, root: Path) -> Result:
    before = tree_of(root)
    files = Files(root)
    async with open_domain("memory:", targets=[files], tools=bash_tools(files.workspace)) as domain:
        agent = await domain.join("worker")
        await agent.call("bash", command="true")  # what the first command starts lives as long as the domain
        start = perf_counter()
        try:
            outcome = await agent.call("bash", command=task.solution)
        except CoAgentError as error:
            left = differing(before, tree_of(root))
            return Result(
                task.id, task.kind, False, perf_counter() - start, None, tuple(left), f"refused: {error}"
            )
        seconds = perf_counter() - start
        value = outcome.value
        result = judged(task, root, value["exit_code"], value["output"], seconds)
        if not result.passed and value.get("not_kept"):
            result.why = f"not kept: {', '.join(value['not_kept'])}"
        if task.kind == "write" and differing(before, tree_of(root)):
            await agent.undo(outcome.call_id)
            result.left = tuple(differing(before, tree_of(root)))
            result.undone = not result.left
    return result


def judged(task: Task, root: Path, code: int, output: str, seconds: float) -> Result:
    """Return what a task's checker says of a tree and an answer; it works on a copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="coagent-judge-") as scratch:
        answer = Path(scratch) / "answer"
        answer.write_text(output if task.kind == "read" else "", encoding="utf-8")
        judged = fresh_copy(root, Path(scratch) / "tree")  # a checker may look at all there is, and write
        passed = run_bash(task.checker, judged, ANSWER=str(answer))[0] == 0
    why = "" if passed else f"the command ended with {code}: {output.strip()[:200]}"
    return Result(task.id, task.kind, passed, seconds, why=why)


def summary(found: dict[str, list[Result]]) -> dict[str, Any]:
    """Return the figures of each arm as JSON data; times are ratios to the first arm."""
    first = next(iter(found.values()))
    base_s = sum(one.seconds for one in first)
    arms = {}
    for arm, results in found.items():
        tried = [one for one in results if one.undone is not None]
        arms[arm] = {
            "tasks": len(results),
            "passed": sum(one.passed for one in results),
            "undo_tried": len(tried),
            "undo_exact": sum(bool(one.undone) for one in tried),
            "tokens": sum(one.tokens for one in results),
            "time_ratio": round(sum(one.seconds for one in results) / base_s, 2),
            "failed": [asdict(one) for one in results if not one.passed or one.undone is False],
        }
    return arms
