"""Replaying a log, as it would come back from disk, rebuilds the kernel after every single event."""

from __future__ import annotations

import pytest

from coagent.protocol.mtpo import Mtpo
from coagent_lab.sim import simulation
from coagent_lab.sim.check import Violation, check_replay
from coagent_lab.sim.run import run_seed


@pytest.mark.parametrize(
    "first",
    [500_000, *(pytest.param(first, marks=pytest.mark.long) for first in range(500_050, 500_200, 50))],
)
def test_every_prefix_of_a_log_gives_the_state_that_the_original_had(first: int) -> None:
    for seed in range(first, first + 50):
        verdict = run_seed(seed, watched=True)
        assert verdict.violation is None, f"seed {seed}: {verdict.violation}"


def test_a_kernel_that_remembers_something_else_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(events: list[object], dumps: list[str], kernel: Mtpo) -> None:
        check_replay(events, [*dumps[:-1], "something else"], kernel)  # type: ignore[arg-type]

    monkeypatch.setattr(simulation, "check_replay", check)
    verdict = run_seed(500_000, watched=True)
    assert verdict.violation is not None
    assert "replay differs" in verdict.violation
    assert issubclass(Violation, AssertionError)
