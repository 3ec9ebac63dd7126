"""The rules as they can be read: each scenario's commands give just the output that its file holds.

`pytest tests/scenarios --rewrite-scenarios` writes what comes out now into the files, to be judged as a diff.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import anyio
import pytest
from scenario_file import Scenario, Step, parsed, written
from scenario_play import GRACE_S, playing

FILES = sorted(Path(__file__).parent.glob("*.txt"))
_S_MAX = 60.0


@pytest.fixture(autouse=True)
def _undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens by the clock."""
    monkeypatch.setattr("coagent.runtime.attending.ATTEND_INTERVAL_S", 3600.0)
    monkeypatch.setattr("coagent.runtime.work.GRACE_S", GRACE_S)


async def played(scenario: Scenario, directory: Path) -> Scenario:
    """Return a scenario with the output that its commands have now."""
    with anyio.fail_after(_S_MAX):
        async with playing(directory) as play:
            steps = [step._replace(output=tuple(await play(step.command))) for step in scenario.steps]
    return scenario._replace(steps=tuple(steps))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_scenario_comes_out_as_it_is_written(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = path.read_text()
    now = written(anyio.run(played, parsed(before), tmp_path))
    if request.config.getoption("--rewrite-scenarios"):
        path.write_text(now)
        return
    difference = difflib.unified_diff(
        before.splitlines(), now.splitlines(), path.name, "what comes", lineterm=""
    )
    assert now == before, "\n".join(
        [*difference, "", "If that is right: pytest tests/scenarios --rewrite-scenarios"]
    )


def test_an_output_that_is_not_so_is_put_right(tmp_path: Path) -> None:
    wrong = parsed("# Why.\n\nopen x=1\n----\nlive: kv:x null -> 2\n\njoin A\n----\n\n# The end.\n")
    right = anyio.run(played, wrong, tmp_path)
    assert right.steps[0] == Step(("# Why.",), "open x=1", ("live: kv:x null -> 1",))
    assert right.steps[1].output == ("log: Joined A rank 0",)
    assert parsed(written(right)) == right


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 15
