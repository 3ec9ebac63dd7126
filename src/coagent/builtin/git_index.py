"""The index that an agent sees: its commit, what it has staged, and others' work left alone.

Paths on which somebody else's uncommitted work lies are marked skip-worktree, or excluded where git does not
know them: then git itself leaves them out of add, commit, stash, reset and clean.
Sources: git-update-index(1), "Skip-worktree bit"; gitignore(5); git's Documentation/technical/racy-git.txt.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from coagent.content import Content
from coagent.targets.git_repository import Entry, Repository, index_line, raw_changes

Staged: TypeAlias = dict[str, list[list[str | int]]]
"""Path to its entries [mode, sha, stage], where they are not the commit's; none where it is removed."""
_KEPT_MAX = 16


class Built(NamedTuple):
    """An index to be copied into a view.

    Args:
        place: The file.
        left_tracked: The paths of others' work that the commit has.
        left_new: Those that it has not.
    """

    place: Path
    left_tracked: list[str]
    left_new: list[str]


class Indexes:
    """Makes indexes, and keeps the last ones.

    Args:
        repository: Whose commits they are of.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._folder = Path(tempfile.mkdtemp(prefix="coagent-git-"))
        weakref.finalize(self, shutil.rmtree, self._folder, True)
        self._kept: dict[str, Built] = {}
        # Git compares whole seconds and sizes only: files written from now on are compared by content,
        # since no index seems to be younger than they are.
        self._begun_s = int(time.time()) - 2
        self.made = 0
        """How many were made anew."""

    def index(
        self,
        commit: str | None,
        staged: Staged,
        others: Mapping[str, Content | None],
        differing: Iterable[str] = (),
    ) -> Built:
        """Return an index.

        Args:
            commit: What it begins with.
            staged: What is otherwise in it.
            others: Files that are others' work, if they differ from the commit's.
            differing: Files that are, and do.
        """
        hashes: dict[str, tuple[str, bool] | None] = dict.fromkeys(differing, ("", False))
        hashes |= {path: _hashed(content, commit) for path, content in others.items()}
        hashes = dict(sorted(hashes.items()))
        name = hashlib.sha256(
            json.dumps([commit, staged, hashes]).encode("utf-8", "surrogateescape")
        ).hexdigest()
        built = self._kept.pop(name, None)
        if built is None:
            built = self._made(self._folder / name, commit, staged, hashes)
            self.made += 1
        self._kept[name] = built
        while len(self._kept) > _KEPT_MAX:
            self._kept.pop(next(iter(self._kept))).place.unlink(missing_ok=True)
        return built

    def _made(
        self, place: Path, commit: str | None, staged: Staged, hashes: Mapping[str, tuple[str, bool] | None]
    ) -> Built:
        run = self._repository.run
        real = self._repository.path / "index"
        if real.is_file():
            shutil.copyfile(real, place)  # what it knows of unchanged files saves git from reading them
        if commit is None:
            run("read-tree", "--empty", index=place)
        else:
            run("read-tree", "--reset", commit, index=place)
        tracked: list[str] = []
        new: list[str] = []
        if hashes:
            there = self._repository.entries(place)
            for path, now in hashes.items():
                entry = there[path][0] if path in there else None
                if entry is not None and (now is None or now != (entry.sha, entry.mode == "100755")):
                    tracked.append(path)
                elif entry is None and now is not None:
                    new.append(path)
        lines = b"".join(
            index_line(path, None)
            + b"".join(index_line(path, Entry(str(m), str(s), int(n))) for m, s, n in entries)
            for path, entries in staged.items()
        )
        if lines:
            run("update-index", "-z", "--index-info", index=place, given=lines)
        marked = [os.fsencode(path) + b"\0" for path in tracked if path not in staged]
        if marked:
            run("update-index", "-z", "--skip-worktree", "--stdin", index=place, given=b"".join(marked))
        os.utime(place, (self._begun_s, self._begun_s))
        return Built(place, tracked, new)

    def staged(self, index: Path, commit: str | None) -> Staged:
        """Return what an index has otherwise than a commit."""
        run = self._repository.run
        if commit is None:
            return {
                path: [list(one) for one in stages]
                for path, stages in self._repository.entries(index).items()
            }
        listing = run(
            "diff-index", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", commit, index=index
        )
        found: Staged = {path: [list(now)] if now else [] for path, _, now in raw_changes(listing)}
        if b" U\0" in listing:
            for path, stages in self._repository.entries(index).items():
                if stages[0].stage:
                    found[path] = [list(one) for one in stages]
        return dict(sorted(found.items()))

    def unowned(self, commit: str | None) -> list[str]:
        """Return the files of the real checkout that are otherwise in a commit, ignored ones left out."""
        run = self._repository.run
        real, copy = self._repository.path / "index", self._folder / "real"
        if real.is_file():
            shutil.copy2(real, copy)  # git diff would write what it learns into it
        else:
            run("read-tree", "--empty", index=copy)
        found = set(run("ls-files", "-z", "--others", "--exclude-standard", index=copy).split(b"\0")[:-1])
        changed = ["diff", "--name-only", "-z", "--no-renames", "--ignore-submodules=all", "--no-ext-diff"]
        if commit is not None:
            found |= set(run(*changed, commit, "--", index=copy).split(b"\0")[:-1])
        else:
            found |= set(run("ls-files", "-z", index=copy).split(b"\0")[:-1])
        return sorted(os.fsdecode(path) for path in found)


def _hashed(content: Content | None, commit: str | None) -> tuple[str, bool] | None:
    """Return the name that git has for a content, and whether it is executable."""
    if content is None:
        return None
    make = hashlib.sha256 if commit is not None and len(commit) == 64 else hashlib.sha1
    return make(b"blob %d\0" % len(content.data) + content.data).hexdigest(), content.executable


def exclusion(path: str) -> str:
    """Return the pattern that excludes just one file."""
    escaped = "".join(f"\\{one}" if one in "\\*?[" else one for one in path)
    return "/" + (escaped[:-1] + "\\ " if escaped.endswith(" ") else escaped)
