"""One task after another: by plain bash, by the governed shell, and by grown tools; calls are undone again.

The worker with a ToolSmith sends the command of the task with `request_tool` and calls the tool that it is
given, with the arguments that it is given; where no tool can be had, it falls back on the governed shell, and
that is counted. The library lasts over all tasks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import anyio

from coagent.bench.bash.tasks import Task, TaskSet
from coagent.bench.bash.trees import build, differing, fresh_copy, run_bash, tree_of
from coagent.builtin.bash import bash_tool
from coagent.builtin.commands import CommandRunner
from coagent.errors import CoAgentError
from coagent.runtime.domain import open_domain
from coagent.targets.files import Files

ARMS = ("raw", "traced", "toolsmith")


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
        asking_s: How long it took to be given a tool, in seconds; a new one is verified meanwhile.
        tool: The grown tool that did it; empty where none did.
        made: Whether that tool was made for it.
        no_tool: Why no tool could be had.
    """

    task: str
    kind: str
    passed: bool
    seconds: float
    undone: bool | None = None
    left: tuple[str, ...] = ()
    why: str = ""
    tokens: int = 0
    asking_s: float = 0.0
    tool: str = ""
    made: bool = False
    no_tool: str = ""


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
        library = place / "library"
        template = build(tasks.setup, place / "template")
        for task in tasks.tasks:
            if only and task.id not in only:
                continue
            for arm in arms:
                root = fresh_copy(template, place / "work")
                if arm == "raw":
                    found[arm].append(_raw(task, root))
                else:
                    found[arm].append(
                        anyio.run(_governed, task, root, library if arm == "toolsmith" else None)
                    )
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


async def _governed(task: Task, root: Path, library: Path | None) -> Result:
    """Do a task by the governed shell, or by grown tools where there is a library."""
    before = tree_of(root)
    files = Files(root)
    runner = CommandRunner(files.workspace)
    tools: list[Any] = [bash_tool(runner)]
    if library is not None:
        from coagent.toolsmith.smith import smith_tools

        tools.append(smith_tools(files.workspace, library, runner=runner))
    async with open_domain("memory:", targets=[files], tools=tools) as domain:
        agent = await domain.join("worker")
        await agent.call("bash", command="true")  # what the first command starts lives as long as the domain
        arguments: dict[str, Any]
        call, arguments = "bash", {"command": task.solution}
        served: dict[str, Any] = {}
        start = perf_counter()
        if library is not None:
            known = {path.stem for path in library.glob("*.toml")}
            answer = (await agent.call("request_tool", request=task.request, command=task.solution)).value
            served = {"no_tool": str(answer.get("reason", ""))}
            if "tool" in answer:
                call, arguments = "use_tool", {"name": answer["tool"], "arguments": answer["arguments"]}
                served = {"tool": answer["tool"], "made": answer["tool"] not in known}
            served["asking_s"] = perf_counter() - start
            start = perf_counter()
        try:
            outcome = await agent.call(call, **arguments)
        except CoAgentError as error:
            left = tuple(differing(before, tree_of(root)))
            seconds = perf_counter() - start
            return Result(task.id, task.kind, False, seconds, None, left, f"refused: {error}", **served)
        seconds = perf_counter() - start
        value = (
            outcome.value if isinstance(outcome.value, dict) else {"exit_code": 0, "output": outcome.value}
        )
        result = replace(judged(task, root, value["exit_code"], value["output"], seconds), **served)
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
            **(_growth(results) if arm == "toolsmith" else {}),
            "time_ratio": round(sum(one.seconds for one in results) / base_s, 2),
            "failed": [asdict(one) for one in results if not one.passed or one.undone is False],
        }
    return arms


def _growth(results: list[Result]) -> dict[str, Any]:
    """Return how many tools there were after each task, and how they were used."""
    tools: list[str] = []
    curve = []
    for one in results:
        if one.tool and one.tool not in tools:
            tools.append(one.tool)
        curve.append(len(tools))
    served = [one for one in results if one.tool]
    writers = {one.tool for one in served if one.kind == "write"}
    inverted = {one.tool for one in served if one.undone} - {
        one.tool for one in served if one.undone is False
    }
    return {
        "tools": len(tools),
        "curve": curve,
        "served": len(served),
        "reused": sum(not one.made for one in served),
        "write_tools": len(writers),
        "write_tools_undone": len(writers & inverted),
        "asking_s_made": round(sum(one.asking_s for one in served if one.made) / max(1, len(tools)), 2),
        "asking_s_reused": round(
            sum(one.asking_s for one in served if not one.made) / max(1, sum(not one.made for one in served)),
            2,
        ),
        "footprint_violations": sum("does not declare" in one.why for one in results),
        "without_tool": {one.task: one.no_tool for one in results if one.no_tool},
        "calls": {name: sum(one.tool == name for one in results) for name in tools},
    }
