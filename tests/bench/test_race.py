"""`coagent bench race` on a harness of our own with RaceBench's interface, and on RaceBench where it lies."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
from commands import coagent
from race_stand_in import make_stand_in

from coagent.errors import CoAgentError, ConfigurationError
from coagent_lab.bench.race.measure import Plan, Trial, measure
from coagent_lab.bench.race.report import apart, summed

REAL = os.environ.get("RACEBENCH", "")
"""Where a copy of RaceBench lies, for the test that needs one."""


@pytest.fixture
def harness(tmp_path: Path) -> Path:
    return make_stand_in(tmp_path / "harness")


@pytest.fixture
def found(harness: Path) -> list[Trial]:
    return list(measure(Plan(harness, strategies=("coagent", "naive"), trials=2, think_s=0.0)))


def test_every_trial_under_coagent_ends_as_the_scripts_in_order(found: list[Trial]) -> None:
    assert {trial.case for trial in found} == {"whole/clobber", "apart/edit"}
    assert apart(found) == []
    assert {trial.in_order for trial in found if trial.strategy == "coagent"} == {True}
    naive = {trial.case: trial.in_order for trial in found if trial.strategy == "naive"}
    assert naive == {"whole/clobber": False, "apart/edit": True}, "so there was something to order"


def test_serial_runs_come_in_every_order_and_count_once(found: list[Trial]) -> None:
    serial = [trial.order for trial in found if trial.strategy == "serial"]
    assert serial == [("first", "second"), ("second", "first")] * 2
    figures = summed(found)
    assert figures["serial"]["trials"] == 2
    assert figures["coagent"]["trials"] == 4
    assert figures["naive"]["in_order"] == 0.5
    assert figures["naive"]["some_order"] == 1.0
    assert figures["coagent"]["reads_seen"] == 1.0
    assert figures["coagent"]["wasted"] == figures["coagent"]["stalls"] == 0.0


def test_who_read_what_has_changed_is_told(found: list[Trial]) -> None:
    told = {trial.case: trial.notices for trial in found if trial.strategy == "coagent"}
    assert told["whole/clobber"] == 1, "the later agent had read the file before the earlier one wrote it"


def test_the_command_prints_the_trials(harness: Path) -> None:
    done = coagent(
        "bench", "race", "--racebench", str(harness), "--tasks", "apart", "--strategies", "coagent",
        "--trials", "1", "--think", "0", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [trial["strategy"] for trial in data["trials"]] == ["serial", "serial", "coagent"]
    assert data["published_with_a_model"] == [], "this copy has no published table"
    assert data["strategies"]["coagent"]["in_order"] == 1.0


def test_what_is_published_stands_beside_and_is_marked(harness: Path) -> None:
    table = harness / "results/grid-v1/comparison_table_by_strategy.csv"
    table.parent.mkdir(parents=True)
    table.write_text("strategy,trials,correct_rate,mean_wall_s\nnaive,80,0.5,12.0\n")
    options = ("--tasks", "apart", "--strategies", "naive", "--trials", "1", "--think", "0")
    done = coagent("bench", "race", "--racebench", str(harness), *options)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert (
        "Published by RaceBench's authors, with a language model, on all its tasks: naive 0.50 in 12 s."
        in text
    )


@pytest.mark.parametrize(
    ("tasks", "strategies", "says"),
    [(("nowhere",), ("naive",), "no task"), (("apart",), ("nothing",), "is no strategy")],
)
def test_what_is_not_there_is_named(
    harness: Path, tasks: tuple[str, ...], strategies: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        list(measure(Plan(harness, tasks, strategies, 1, 0.0)))


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no copy of RaceBench"):
        list(measure(Plan(tmp_path)))


def test_what_is_not_installed_is_named(harness: Path) -> None:
    (harness / "analysis/metrics.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(ConfigurationError, match="needs a_package_that_nobody_has"):
        list(measure(Plan(harness)))


def test_a_harness_that_breaks_off_says_why(harness: Path) -> None:
    (harness / "harness/trial.py").write_text("raise RuntimeError('it is broken')\n")
    with pytest.raises(CoAgentError, match="it is broken"):
        list(measure(Plan(harness)))


@pytest.mark.long
@pytest.mark.skipif(
    not REAL or importlib.util.find_spec("pandas") is None,
    reason="RACEBENCH names no copy of RaceBench, or pandas, which it needs, is not installed",
)
def test_the_scripts_of_racebench_itself_end_in_order_without_a_stall() -> None:
    found = list(measure(Plan(Path(REAL), strategies=("coagent",), trials=1, think_s=0.05)))
    assert len({trial.case for trial in found}) >= 8
    assert apart(found) == []
    assert not any(trial.false_stalls for trial in found if trial.strategy == "coagent")
