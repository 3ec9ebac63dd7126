"""The data set as it lies in a folder: tasks, each with the features that were built on one commit."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from coagent.errors import ConfigurationError

_CLONED = re.compile(r"git clone \S*?github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?(?:\s|$)", re.M)
_CHECKED_OUT = re.compile(r"git checkout ([0-9a-f]{40})\b")
_TOUCHED = re.compile(r"^\+\+\+ b/(\S+)$", re.M)


class Feature(NamedTuple):
    """One feature of a task.

    Args:
        number: Its number in the task.
        patch: The file with its gold patch.
        tests: The file with the patch that brings its tests.
    """

    number: int
    patch: Path
    tests: Path

    @property
    def test_files(self) -> list[str]:
        """The Python files that its tests are in."""
        touched = _TOUCHED.findall(self.tests.read_text(encoding="utf-8"))
        return [path for path in touched if path.endswith(".py") and not path.endswith("conftest.py")]


class Task(NamedTuple):
    """Features that were built on one commit of one repository.

    Args:
        name: Such as `pallets_jinja_task/task1465`.
        repository: Such as `pallets/jinja`.
        commit: What the features are built on.
        features: All of them.
    """

    name: str
    repository: str
    commit: str
    features: tuple[Feature, ...]

    @property
    def pairs(self) -> list[tuple[Feature, Feature]]:
        """Every two features."""
        return list(combinations(self.features, 2))


def read_dataset(folder: Path) -> list[Task]:
    """Return the tasks of a data set.

    Args:
        folder: The folder `dataset` of CooperBench.

    Raises:
        ConfigurationError: There are none, or one cannot be understood.
    """
    tasks = [_task(path) for path in sorted(folder.glob("*_task/task*")) if path.is_dir()]
    if not tasks:
        raise ConfigurationError(
            f"there are no tasks in {str(folder)!r}",
            "Name the folder `dataset` of a copy of github.com/cooperbench/CooperBench.",
        )
    return tasks


def _task(folder: Path) -> Task:
    name = f"{folder.parent.name}/{folder.name}"
    texts = [
        path.read_text(encoding="utf-8")
        for path in (folder / "Dockerfile", folder / "setup.sh")
        if path.exists()
    ]
    cloned, commit = _CLONED.search("\n".join(texts)), _CHECKED_OUT.search("\n".join(texts))
    if cloned is None or commit is None:
        raise ConfigurationError(
            f"task {name!r} does not say which commit of which repository it begins with",
            "Its Dockerfile should clone one and check a commit out.",
        )
    folders = sorted(folder.glob("feature*"), key=lambda path: int(path.name.removeprefix("feature")))
    features = tuple(
        Feature(int(path.name.removeprefix("feature")), path / "feature.patch", path / "tests.patch")
        for path in folders
    )
    return Task(name, cloned[1], commit[1], features)


def repository_of(task: Task, folder: Path) -> Path | None:
    """Return where the clone of a task's repository lies: `OWNER/NAME`, `NAME` or `NAME.git`; None: nowhere.

    Args:
        task: The task.
        folder: Where the clones are.
    """
    name = task.repository.rpartition("/")[2]
    places = (folder / task.repository, folder / name, folder / f"{name}.git")
    return next((place for place in places if place.is_dir()), None)
