"""The contended benchmark: what it claims of the protocols, and how it takes bad workloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import coagent

from coagent.errors import ConfigurationError
from coagent_lab.bench.contended.benign import benign
from coagent_lab.bench.contended.beyond import beyond
from coagent_lab.bench.contended.costs import Costs
from coagent_lab.bench.contended.families import family_of
from coagent_lab.bench.contended.judging import Judging
from coagent_lab.bench.contended.measure import Measured, Plan, measure
from coagent_lab.bench.contended.page import page
from coagent_lab.bench.contended.runner import Simulated
from coagent_lab.bench.contended.ten import the_ten
from coagent_lab.bench.contended.trial import run_trial
from coagent_lab.bench.contended.variants import without_first
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


@pytest.mark.anyio
async def test_agents_that_do_not_conflict_pay_nothing() -> None:
    apart = [one for one in await benign() if one[0].id.startswith("benign-")]
    found = await measure(Plan(apart, protocols=("serial", "naive", "mtpo"), trials=3), quiet)
    assert not found.failures
    for one in found.as_data()["workloads"]:
        naive, mtpo = one["protocols"]["naive"], one["protocols"]["mtpo"]
        assert mtpo["serial_in_order"] == 1.0
        assert mtpo["makespan_s"] == naive["makespan_s"]
        assert mtpo["tokens_ratio"] <= 1.01
        assert mtpo["notifications"] == 0


@pytest.mark.anyio
async def test_where_only_some_conflict_the_others_are_not_held_up() -> None:
    mixed = [one for one in await benign() if one[0].id.startswith("mixed-")]
    found = await measure(Plan(mixed, protocols=("serial", "naive", "2pl", "mtpo"), trials=3), quiet)
    summary = found.as_data()["summary"]
    assert summary["mtpo"]["serial_in_order"] == 1.0
    assert summary["naive"]["serial_in_order"] < 1.0
    assert summary["mtpo"]["over_bound"] < 1.1 < summary["2pl"]["over_bound"]


@pytest.mark.anyio
async def test_the_bound_is_what_the_busiest_agent_takes_without_waiting() -> None:
    found = await measure(Plan(await benign(), protocols=("serial", "naive"), trials=1), quiet)
    for one in found.as_data()["workloads"]:
        assert one["protocols"]["naive"]["over_bound"] == pytest.approx(1.0), "naive agents never wait"
        assert one["protocols"]["serial"]["over_bound"] > 1.0


@pytest.mark.anyio
async def test_one_agent_does_the_work_of_all_in_order() -> None:
    found = await measure(Plan(await the_ten(), protocols=("serial", "one"), trials=1), quiet)
    summary = found.as_data()["summary"]
    assert summary["one"]["serial_in_order"] == 1.0
    assert summary["one"]["tokens_ratio"] > 1.0, "its context grows"
    assert summary["one"]["done_with_same_tokens"] < 1.0 == summary["serial"]["done_with_same_tokens"]


@pytest.mark.anyio
async def test_a_worker_that_dies_midway_leaves_no_trace_under_mtpo() -> None:
    plan = Plan(await the_ten(), protocols=("serial", "naive", "mtpo"), trials=3, runner=Simulated(dies=True))
    found = await measure(plan, quiet)
    assert not found.failures
    summary = found.as_data()["summary"]
    assert summary["mtpo"]["serial_in_order"] == 1.0
    assert summary["mtpo"]["makespan_s"] < summary["serial"]["makespan_s"]
    assert summary["naive"]["serial_in_order"] < 1.0, "who had read what the dead one wrote is not told"


@pytest.mark.anyio
async def test_a_death_needs_objects_in_memory() -> None:
    workload, family = next(one for one in await beyond() if one[0].id == "sql-stock")
    with pytest.raises(ConfigurationError, match="no objects in memory"):
        await without_first(workload, family)


def test_one_agent_goes_with_no_death() -> None:
    done = coagent("bench", "contended", "--dies", "--protocols", "one")
    assert done.returncode == 2
    assert "goes neither with --model nor with --dies" in done.stderr
