"""Runs of each kind end in the serial state; and a run that fails is made small."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coagent_lab.sim.options import Kind
from coagent_lab.sim.run import run_seed, run_trial
from coagent_lab.sim.shrink import shrink
from coagent_lab.sim.trial import Trial, Verdict


@pytest.mark.parametrize(
    ("kind", "first", "runs"),
    [
        ("declared", 3, 8),
        ("failing", 20_001, 12),
        ("crash", 30_001, 3),
        ("owners", 1, 2),
        ("restored", 13, 4),
        pytest.param("declared", 11, 6, marks=pytest.mark.long),
        pytest.param("failing", 20_013, 13, marks=pytest.mark.long),
        pytest.param("crash", 30_004, 2, marks=pytest.mark.long),
        pytest.param("restored", 17, 2, marks=pytest.mark.long),
    ],
)
def test_every_run_of_a_kind_ends_in_the_serial_state(kind: Kind, first: int, runs: int) -> None:
    for seed in range(first, first + runs):
        verdict = run_seed(seed, kind=kind)
        assert verdict.violation is None, f"seed {seed}: {verdict.violation}"


@pytest.mark.long
def test_runs_whose_processes_are_stopped_and_recovered_end_in_the_serial_state() -> None:
    test_every_run_of_a_kind_ends_in_the_serial_state("owners", 100, 60)


def test_a_run_killed_at_each_of_its_points_goes_on_to_the_serial_state() -> None:
    trial = run_seed(18, kind="crash").trial
    verdict = run_trial(trial._replace(options=replace(trial.options, crashes=0)))
    assert verdict.violation is None, verdict.violation


def test_a_run_that_fails_is_made_small() -> None:
    failed = next(
        verdict
        for seed in range(1, 200)
        if (verdict := run_seed(seed, protocol="naive")).violation is not None
    )
    runs: list[Trial] = []

    def run(trial: Trial) -> Verdict:
        runs.append(trial)
        return run_trial(trial)

    small = shrink(failed, run)
    assert small.violation is not None
    assert run_trial(small.trial).violation == small.violation, "it can be repeated"
    sizes = [sum(map(len, one.trial.world.programs.values())) for one in (failed, small)]
    assert sizes[1] < sizes[0]
    assert len(small.trial.world.programs) == 2, "two agents are enough for a conflict"
    assert sizes[1] <= 4
    text = "\n".join(small.describe())
    assert all(name in text for name in small.trial.world.programs)
    assert "CallObserved" in text
