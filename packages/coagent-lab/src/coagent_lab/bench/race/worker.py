"""Runs trials of a copy of RaceBench, in a process of its own, whose modules have names that anybody may use.

The plan comes as JSON on stdin; each trial is told as one line of JSON on stdout. What RaceBench prints goes
to stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from coagent_lab.bench.race import adapter

LOCK_TIMEOUT_S = 2.0
TRIAL_TIMEOUT_S = 120.0
_TURNS_MAX = 40
_OTHER = (".racebench_git", ".worktrees", "oracle_tests", "__pycache__", ".pytest_cache")


class Paced:
    """A scripted model that thinks for a while before each turn, and not before its turn in a serial run.

    Args:
        scripted: RaceBench's own scripted model.
        think_s: Gives the seconds before each turn.
        begin: Set once it may begin.
        end: It sets that when it says that it is done.
    """

    def __init__(
        self, scripted: Any, think_s: Callable[[], float], begin: asyncio.Event, end: asyncio.Event
    ) -> None:
        self._scripted, self._think_s, self._begin, self._end = scripted, think_s, begin, end

    async def complete(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Any:
        """Return the next turn."""
        await self._begin.wait()
        await asyncio.sleep(self._think_s())
        turn = await self._scripted.complete(messages, tools)
        if any(call.name == "done" for call in turn.tool_calls):
            self._end.set()
        return turn


class RaceBench:
    """A copy of RaceBench.

    Args:
        directory: Where it lies.
        scratch: A folder for workspaces and event logs.
    """

    def __init__(self, directory: Path, scratch: Path) -> None:
        sys.path.insert(0, str(directory))
        self._scratch, self._count = scratch, 0
        self._task = importlib.import_module("harness.task")
        self._trial = importlib.import_module("harness.trial")
        self._scripts = importlib.import_module("harness.scripts").SCRIPTS
        self._model = importlib.import_module("harness.models").ScriptedModel
        self._metrics = importlib.import_module("analysis.metrics").trial_metrics
        base = importlib.import_module("harness.strategies.base")
        importlib.import_module("harness.strategies")  # which makes its own known
        adapter.register(base, importlib.import_module("harness.symbols"))
        self.strategies: Sequence[str] = tuple(base.STRATEGIES)

    def cases(self, tasks: Sequence[str]) -> list[tuple[str, str]]:
        """Return the tasks and variants of which there are scripts for at least two agents."""
        found = dict.fromkeys((task, variant) for task, _, variant in self._scripts)
        return sorted(case for case in found if not tasks or case[0] in tasks)

    def agents(self, case: tuple[str, str]) -> list[str]:
        """Return the names of the agents of a case, in the task's order."""
        task, variant = case
        return [
            agent.id
            for agent in self._task.load_task(task).agents
            if (task, agent.id, variant) in self._scripts
        ]

    async def run(
        self, case: tuple[str, str], strategy: str, seed: int, think_s: float, order: Sequence[str] = ()
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Run a trial, and return its figures and the files that it ended with.

        Args:
            case: The task and the variant of its scripts.
            strategy: The name of a strategy.
            seed: Sets how long the agents think before each turn: the same for all strategies.
            think_s: The mean of that, in seconds.
            order: Run the agents one after another in this order; all at once where it is empty.
        """
        task, variant = self._task.load_task(case[0]), case[1]
        agents = self.agents(case)
        self._count += 1
        log = self._scratch / f"{self._count}.jsonl"
        config = self._trial.TrialConfig(
            strategy=strategy, n_agents=len(agents), rep=self._count, model_name="scripted",
            max_turns=_TURNS_MAX, lock_timeout_s=LOCK_TIMEOUT_S, trial_timeout_s=TRIAL_TIMEOUT_S,
            workdir=self._scratch,
        )  # fmt: skip
        gates = _gates(agents, order)

        def model(spec: Any) -> Paced:
            randomness = random.Random(f"{case}/{spec.id}/{seed}")
            scripted = self._model(script=self._scripts[task.name, spec.id, variant])
            return Paced(scripted, lambda: randomness.expovariate(1.0) * think_s, *gates[spec.id])

        result = await self._trial.run_trial(task, config, model, log)
        tree = self._scratch / f"{task.name}-{config.trial_id}"
        files = _files(tree)
        shutil.rmtree(tree)
        return self._figures(result, log), files

    def _figures(self, result: Any, log: Path) -> dict[str, Any]:
        metrics = self._metrics(log)
        reads = metrics["reads_observed"]
        unseen = metrics["search_events"] + metrics["run_tests_events"]
        return {
            "oracle": [result.oracle_passed, result.oracle_total],
            "correct": result.correct,
            "wall_s": result.wall_clock_s,
            "stalls": metrics["stall_events"],
            "false_stalls": metrics["fp_stall_events"],
            "notices": metrics["notify_events"],
            "wasted": metrics["wasted_token_rate"],
            "reads": reads,
            "reads_unseen": unseen,
            "unfinished": sorted(name for name, how in result.agent_statuses.items() if how != "done"),
        }


def _gates(agents: Sequence[str], order: Sequence[str]) -> dict[str, tuple[asyncio.Event, asyncio.Event]]:
    ends = {name: asyncio.Event() for name in agents}
    begun = asyncio.Event()
    begun.set()
    before = dict(zip(order[1:], order, strict=False))
    return {name: (ends[before[name]] if name in before else begun, ends[name]) for name in agents}


def _files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_bytes().decode("utf-8", "backslashreplace")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part in _OTHER for part in path.relative_to(root).parts)
    }


async def trials(bench: RaceBench, plan: dict[str, Any]) -> Any:
    """Yield the figures of each trial of a plan; of each case first the serial runs, in every order."""
    for case in bench.cases(plan["tasks"]):
        agents = bench.agents(case)
        serial = []
        for order in permutations(agents):
            figures, files = await bench.run(case, "naive", 0, plan["think_s"], order)
            serial.append(files)
            yield {"case": "/".join(case), "strategy": "serial", "order": list(order), **figures}
        for seed in range(plan["trials"]):
            for strategy in plan["strategies"]:
                figures, files = await bench.run(case, strategy, seed, plan["think_s"])
                judged = {"in_order": files == serial[0], "some_order": files in serial}
                yield {"case": "/".join(case), "strategy": strategy, "seed": seed, **figures, **judged}


@contextlib.contextmanager
def _own_stdout() -> Iterator[Any]:
    """Give the real stdout, and let what others print go to stderr."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        yield out


async def _main() -> int:
    plan = json.load(sys.stdin)
    os.environ["RACEBENCH_KEEP_WORKSPACE"] = "1"  # its own way to let us see what a trial ended with
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # its oracles need none, and start ten times as fast
    with _own_stdout() as out, tempfile.TemporaryDirectory(prefix="coagent-race-") as scratch:

        def tell(**line: Any) -> None:
            out.write(json.dumps(line) + "\n")
            out.flush()

        try:
            bench = RaceBench(Path(plan["directory"]), Path(scratch))
        except ModuleNotFoundError as missing:
            tell(missing=missing.name)
            return 1
        unknown = [one for one in plan["strategies"] if one not in bench.strategies]
        unknown += [one for one in plan["tasks"] if not bench.cases([one])]
        if unknown:
            tasks = sorted({task for task, _ in bench.cases([])})
            tell(
                unknown=f"{unknown[0]!r} is no strategy, and no task with scripts",
                known=[*bench.strategies, *tasks],
            )
            return 1
        async for trial in trials(bench, plan):
            tell(**trial)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
