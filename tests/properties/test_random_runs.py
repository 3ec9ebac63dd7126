"""Random programs and schedules end as one after another: some two hundred runs, each from one seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation as `make soak` does."""
    return subprocess.run(
        [sys.executable, "-m", "coagent_lab.sim", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


RUNS = [
    (100, ("--seed", "1")),
    (15, ("--seed", "100001", "--log", "sqlite")),
    (15, ("--seed", "200001", "--target", "files")),
    (3, ("--seed", "300001", "--target", "kubernetes")),
    (15, ("--seed", "400001", "--protocol", "serial")),
    (25, ("--seed", "600001", "--kind", "early")),
    (20, ("--seed", "1", "--kind", "outside")),
    (25, ("--seed", "600", "--kind", "racing")),
    (10, ("--seed", "800", "--kind", "inside")),
]


@pytest.mark.parametrize(("runs", "options"), RUNS)
def test_every_run_ends_in_the_serial_state(runs: int, options: tuple[str, ...]) -> None:
    done = simulate("--runs", str(runs), *options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"{runs} of {runs} runs ended in the serial state" in done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize(("runs", "options"), RUNS)
def test_more_of_them_do(runs: int, options: tuple[str, ...]) -> None:
    test_every_run_ends_in_the_serial_state(24 * runs, options)


def test_the_same_check_catches_a_protocol_that_controls_nothing() -> None:
    done = simulate("--runs", "200", "--protocol", "naive")
    assert done.returncode == 1, done.stdout[-2000:]
