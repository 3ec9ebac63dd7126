"""All pairs of a data set: git's own merge, CoAgent in both orders, and what the features' tests say."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from coagent_lab.bench.pairs.dataset import Feature, Task, repository_of
from coagent_lab.bench.pairs.edits import Step, steps_of
from coagent_lab.bench.pairs.suites import Suites, Verdict
from coagent_lab.bench.pairs.tree import NotApplicable, Tree, TreeId
from coagent_lab.bench.pairs.trial import Trial, run_pair


@dataclass(frozen=True, slots=True)
class Merge:
    """What came of a pair in one way.

    Args:
        way: "git"; or "A<B": CoAgent, with feature A's agent first in the order.
        applied: Whether both features went in without anybody's judgement.
        merged: How many edits were merged (rule 11).
        told: How many notices the later agent was given.
        tests: What both features' tests say together: green, red, or not run.
    """

    way: str
    applied: bool
    merged: int
    told: int
    tests: Verdict


@dataclass(frozen=True, slots=True)
class Pair:
    """What came of two features.

    Args:
        task: The task.
        features: Their numbers.
        merges: Git's, and CoAgent's in both orders; none where the pair was left out.
        left_out: Why it was left out.
    """

    task: str
    features: tuple[int, int]
    merges: tuple[Merge, ...] = ()
    left_out: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def measure(
    tasks: Sequence[Task],
    repositories: Path,
    *,
    tests: bool,
    work: Path | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> Iterator[Pair]:
    """Try every pair of features of some tasks.

    Args:
        tasks: The tasks.
        repositories: Where the clones of their repositories are.
        tests: Whether to run the features' tests.
        work: Where trees and environments are made; a temporary folder by default.
        progress: Is told what is under way.
    """
    place = tempfile.TemporaryDirectory(prefix="coagent-pairs-") if work is None else nullcontext(str(work))
    with place as folder:
        for task in tasks:
            yield from _of_task(
                task, repositories, Path(folder) / task.name.replace("/", "-"), tests, progress
            )


def _of_task(
    task: Task, repositories: Path, folder: Path, tests: bool, progress: Callable[[str], None]
) -> Iterator[Pair]:
    source = repository_of(task, repositories)
    if source is None:
        yield from _all_left_out(task, f"there is no clone of {task.repository}")
        return
    folder.mkdir(parents=True)
    tree = Tree(source, folder / "tree", task.commit)
    suites = Suites(tree, folder / "venv") if tests else None
    trees: dict[int, TreeId] = {}
    steps: dict[int, list[Step]] = {}
    unfit: dict[int, str] = {}
    for feature in task.features:
        progress(f"{task.name}: feature {feature.number}")
        try:
            trees[feature.number] = tree.with_patch(feature.patch)
            steps[feature.number] = steps_of(tree.changes(trees[feature.number]))
        except NotApplicable as error:
            unfit[feature.number] = error.cause
            continue
        if suites is not None and suites.verdict(trees[feature.number], feature) is Verdict.red:
            unfit[feature.number] = "its own tests are red on its own patch"
    for one, other in task.pairs:
        numbers = (one.number, other.number)
        progress(f"{task.name}: features {one.number} and {other.number}")
        wrong = [f"feature {number}: {unfit[number]}" for number in numbers if number in unfit]
        if wrong:
            yield Pair(task.name, numbers, left_out="; ".join(wrong))
        else:
            ways = _ways(tree, suites, (one, other), trees, steps)
            yield Pair(task.name, numbers, tuple(ways))


def _all_left_out(task: Task, why: str) -> Iterator[Pair]:
    yield from (Pair(task.name, (one.number, other.number), left_out=why) for one, other in task.pairs)


def _ways(
    tree: Tree,
    suites: Suites | None,
    pair: tuple[Feature, Feature],
    trees: dict[int, TreeId],
    steps: dict[int, list[Step]],
) -> Iterator[Merge]:
    one, other = pair
    by_git = tree.merged(trees[one.number], trees[other.number])
    yield Merge("git", by_git is not None, 0, 0, _tested(suites, by_git, pair))
    for earlier, later in ((one, other), (other, one)):
        tree.show(tree.base)
        trial: Trial = anyio.run(partial(run_pair, tree.folder, steps[earlier.number], steps[later.number]))
        made = tree.held() if trial.applied else None
        way = f"{earlier.number}<{later.number}"
        yield Merge(way, trial.applied, trial.merged, trial.told, _tested(suites, made, pair))


def _tested(suites: Suites | None, tree: TreeId | None, pair: tuple[Feature, Feature]) -> Verdict:
    if suites is None or tree is None:
        return Verdict.not_run
    said = [suites.verdict(tree, feature) for feature in pair]
    if Verdict.red in said:
        return Verdict.red
    return Verdict.not_run if Verdict.not_run in said else Verdict.green
