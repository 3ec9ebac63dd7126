"""How one task went, and the judge of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from coagent_lab.bench.bash.tasks import Task
from coagent_lab.bench.bash.trees import fresh_copy, run_bash


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


def judged(task: Task, root: Path, code: int, output: str, seconds: float) -> Result:
    """Return what a task's checker says of a tree and an answer; it works on a copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="coagent-judge-") as scratch:
        answer = Path(scratch) / "answer"
        answer.write_text(output if task.kind == "read" else "", encoding="utf-8")
        judged = fresh_copy(root, Path(scratch) / "tree")  # a checker may look at all there is, and write
        passed = run_bash(task.checker, judged, ANSWER=str(answer))[0] == 0
    why = "" if passed else f"the command ended with {code}: {output.strip()[:200]}"
    return Result(task.id, task.kind, passed, seconds, why=why)
