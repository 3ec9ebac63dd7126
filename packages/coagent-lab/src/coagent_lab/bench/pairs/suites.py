"""The features' own tests, run in a tree with an environment of the task's."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from pathlib import Path

from coagent.errors import CoAgentError
from coagent_lab.bench.pairs.dataset import Feature
from coagent_lab.bench.pairs.tree import NotApplicable, Tree, TreeId

_SECONDS_MAX = 300
_NEEDED = ("pytest", "pytest-mock")


class Verdict(StrEnum):
    """What a feature's tests say of a tree."""

    green = "green"
    red = "red"
    not_run = "not run"


class Suites:
    """Runs features' tests; what one said of a tree is kept.

    Args:
        tree: Where the trees are shown.
        folder: Where to make the virtual environment.
        python: What to make it with.
    """

    def __init__(self, tree: Tree, folder: Path, python: str = sys.executable) -> None:
        self._tree, self._folder, self._python = tree, folder, python
        self._known: dict[tuple[TreeId, int], Verdict] = {}
        self._failure = ""
        self._prepared = False

    @property
    def failure(self) -> str:
        """Why no environment could be made; empty where one was."""
        return self._failure

    def verdict(self, tree: TreeId, feature: Feature) -> Verdict:
        """Return what a feature's tests say of a tree."""
        key = (tree, feature.number)
        if key not in self._known:
            self._known[key] = self._verdict(tree, feature)
        return self._known[key]

    def _verdict(self, tree: TreeId, feature: Feature) -> Verdict:
        files = feature.test_files
        if not files or not self._ready():
            return Verdict.not_run
        self._tree.show(tree)
        try:
            self._tree.apply(feature.tests)
        except NotApplicable:
            return Verdict.not_run
        command = [str(self._bin / "python"), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
        try:
            done = subprocess.run(
                command, cwd=self._tree.folder, capture_output=True, timeout=_SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired:
            return Verdict.red
        return Verdict.green if done.returncode == 0 else Verdict.red

    @property
    def _bin(self) -> Path:
        return self._folder / "bin"

    def _ready(self) -> bool:
        """Make the environment once; the tree is installed in it as it lies."""
        if not self._prepared:
            self._prepared = True
            self._tree.show(self._tree.base)
            try:
                self._make()
            except CoAgentError as error:
                self._failure = str(error)
        return not self._failure

    def _make(self) -> None:
        self._run(self._python, "-m", "venv", str(self._folder))
        pip = (str(self._bin / "python"), "-m", "pip", "-qq", "--disable-pip-version-check", "install")
        try:
            self._run(*pip, "-e", f"{self._tree.folder}[test]")
        except CoAgentError:
            self._run(*pip, "-e", str(self._tree.folder))
        for listed in ("requirements/tests.txt", "requirements/testing.txt", "tests/requirements.txt"):
            if (self._tree.folder / listed).exists():
                self._run(*pip, "-r", str(self._tree.folder / listed))
                return
        self._run(*pip, *_NEEDED)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self._tree.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["?"])[-1]
            raise CoAgentError(f"the environment of the tests could not be made: {last[:300]}")
