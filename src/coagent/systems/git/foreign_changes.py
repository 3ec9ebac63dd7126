"""The files of the real checkout that hold work which nobody in the domain has done.

Git itself says which these are; it is asked again only when something has changed that its answer depends on.
"""

from __future__ import annotations

import os
import shutil
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from functools import partial
from typing import TypeAlias

from coagent.scratch import new_folder
from coagent.systems.git.index import date
from coagent.systems.git.repository import Repository
from coagent.systems.git.settings import Signature
from coagent.systems.git.views import Snapshots

_RULES = (".gitignore", ".gitattributes")
_APART_MAX = 100
_Validators: TypeAlias = tuple[Signature | None, ...]


class ForeignChanges:
    """Looks for such files, and keeps the last answer.

    Args:
        repository: The repository.
        snapshots: Of its working tree; they know what has changed there.
        left_out: Tells of a relative path whether it is no part of the workspace.
    """

    def __init__(self, repository: Repository, snapshots: Snapshots, left_out: Callable[[str], bool]) -> None:
        self._repository = repository
        self._snapshots = snapshots
        self._left_out = left_out
        self._folder = new_folder("git")
        weakref.finalize(self, shutil.rmtree, self._folder, True)
        self.index = self._folder / "real"
        """The index of the last look: of its commit, with what git knows of unchanged files."""
        self._found: list[str] | None = None
        self._validators: _Validators | None = None
        self._commit: str | None = None
        self._apart: dict[tuple[str, str], frozenset[str]] = {}
        self._generation = 0
        self.looked = 0
        """How often git was asked."""

    def paths(self, commit: str | None, written: Collection[str], *, fresh: bool) -> list[str]:
        """Return the files that are otherwise in a commit, ignored ones and those of agents left out.

        Args:
            commit: The commit.
            written: The paths that agents have written.
            fresh: Whether they must be those of now; else the last ones will do.
        """
        if self._found is None or (fresh and not self._is_known(commit, written)):
            self._ask_git(commit)
        assert self._found is not None
        return [path for path in self._found if path not in written]

    def _is_known(self, commit: str | None, written: Collection[str]) -> bool:
        if self._validators is None or self._validators != self._repository.rules():
            return False
        changed = self._snapshots.changed_since(self._generation)
        if changed is None or any(path.rpartition("/")[2] in _RULES for path in changed):
            return False
        # What agents write is none of these, and so are files that are others in another commit. Where A has
        # committed its edit of f, the commit and f have both changed since git was asked, f by A's hand:
        # there is nothing to ask. Where f has changed and no agent has written it, somebody else has.
        written = written if isinstance(written, Set) else frozenset(written)
        return changed <= written and self._apart_from(commit) <= written

    def _apart_from(self, commit: str | None) -> frozenset[str]:
        """Return the files that are otherwise in a commit than in that of the last look."""
        if commit == self._commit:
            return frozenset()
        empty = self._repository.empty_tree
        pair = self._commit or empty(), commit or empty()
        if pair not in self._apart:
            listing = self._repository.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", *pair)
            names = map(os.fsdecode, listing.split(b"\0")[:-1])
            self._apart[pair] = frozenset(self._within(names))
            while len(self._apart) > _APART_MAX:
                self._apart.pop(next(iter(self._apart)))
        return self._apart[pair]

    @property
    def commit(self) -> str | None:
        """That of the last look, whose index is `index`."""
        return self._commit

    def _ask_git(self, commit: str | None) -> None:
        self._generation = self._snapshots.generation  # before: what changes meanwhile is looked at again
        validators = self._repository.rules()
        listed = self._list_differences(commit)
        others = [line for line in listed if self._is_repository(line)]
        found = set(self._within(os.fsdecode(line[2:]) for line in listed if line not in others))
        self._found = sorted(path for path in found if not self._left_out(path))
        self._commit = commit
        self._validators = (
            None if others else validators
        )  # of other repositories, snapshots do not know enough
        self.looked += 1

    def _list_differences(self, commit: str | None) -> list[bytes]:
        """Return lines of `git ls-files -t` for what differs from a commit.

        The real index says nothing here but what it knows of unchanged files: it follows whoever was last to
        commit. No filter runs (see `settings.py`): a file that goes through one, and whose times git does
        not know, counts as changed.
        """
        run, begun_s = partial(self._repository.run, linked=True), time.time()
        real, copy = self._repository.path / "index", self.index
        if real.is_file():
            shutil.copy2(real, copy)
        else:
            copy.unlink(missing_ok=True)
        run("read-tree", *(("--empty",) if commit is None else ("--reset", commit)), index=copy)
        self._repository.leave_outside(copy)
        run("update-index", "-q", "--refresh", index=copy, codes=(0, 1))
        date(copy, begun_s)
        prefix = self._repository.prefix
        here = ("--", f":(top,literal){prefix[:-1]}") if prefix else ()
        asked = ("--others", "--modified", "--exclude-standard", *here)
        listing = run("ls-files", "-z", "-t", *asked, index=copy)
        return listing.split(b"\0")[:-1]

    def _within(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield those of some paths of the working tree that are in the workspace, as its own."""
        for path in paths:
            one = self._repository.within(path)
            if one is not None:
                yield one

    def _is_repository(self, line: bytes) -> bool:
        """Tell of a line of `git ls-files -t` whether it is the commit of another repository."""
        place = os.path.join(os.fsencode(self._repository.root), line[2:])
        return (
            line.startswith(b"C ")
            and os.path.isdir(place)
            and (os.path.lexists(os.path.join(place, b".git")) or not os.listdir(place))
        )
