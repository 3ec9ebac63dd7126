"""A working tree of a task's repository, in which pairs are tried one after another."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, NewType

from coagent.errors import CoAgentError

TreeId = NewType("TreeId", str)
"""The id of a git tree: equal for equal contents."""


class Change(NamedTuple):
    """What a feature makes of one file; None: there is none.

    Args:
        path: The file.
        before: Its text on the commit that the feature is built on.
        after: Its text with the feature.
    """

    path: str
    before: str | None
    after: str | None


class NotApplicable(CoAgentError):
    """A patch cannot be applied, or holds what is no text."""


class Tree:
    """A clone of a repository at one commit.

    Args:
        source: The clone that the user has.
        folder: Where to make the tree.
        commit: What it holds.

    Raises:
        CoAgentError: The repository has no such commit.
    """

    def __init__(self, source: Path, folder: Path, commit: str) -> None:
        self.folder, self.commit = folder, commit
        subprocess.run(
            ["git", "clone", "--quiet", "--no-checkout", "--shared", str(source.resolve()), str(folder)],
            check=True,
        )
        found = self._git("cat-file", "-e", f"{commit}^{{commit}}", check=False)
        if found.returncode:
            raise CoAgentError(
                f"{str(source)!r} has no commit {commit}", "Fetch the whole history of the repository."
            )
        self._git("config", "user.name", "pairs")
        self._git("config", "user.email", "pairs@localhost")
        self.base = TreeId(self._git("rev-parse", f"{commit}^{{tree}}").stdout.strip())

    def show(self, tree: TreeId) -> None:
        """Make the folder hold a tree, and nothing else."""
        self._git("read-tree", "--reset", "-u", tree)
        self._git("clean", "-qfdx")

    def apply(self, patch: Path) -> None:
        """Apply a patch to what the folder holds.

        Raises:
            NotApplicable: It does not fit.
        """
        loose = ("apply", "--ignore-whitespace", "--ignore-space-change")
        if self._git(*loose, str(patch.resolve()), check=False).returncode:
            made = self._git("apply", "--3way", str(patch.resolve()), check=False)
            if made.returncode:
                raise NotApplicable(f"{patch} does not fit: {made.stderr.strip()[:300]}", "See the data set.")

    def held(self) -> TreeId:
        """Return the id of what the folder holds."""
        self._git("add", "--all", "--force")
        return TreeId(self._git("write-tree").stdout.strip())

    def with_patch(self, patch: Path) -> TreeId:
        """Return the commit's tree with a patch.

        Raises:
            NotApplicable: It does not fit.
        """
        self.show(self.base)
        self.apply(patch)
        return self.held()

    def changes(self, tree: TreeId) -> list[Change]:
        """Return what is different in a tree from the commit's.

        Raises:
            NotApplicable: Something there is no UTF-8 text.
        """
        names = self._git("diff-tree", "-r", "-z", "--name-only", self.base, tree).stdout
        return [
            Change(path, self._text(self.base, path), self._text(tree, path))
            for path in names.split("\0")
            if path
        ]

    def merged(self, one: TreeId, other: TreeId) -> TreeId | None:
        """Return what git makes of two trees that both come from the commit; None where it gives up."""
        sides = [
            self._git("commit-tree", tree, "-p", self.commit, "-m", "side").stdout.strip()
            for tree in (one, other)
        ]
        made = self._git("merge-tree", "--write-tree", *sides, check=False)
        return None if made.returncode else TreeId(made.stdout.split("\n", 1)[0].strip())

    def _text(self, tree: TreeId, path: str) -> str | None:
        shown = subprocess.run(
            ["git", "show", f"{tree}:{path}"], cwd=self.folder, capture_output=True, check=False
        )
        if shown.returncode:
            return None
        try:
            return shown.stdout.decode()
        except UnicodeDecodeError:
            raise NotApplicable(f"{path} is no text in UTF-8", "It is left out.") from None

    def _git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=_ENVIRONMENT,
        )
        if check and done.returncode:
            raise CoAgentError(f"git {' '.join(arguments[:2])} failed: {done.stderr.strip()[:300]}")
        return done


_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "HOME": "/nonexistent",
}


def paths_of(changes: Iterable[Change]) -> list[str]:
    """Return the files of changes."""
    return [change.path for change in changes]
