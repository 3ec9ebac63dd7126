"""Every run that has failed once is run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from coagent_lab.sim.options import Kind
from coagent_lab.sim.run import run_seed
from coagent_lab.sim.world import Dialect

SEEDS = [
    line.split(maxsplit=4)
    for line in Path(__file__).with_name("seeds.txt").read_text().splitlines()
    if not line.startswith("#")
]


SLOW = [("declared", "287")]  # much like two others of its kind, in very many calls
MARKED = [pytest.param(*one, marks=[pytest.mark.long] * ((one[2], one[3]) in SLOW)) for one in SEEDS]


@pytest.mark.parametrize(("target", "log", "kind", "seed", "what"), MARKED)
def test_what_failed_once_does_not_fail_again(
    target: Dialect, log: str, kind: Kind, seed: str, what: str, tmp_path: Path
) -> None:
    verdict = run_seed(int(seed), target, str(tmp_path) if log == "sqlite" else log, kind=kind)
    assert verdict.violation is None, what
