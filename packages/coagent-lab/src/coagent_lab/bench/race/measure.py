"""Has trials of a copy of RaceBench run, and takes in what they gave."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from coagent.errors import CoAgentError, ConfigurationError
from coagent_lab.bench.race.adapter import NAME

SERIAL = "serial"
STRATEGIES = (NAME, "naive", "file_lock", "git_hash", "ast_scope", "ast_dep", "notify")
"""CoAgent, and those of RaceBench that its published table has."""
_PUBLISHED = "results/grid-v1/comparison_table_by_strategy.csv"


@dataclass(frozen=True)
class Plan:
    """What to run.

    Args:
        directory: A copy of RaceBench.
        tasks: Names of tasks; all that have scripts where it is empty.
        strategies: Names of strategies.
        trials: How many seeds a task and strategy.
        think_s: How long agents think before each turn, in seconds (the mean; exponential by seed).
    """

    directory: Path
    tasks: Sequence[str] = ()
    strategies: Sequence[str] = STRATEGIES
    trials: int = 3
    think_s: float = 0.2


@dataclass(frozen=True)
class Trial:
    """What one trial gave, in the figures of RaceBench where it has them.

    Args:
        case: The task, and the variant of its scripts.
        strategy: The strategy, or "serial": the scripts one after another.
        in_order: Whether the files ended as after the scripts one after another in the task's order.
        some_order: Whether they ended as after some such run.
        correct: Whether all of the task's hidden tests passed.
        oracle: How many of them passed, and how many there are.
        wall_s: Seconds that the agents took.
        stalls: How often an agent was made to wait, or refused for another's sake.
        false_stalls: Those of them between agents that changed different functions.
        notices: How many notices agents were sent.
        wasted: Share of the tokens that went into turns whose writes were refused.
        reads: Reads that the strategy saw.
        reads_unseen: Searches and runs of tests, which RaceBench leads past every strategy.
        unfinished: The agents that did not come to their end.
        order: Of a serial run: the agents, first to last.
        seed: Of the others: what set their thinking times.
    """

    case: str
    strategy: str
    correct: bool
    oracle: list[int]
    wall_s: float
    stalls: int
    false_stalls: int
    notices: int
    wasted: float
    reads: int
    reads_unseen: int
    unfinished: list[str]
    in_order: bool = True
    some_order: bool = True
    order: tuple[str, ...] = ()
    seed: int | None = None

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


class Published(NamedTuple):
    """Figures that RaceBench's authors have published for a strategy, with a language model."""

    strategy: str
    correct: float
    wall_s: float


def measure(plan: Plan) -> Iterator[Trial]:
    """Run a plan and yield each trial; of each case first its serial runs.

    Raises:
        ConfigurationError: This is no copy of RaceBench, or something that it needs is not installed.
        CoAgentError: It broke off.
    """
    _check(plan)
    sent = {**asdict(plan), "directory": str(plan.directory.resolve())}
    command = [sys.executable, "-m", "coagent_lab.bench.race.worker"]
    with tempfile.TemporaryFile("w+") as errors:
        worker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            with worker.stdin as out:
                json.dump(sent, out)
            with worker.stdout as lines:
                for line in lines:
                    yield _trial(json.loads(line))
            worker.wait()
        finally:
            worker.kill()  # if nobody wants to know the rest
            worker.wait()
        errors.seek(0)
        if worker.returncode:
            raise CoAgentError(
                f"RaceBench broke off: {errors.read().strip()[-400:] or 'it does not say why'}"
            )


def published(directory: Path) -> list[Published]:
    """Return what a copy of RaceBench holds of its published table; nothing where it has none."""
    path = directory / _PUBLISHED
    if not path.is_file():
        return []
    with path.open(newline="") as lines:
        return [
            Published(row["strategy"], float(row["correct_rate"]), float(row["mean_wall_s"]))
            for row in csv.DictReader(lines)
        ]


def _check(plan: Plan) -> None:
    for needed in ("harness/strategies/base.py", "harness/scripts.py", "analysis/metrics.py", "tasks"):
        if not (plan.directory / needed).exists():
            raise ConfigurationError(
                f"{str(plan.directory)!r} is no copy of RaceBench: it has no {needed}",
                "Clone github.com/allisonllx/RaceBench, and name its folder.",
            )
    for task in plan.tasks:
        if not (plan.directory / "tasks" / task).is_dir():
            raise ConfigurationError(f"RaceBench has no task {task!r}", "See the folders below tasks/.")


def _trial(line: dict[str, Any]) -> Trial:
    if "missing" in line:
        raise ConfigurationError(
            f"RaceBench needs {line['missing']}, which is not installed beside CoAgent",
            "Install what it needs: pip install pandas pyyaml fastapi httpx.",
        )
    if "unknown" in line:
        raise ConfigurationError(line["unknown"], f"There are: {', '.join(line['known'])}.")
    return Trial(**{**line, "order": tuple(line.get("order", ()))})
