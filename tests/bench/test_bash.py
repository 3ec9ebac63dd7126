"""The benchmark of bash tasks: its checkers can tell, its judge can fail, and it reports what it saw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import anyio
import pytest
from commands import coagent
from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from coagent.errors import ConfigurationError
from coagent.systems.shell.views.overlay import available
from coagent_lab.bench.bash.arms import run_tasks, summary
from coagent_lab.bench.bash.contended import Contest
from coagent_lab.bench.bash.modelled import Modelled
from coagent_lab.bench.bash.scenarios import SCENARIOS
from coagent_lab.bench.bash.tasks import TaskSet, own_tasks, read_tasks
from coagent_lab.bench.bash.trees import build, differing, fresh_copy, run_bash, tree_of

needs_views = pytest.mark.skipif(bool(available()), reason=available() or "private views can be had")
OWN = own_tasks()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(OWN.setup, tmp_path_factory.mktemp("tasks") / "template")


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in (1, 2, 3))])
def test_every_checker_fails_before_its_solution_and_passes_after(
    template: Path, tmp_path: Path, part: int
) -> None:
    wrong = []
    answer = tmp_path / "answer"
    for task in OWN.tasks[part::4]:
        root = fresh_copy(template, tmp_path / "work")
        before = tree_of(root)
        answer.write_text("")
        unsolved = run_bash(task.checker, root, ANSWER=str(answer))[0]
        code, output = run_bash(task.solution, root)
        answer.write_text(output if task.kind == "read" else "")
        solved = run_bash(task.checker, root, ANSWER=str(answer))[0]
        changed = bool(differing(before, tree_of(root)))
        if unsolved == 0 or solved != 0 or code != 0 or changed != (task.kind == "write"):
            wrong.append((task.id, unsolved, code, solved, changed, output))
    assert not wrong
    assert len(OWN.tasks) >= 70


@needs_views
def test_a_task_is_done_and_undone_and_one_that_is_not_kept_is_told() -> None:
    vault = OWN.tasks[0].model_copy(
        update={
            "id": "vault",
            "kind": "write",
            "solution": "mkdir -m 700 vault; echo x > vault/key",
            "checker": 'test "$(stat -c %a vault)" = 700',
        }
    )
    tasks = TaskSet("more", OWN.setup, (*OWN.tasks, vault))
    only = frozenset({"sensor", "cooling", "more-hours", "tag", "link", "secret", "vault"})
    found = run_tasks(tasks, ("raw", "traced"), only, lambda _: None)
    assert [one.passed for one in found["raw"]] == [True] * 7
    by_id = {one.task: one for one in found["traced"]}
    changing = ("cooling", "more-hours", "tag", "link", "secret")
    assert [by_id[name].undone for name in changing] == [True] * 5
    assert by_id["sensor"].undone is None
    assert not by_id["vault"].passed
    assert "not kept" in by_id["vault"].why
    assert not by_id["vault"].left
    figures = summary(found)
    assert figures["traced"]["passed"] == 6
    assert [one["task"] for one in figures["traced"]["failed"]] == ["vault"]


def test_a_solution_that_does_nothing_does_not_pass() -> None:
    idle = TaskSet("idle", OWN.setup, tuple(one.model_copy(update={"solution": "true"}) for one in OWN.tasks))
    found = run_tasks(idle, ("raw",), frozenset({"sensor", "cooling"}), lambda _: None)
    assert [one.passed for one in found["raw"]] == [False, False]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_plain_bash_breaks_contended_work(scenario: object, tmp_path: Path) -> None:
    contest = Contest(scenario, 2, tmp_path / "place")  # type: ignore[arg-type]
    trials = [contest.raw(seed) for seed in range(12)]
    assert any(not one.some_order for one in trials)
    assert any(one.some_order for one in trials), "a judge that is never content says nothing"


@needs_views
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_the_governed_shell_ends_as_the_serial_run(scenario: object, tmp_path: Path) -> None:
    contest = Contest(scenario, 3, tmp_path / "place")  # type: ignore[arg-type]
    trial = anyio.run(contest.traced, 1)
    assert (trial.in_order, trial.failure) == (True, "")


@needs_views
@pytest.mark.skipif(shutil.which("jq") is None, reason="the tools grown here need jq")
@pytest.mark.parametrize(
    "scenario",
    [SCENARIOS[0], pytest.param(SCENARIOS[2], marks=pytest.mark.long)],
    ids=lambda one: one.name,
)
def test_workers_with_grown_tools_end_as_the_serial_run(scenario: object, tmp_path: Path) -> None:
    contest = Contest(scenario, 2, tmp_path / "place")  # type: ignore[arg-type]
    trial = anyio.run(contest.toolsmith, 1)
    assert (trial.in_order, trial.failure) == (True, "")
    assert trial.served > 0


@needs_views
def test_a_model_is_given_the_request_alone_and_its_last_words_are_the_answer() -> None:
    seen: list[str] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        shown = "".join(str(getattr(part, "content", "")) for one in messages for part in one.parts)
        seen.append(shown)
        if len(messages) == 1:
            command = "jq -r .sensor conf/camera.json" if "sensor" in shown else "echo 9 > conf/camera.json"
            return ModelResponse(parts=[ToolCallPart("bash", {"command": command})])
        return ModelResponse(parts=[TextPart("K9\n")])

    worker = Modelled(FunctionModel(answer)).run
    found = run_tasks(OWN, ("raw",), frozenset({"sensor", "gain"}), lambda _: None, {"model": worker})
    by_id = {one.task: one for one in found["model"]}
    assert (by_id["sensor"].passed, by_id["gain"].passed) == (True, False)
    assert by_id["sensor"].tokens > 0
    assert not any(task.solution in seen[0] or task.checker in seen[0] for task in OWN.tasks)


def test_databases_are_compared_by_what_is_in_them(tmp_path: Path) -> None:
    trees = []
    for name, script in {
        "a": "CREATE TABLE t(x); INSERT INTO t VALUES(1);",
        "b": "CREATE TABLE t(x); INSERT INTO t VALUES(2); UPDATE t SET x=1;",
        "c": "CREATE TABLE t(x); INSERT INTO t VALUES(3);",
    }.items():
        root = tmp_path / name
        root.mkdir()
        assert run_bash(f"echo '{script}' | sqlite3 x.db", root)[0] == 0
        trees.append(tree_of(root))
    assert trees[0] != trees[1]
    assert differing(trees[0], trees[1]) == []
    assert differing(trees[0], trees[2]) == ["x.db"]


@needs_views
def test_the_command_reports_figures(tmp_path: Path) -> None:
    done = coagent("bench", "bash", "--only", "gain", "--trials", "0", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    alone = found["alone"]
    assert {arm: one["passed"] for arm, one in alone.items()} == {"raw": 1, "traced": 1, "toolsmith": 1}
    assert (alone["traced"]["undo_exact"], alone["toolsmith"]["undo_exact"]) == (1, 1)
    assert (alone["toolsmith"]["tools"], alone["toolsmith"]["served"]) == (1, 1)
    assert (found["together"], found["raw_broken_min"]) == ([], None)


def test_bad_usage_is_told(tmp_path: Path) -> None:
    done = coagent("bench", "bash", "--only", "nothing-like-it", cwd=tmp_path)
    assert done.returncode == 2
    assert "no task is called" in done.stderr
    done = coagent("bench", "bash", "--arms", "raw,baked", cwd=tmp_path)
    assert done.returncode == 2


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": "other"}',
        '{"schema": "coagent-bash-tasks/1", "setup": "", "tasks": []}',
        '{"schema": "coagent-bash-tasks/1", "setup": "", "tasks": [{"id": "a"}]}',
    ],
)
def test_a_file_that_holds_no_tasks_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        read_tasks(path)
