"""The arm in which a model makes the tools: from the requests alone, judged and counted like the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import coagent
from openai_endpoint import OpenAIEndpoint
from scripted_endpoint import Turn, call, say
from scripted_model import TOKENS_AN_ANSWER, UPPER, Scripted

from coagent.systems.shell.views import kernel_bounds
from coagent.systems.shell.views.overlay import available
from coagent.toolsmith.maker import Answers
from coagent_lab.bench.bash.arms import BY_MODEL, run_tasks, summary
from coagent_lab.bench.bash.by_model import ToolsByModel
from coagent_lab.bench.bash.results import Result
from coagent_lab.bench.bash.tasks import Task, TaskSet

_MISSING = available() or ("" if kernel_bounds.version() else "the kernel has no Landlock")
needs_views = pytest.mark.skipif(bool(_MISSING), reason=_MISSING or "models can look at workspaces")
needs_programs = pytest.mark.skipif(
    any(shutil.which(one) is None for one in ("git", "jq", "sqlite3")), reason="the command needs them"
)

_FILE = {"name": "file", "type": "path", "value": "one.txt"}
_UPPER = {**UPPER, "parameters": [_FILE]}
_LINES = {
    "name": "count_lines",
    "description": "Count the lines of a file.",
    "command": 'wc -l < "$file"',
    "effect": "read",
    "parameters": [_FILE],
}
_SETUP = "printf 'a\\nb\\n' > one.txt; printf 'c\\n' > two.txt"


def _task(name: str, request: str, kind: str, solution: str, checker: str) -> Task:
    return Task(id=name, request=request, kind=kind, solution=solution, checker=checker)


_TASKS = TaskSet(
    "letters",
    _SETUP,
    (
        _task("first", "Put one.txt into capitals.", "write", "tr a-z A-Z <one.txt >.t; mv .t one.txt",
              'test "$(head -n 1 one.txt)" = A'),
        _task("second", "Put two.txt into capitals.", "write", "tr a-z A-Z <two.txt >.t; mv .t two.txt",
              'test "$(head -n 1 two.txt)" = C'),
        _task("lines", "How many lines has one.txt?", "read", "wc -l < one.txt", 'test "$(cat $ANSWER)" = 2'),
        _task("wrong", "How many lines has two.txt?", "read", "wc -l < two.txt", 'test "$(cat $ANSWER)" = 1'),
        _task("none", "Which is its last letter?", "read", "cat two.txt", 'test "$(cat $ANSWER)" = c'),
    ),
)  # fmt: skip


def _run(scripted: Scripted, answers: Answers = "tools", *only: str) -> dict[str, list[Result]]:
    worker = ToolsByModel(scripted.model, answers=answers).run
    return run_tasks(_TASKS, (), frozenset(only), lambda _: None, {BY_MODEL: worker})


@needs_views
@pytest.mark.parametrize("answers", ["tools", pytest.param("json", marks=pytest.mark.long)])
def test_tools_are_made_reused_judged_and_counted(answers: Answers) -> None:
    """A tool is made, used again, another is made, the wrong one is named, and for the last there is none."""
    scripted = Scripted(
        _UPPER,
        {"name": "upper_case", "arguments": {"file": "two.txt"}},
        _LINES,
        {"name": "count_lines", "arguments": {"file": "one.txt"}},
        "I cannot.",
    )
    found = _run(scripted, answers)
    by_id = {one.task: one for one in found[BY_MODEL]}
    assert {name: one.passed for name, one in by_id.items()} == {
        "first": True, "second": True, "lines": True, "wrong": False, "none": False,
    }  # fmt: skip
    assert [(one.tool, one.made) for one in found[BY_MODEL]] == [
        ("upper_case", True), ("upper_case", False), ("count_lines", True), ("count_lines", False),
        ("", False),
    ]  # fmt: skip
    assert (by_id["first"].undone, by_id["second"].undone, by_id["lines"].undone) == (True, True, None)
    assert "does not answer with a tool" in by_id["none"].no_tool
    figures = summary(found)[BY_MODEL]
    assert (figures["tools"], figures["curve"]) == (2, [1, 1, 2, 2, 2])
    assert (figures["served"], figures["reused"], figures["footprint_violations"]) == (4, 2, 0)
    assert (figures["write_tools"], figures["write_tools_undone"]) == (1, 1)
    assert list(figures["without_tool"]) == ["none"]
    assert figures["tokens"] == TOKENS_AN_ANSWER * len(scripted.seen)
    assert by_id["none"].tokens >= TOKENS_AN_ANSWER, "what was spent in vain is counted"


@needs_views
def test_the_model_is_given_the_words_of_the_task_alone() -> None:
    scripted = Scripted(_UPPER)
    _run(scripted, "tools", "first")
    assert "Put one.txt into capitals." in scripted.seen[0]
    assert not any(text in scripted.seen[0] for text in (_TASKS.tasks[0].solution, _TASKS.tasks[0].checker))


@needs_views
@pytest.mark.long
def test_a_tool_that_writes_where_it_should_look_is_undone() -> None:
    found = _run(Scripted(_UPPER), "tools", "lines")[BY_MODEL]
    assert [(one.passed, one.undone, one.tool) for one in found] == [(False, True, "upper_case")]


@needs_views
def test_a_tool_without_arguments_is_none() -> None:
    """The second request has the words of the tool that is there, which is all that is known of it."""
    found = _run(
        Scripted({**_UPPER, "description": "Put a text into capitals."}, "No."), "tools", "first", "second"
    )
    first, second = found[BY_MODEL]
    assert (first.passed, second.passed) == (True, False)
    assert second.no_tool.startswith("upper_case is there, without arguments: the model does not")


def _script(turn: Turn) -> Any:
    """Play the maker of tools where it is offered the tools of one, and the worker elsewhere."""
    if any(one.startswith("final_result") for one in turn.tools):
        return call("final_result", **_LINES)
    return call("bash", command="wc -l < one.txt") if turn.number == 0 else say("2")


@needs_views
@needs_programs
@pytest.mark.long
def test_the_command_reports_both_arms_of_a_model(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.json"
    task = {**_TASKS.tasks[2].model_dump(), "request": "[script:lines] How many lines has one.txt?"}
    tasks.write_text(json.dumps({"schema": "coagent-bash-tasks/1", "setup": _SETUP, "tasks": [task]}))
    common = ("bench", "bash", "--tasks", str(tasks), "--trials", "0", "--arms", "raw")
    with OpenAIEndpoint() as endpoint:
        endpoint.script("lines", _script)
        model = ("--model", "openai:scripted", "--base-url", endpoint.base_url)
        done = coagent(*common, *model, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        alone = json.loads(done.stdout)["alone"]
        assert {arm: one["passed"] for arm, one in alone.items()} == {"raw": 1, "model": 1, BY_MODEL: 1}
        assert (alone[BY_MODEL]["tools"], alone[BY_MODEL]["tokens"]) == (1, 2)
        done = coagent(*common, *model, "--answers", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{BY_MODEL}:" in done.stdout
    assert "no tool: lines:" in done.stdout  # the endpoint says "done" to who offers no tools
    assert "model     1 of 1" not in done.stdout


def test_answers_are_those_of_a_model(tmp_path: Path) -> None:
    done = coagent("bench", "bash", "--answers", "json", cwd=tmp_path)
    assert done.returncode == 2
    assert "--model" in done.stderr


def test_times_are_compared_over_the_tasks_that_were_done() -> None:
    base = [Result("a", "read", True, 1.0), Result("b", "read", True, 3.0)]
    nothing = [Result("a", "read", False, 0.0), Result("b", "read", False, 0.0)]
    found = {"raw": base, "some": [Result("a", "read", True, 2.0), nothing[1]], "none": nothing}
    ratios = {arm: one["time_ratio"] for arm, one in summary(found).items()}
    assert ratios == {"raw": 1.0, "some": 2.0, "none": None}
