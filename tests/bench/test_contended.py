"""The contended benchmark: what it claims of the protocols, and how it takes bad workloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import coagent

from coagent.errors import ConfigurationError
from coagent_lab.bench.contended.costs import Costs
from coagent_lab.bench.contended.families import family_of
from coagent_lab.bench.contended.judging import Judging
from coagent_lab.bench.contended.measure import Measured, Plan, measure
from coagent_lab.bench.contended.page import page
from coagent_lab.bench.contended.runner import Simulated
from coagent_lab.bench.contended.ten import the_ten
from coagent_lab.bench.contended.trial import run_trial
from coagent_lab.bench.contended.workload import files, load

APPEND = """
def append(p):
    text = yield ("fs.read", {"path": "log.txt"})
    yield ("fs.write", {"path": "log.txt", "content": text + p["line"]})
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def workload(**changes: Any) -> dict[str, Any]:
    """Return a small workload: two agents append to one file."""
    agents = [
        {
            "name": name,
            "goal": "Append.",
            "params": {"line": f"{name}\n"},
            "policy_function": "append",
            "policy_source": APPEND,
        }
        for name in "AB"
    ]
    serial = [
        {"order": order, "final": {"log.txt": "".join(f"{name}\n" for name in order)}}
        for order in (["A", "B"], ["B", "A"])
    ]
    data = {
        "schema": "coagent-workload/1",
        "id": "append",
        "family": "coding",
        "arity": 2,
        "initial_state": {"files": {"log.txt": ""}},
        "tools": [],
        "agents": agents,
        "serial": serial,
    }
    return data | changes


def write(folder: Path, name: str = "append.json", **changes: Any) -> Path:
    """Write a workload file."""
    path = folder / name
    path.write_text(json.dumps(workload(**changes)))
    return path


def quiet(_workload: str, _protocol: str, _done: int) -> None:
    """Take progress and say nothing."""


async def measured(trials: int = 4, **judging: Any) -> Measured:
    """Measure the ten."""
    return await measure(
        Plan(await the_ten(), trials=trials, runner=Simulated(judging=Judging(**judging))), quiet
    )


@pytest.mark.anyio
async def test_mtpo_is_serial_in_order_and_naive_is_not() -> None:
    found = await measured()
    assert len(found.as_data()["workloads"]) == 10
    assert not found.failures
    summary = found.as_data()["summary"]
    assert summary["mtpo"]["serial_in_order"] == 1.0
    assert summary["2pl"]["serial_any_order"] == 1.0
    assert summary["occ"]["serial_any_order"] == 1.0
    assert summary["naive"]["serial_any_order"] < 0.5
    assert summary["mtpo"]["speedup"] > summary["2pl"]["speedup"]
    assert summary["mtpo"]["tokens_ratio"] < summary["2pl"]["tokens_ratio"] < summary["occ"]["tokens_ratio"]


@pytest.mark.anyio
async def test_the_same_seeds_give_the_same_figures() -> None:
    assert (await measured(2)).as_data() == (await measured(2)).as_data()


@pytest.mark.anyio
async def test_notices_after_which_nothing_had_to_be_changed_are_counted() -> None:
    data = (await measured(2)).as_data()
    shares = [one["protocols"]["mtpo"]["false_notices"] for one in data["workloads"]]
    assert all(share is None or 0 <= share <= 1 for share in shares)
    assert data["summary"]["mtpo"]["false_notices"] < 0.2
    assert all(one["protocols"]["serial"]["false_notices"] is None for one in data["workloads"])


@pytest.mark.anyio
@pytest.mark.long
async def test_a_second_look_catches_most_misjudged_notices() -> None:
    with_it = (await measured(30, misjudge=0.05)).as_data()["summary"]["mtpo"]
    without = (await measured(30, misjudge=0.05, second_look=False)).as_data()["summary"]["mtpo"]
    assert with_it["serial_in_order"] >= 0.99
    assert without["serial_in_order"] < with_it["serial_in_order"]
    assert without["judgings"] < with_it["judgings"]


@pytest.mark.anyio
async def test_each_idea_saves_what_it_is_there_to_save() -> None:
    base = (await measured(2)).as_data()["summary"]["mtpo"]
    for idea in ("short_prompt", "ride_along"):
        without = (await measured(2, **{idea: False})).as_data()["summary"]["mtpo"]
        assert without["tokens_ratio"] > base["tokens_ratio"], idea


def test_the_json_has_the_shape_that_programs_rely_on() -> None:
    done = coagent("bench", "contended", "--trials", "1", "--protocols", "serial,mtpo", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["parameters"]["costs"]["tokens_per_s"] == Costs().tokens_per_s
    figures = data["workloads"][0]["protocols"]["mtpo"]
    wanted = {"trials", "serial_in_order", "serial_any_order", "makespan_s", "speedup", "tokens_ratio"}
    assert wanted | {"notifications", "aborts", "deadlocks"} <= set(figures)
    assert 0 <= data["summary"]["mtpo"]["serial_in_order"] <= 1


@pytest.mark.anyio
async def test_the_page_needs_nothing_but_itself() -> None:
    found = await measured(1)
    text = page(found.as_data(), found.timelines("k8s-canary"))
    assert "http" not in text
    assert "<script" not in text
    assert text.count("<svg") >= 2
    assert "published" in text


@pytest.mark.anyio
async def test_a_file_is_run_and_judged(tmp_path: Path) -> None:
    found = load(write(tmp_path))
    family = family_of(found, None)
    mtpo = await run_trial(found, family, "mtpo", 1, Costs(), Judging())
    assert mtpo.serial_in_order
    assert mtpo.notifications == 1
    naive = await run_trial(found, family, "naive", 1, Costs(), Judging())
    assert not naive.serial_any_order


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agents": None}, "agents"),
        ({"schema": "coagent-workload/9"}, "coagent-workload/9"),
        ({"family": "weather"}, "family"),
        ({"arity": 3}, "arity 3"),
        ({"serial": [{"order": ["A", "X"], "final": {}}]}, "serial order"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as failure:
        load(write(tmp_path, **changes))
    assert "append.json" in str(failure.value)


def policies(**sources: str) -> list[dict[str, Any]]:
    """Return agents with these policies."""
    agents = workload()["agents"]
    for agent in agents:
        agent["policy_source"] = sources.get(agent["name"], agent["policy_source"])
    return agents  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def append(p):\n    raise ValueError('odd')\n    yield", "odd"),
        ("def other(p):\n    yield", "append"),
        ("def append(p):\n    while True:\n        yield ('fs.list', {})", "does not end"),
        ("def append(p):\n    yield 'fs.list'", "ValueError"),
        ("def append(p):\n    yield ('fs.lis', {})", "fs.lis"),
    ],
)
def test_a_policy_that_goes_wrong_does_not_stop_the_others(tmp_path: Path, source: str, said: str) -> None:
    write(tmp_path, "bad.json", id="bad", agents=policies(A=source))
    write(tmp_path, "good.json", id="good")
    done = coagent("bench", "contended", "--workloads", str(tmp_path), "--trials", "1", "--json")
    data = json.loads(done.stdout)
    assert done.returncode == 1
    assert [one["id"] for one in data["workloads"]] == ["good"]
    assert said in data["failed_workloads"]["bad"]


def test_a_final_state_that_no_serial_run_reaches_is_pointed_out(tmp_path: Path) -> None:
    serial = [{"order": ["A", "B"], "final": {"log.txt": "never"}}]
    write(tmp_path, id="impossible", serial=serial)
    done = coagent("bench", "contended", "--workloads", str(tmp_path), "--trials", "1", "--json")
    assert done.returncode == 1
    assert "do not lead to" in json.loads(done.stdout)["failed_workloads"]["impossible"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--protocols", "mtp"), "mtpo"),
        (("--trials", "0"), "trials"),
        (("--workloads", "nowhere"), "nowhere"),
        (("--without", "magic"), "magic"),
        (("--html", "no/such/folder/x.html", "--trials", "1", "--protocols", "mtpo"), "no/such/folder"),
    ],
)
def test_bad_usage_is_set_apart(options: tuple[str, ...], said: str) -> None:
    done = coagent("bench", "contended", *options)
    assert done.returncode == 2
    assert said in done.stderr


def test_other_files_of_a_directory_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tasks.json").write_text('{"schema": "coagent-bash-tasks/1"}')
    assert [path.name for path in files(tmp_path)] == ["append.json"]
