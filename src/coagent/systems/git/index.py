"""The index that an agent sees: its commit, what it has staged, and others' work left alone.

Paths on which somebody else's uncommitted work lies are marked skip-worktree, or excluded where git does not
know them: then git itself leaves them out of add, commit, stash, reset and clean.
Sources: git-update-index(1), "Skip-worktree bit"; gitignore(5); git's Documentation/technical/racy-git.txt.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from coagent.content import Content
from coagent.scratch import new_folder
from coagent.systems.git.repository import Entry, Repository, index_line, raw_changes

Staged: TypeAlias = dict[str, list[list[str | int]]]
"""Path to its entries [mode, sha, stage], where they are not the commit's; none where it is removed."""
_KEPT_MAX = 16
_MARGIN_S = 2
"""How much older than it is an index is made to look: clocks differ, and those of files are behind."""


class Built(NamedTuple):
    """An index to be copied into a view.

    Args:
        name: Tells it from all others.
        place: The file.
        left_tracked: The paths of others' work that the commit has.
        left_new: Those that it has not.
    """

    name: str
    place: Path
    left_tracked: list[str]
    left_new: list[str]


class _Kept(NamedTuple):
    """What is needed to look closer at files: their contents, and the attributes that hold for them."""

    contents: Mapping[str, Content | None]
    rules: Mapping[str, bytes]


class Indexes:
    """Makes indexes, and keeps the last ones.

    Args:
        repository: Whose commits they are of.
        known: An index from which to take what git knows of unchanged files, which saves it from reading
            them; it may come later.
        commit: Returns the commit that it is of.
    """

    def __init__(
        self, repository: Repository, known: Path, commit: Callable[[], str | None] = lambda: None
    ) -> None:
        self._repository = repository
        self._known = known
        self._known_commit = commit
        self._after: dict[str, Path] = {}
        self._folder = new_folder("git")
        weakref.finalize(self, shutil.rmtree, self._folder, True)
        self._kept: dict[str, Built] = {}
        self._renewed = 0
        self.made = 0
        """How many were made anew."""

    def index(
        self,
        commit: str | None,
        staged: Staged,
        others: Mapping[str, Content | None],
        differing: Iterable[str] = (),
        attributes: Mapping[str, Content | None] | None = None,
        *,
        begun_s: float,
    ) -> Built:
        """Return an index.

        Args:
            commit: What it begins with.
            staged: What is otherwise in it.
            others: Files that are others' work, if they differ from the commit's.
            differing: Files that are, and do.
            attributes: The `.gitattributes` that any agent has written, as they are here.
            begun_s: When what is to be seen with it was taken, in seconds since the epoch.
        """
        rules = self._rules(others, attributes or {})
        hashes: dict[str, tuple[str, bool] | None] = dict.fromkeys(differing, ("", False))
        hashes |= {path: _hash(content, commit) for path, content in others.items()}
        hashes = dict(sorted(hashes.items()))
        all_of_it = json.dumps([commit, staged, hashes, {path: rule.hex() for path, rule in rules.items()}])
        name = hashlib.sha256(all_of_it.encode("utf-8", "surrogateescape")).hexdigest()
        built = self._kept.pop(name, None)
        if built is None:
            basis = self._after.get(commit or "", self._known)
            known_s = _modification_time_s(basis) + _MARGIN_S  # what it does not know, this one neither
            built = self._make(self._folder / name, basis, commit, staged, hashes, _Kept(others, rules))
            date(built.place, min(known_s, begun_s))
            self.made += 1
        self._kept[name] = built
        while len(self._kept) > _KEPT_MAX:
            self._kept.pop(next(iter(self._kept))).place.unlink(missing_ok=True)
        return built

    def renew(self, built: Built, index: Path, begun_s: float) -> None:
        """Go on with what git has learned of the files: which ones it need not read again.

        Args:
            built: What was copied into a view.
            index: What has become of it there: the same, but for times and sizes of files.
            begun_s: When what was seen there was taken, in seconds since the epoch.
        """
        if self._kept.get(built.name) is not built:
            return  # another command was faster
        self._renewed += 1
        place = self._folder / f"{built.name}.{self._renewed}"
        shutil.copyfile(index, place)
        date(place, begun_s)
        self._kept[built.name] = built._replace(place=place)
        built.place.unlink(missing_ok=True)

    def go_on_from(self, commit: str, index: Path, begun_s: float) -> None:
        """Keep the index that git has left in a view with a commit, which the next command begins with.

        Args:
            commit: The commit.
            index: The index: nothing in it is otherwise than in the commit. One with marks is not kept.
            begun_s: When what was seen there was taken, in seconds since the epoch.
        """
        if not self._is_plain(index):
            return
        place = self._folder / f"after-{commit}"
        shutil.copyfile(index, place)
        date(place, begun_s)
        self._after.pop(commit, None)
        self._after[commit] = place
        while len(self._after) > _KEPT_MAX:
            self._after.pop(next(iter(self._after))).unlink(missing_ok=True)

    def _is_plain(self, index: Path) -> bool:
        """Tell whether no file in an index is marked: to be skipped, taken for unchanged, added later."""
        try:
            with open(index, "rb") as file:
                if file.read(8) != b"DIRC\0\0\0\2":  # others have marks (gitformat-index(5), "Extended")
                    return False
        except OSError:
            return False
        lines = self._repository.run("ls-files", "-v", "-z", index=index).split(b"\0")
        return not any(line[:1].islower() for line in lines)

    def _rules(self, paths: Iterable[str], written: Mapping[str, Content | None]) -> dict[str, bytes]:
        """Return the `.gitattributes` on the way to some paths."""
        folders = {""}
        for path in paths:
            while path:
                path = path.rpartition("/")[0]
                folders.add(path)
        found = {}
        for folder in sorted(folders):
            name = f"{folder}/.gitattributes" if folder else ".gitattributes"
            if name in written:
                content = written[name]
                data = content.data if content is not None and content.kind == "file" else b""
            else:
                try:
                    data = (Path(self._repository.root) / name).read_bytes()
                except OSError:
                    continue
            if data:
                found[name] = data
        return found

    def _convert(self, paths: Iterable[str], kept: _Kept) -> dict[str, str]:
        """Return what git calls the contents of files once their line ends are as in objects.

        No filter runs, since those are programs: what goes through one is taken as it is.
        """
        with tempfile.TemporaryDirectory(prefix="ends-", dir=self._folder) as name:
            tree = Path(name)
            files = {path: content.data for path, content in kept.contents.items() if content is not None}
            asked = [path for path in paths if "\n" not in path and path in files]
            for path, data in {**{path: files[path] for path in asked}, **kept.rules}.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_bytes(data)
            given = b"".join(os.fsencode(path) + b"\n" for path in asked)
            said = self._repository.run("hash-object", "--stdin-paths", given=given, tree=tree)
        return dict(zip(asked, said.decode().split(), strict=True))

    def _make(
        self,
        place: Path,
        basis: Path,
        commit: str | None,
        staged: Staged,
        hashes: Mapping[str, tuple[str, bool] | None],
        kept: _Kept,
    ) -> Built:
        run = self._repository.run
        if basis.is_file():
            shutil.copyfile(basis, place)
        if commit is None:
            run("read-tree", "--empty", index=place)
        elif basis == self._known and (commit != self._known_commit() or not basis.is_file()):
            run("read-tree", "--reset", commit, index=place)
            self._repository.leave_outside(place)
        tracked: list[str] = []
        new: list[str] = []
        if hashes:
            there = self._repository.entries(place, hashes.keys())
            for path, now in hashes.items():
                entry = there[path][0] if path in there else None
                if entry is not None and (now is None or now != (entry.sha, entry.mode == "100755")):
                    tracked.append(path)
                elif entry is None and now is not None:
                    new.append(path)
            doubtful = [path for path in tracked if _may_be_converted(kept.contents.get(path))]
            named = self._convert(doubtful, kept) if doubtful else {}
            for path, sha in named.items():
                (entry,) = there[path][:1]
                content = kept.contents[path]
                if content is not None and (sha, content.executable) == (entry.sha, entry.mode == "100755"):
                    tracked.remove(path)
        digits = len(commit) if commit is not None else self._repository.digits
        lines = b"".join(
            index_line(path, None, digits)
            + b"".join(index_line(path, Entry(str(m), str(s), int(n)), digits) for m, s, n in entries)
            for path, entries in staged.items()
        )
        if lines:
            run("update-index", "-z", "--index-info", index=place, given=lines)
            # `merge --abort` and `reset --merge` take a file without times for one with work in it.
            run("update-index", "-q", "--refresh", index=place, codes=(0, 1), linked=True)
        # A has edited f and not committed it; B, which comes later, sees f as A left it. Were f not marked,
        # B's `git commit -am x` would commit A's lines as B's. So of the files that differ from the commit
        # those of others are marked: git takes them for unchanged. What B has staged itself stays B's.
        marked = [os.fsencode(path) + b"\0" for path in tracked if path not in staged]
        if marked:
            run("update-index", "-z", "--skip-worktree", "--stdin", index=place, given=b"".join(marked))
        return Built(place.name, place, tracked, new)

    def staged(self, index: Path, commit: str | None) -> Staged:
        """Return what an index has otherwise than a commit."""
        run = self._repository.run
        if commit is None:
            return {
                path: [list(stage) for stage in stages]
                for path, stages in self._repository.entries(index).items()
            }
        listing = run(
            "diff-index", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", commit, index=index
        )
        found: Staged = {path: [list(now)] if now else [] for path, _, now in raw_changes(listing)}
        if b" U\0" in listing:
            for path, stages in self._repository.entries(index).items():
                if stages[0].stage:
                    found[path] = [list(stage) for stage in stages]
        return dict(sorted(found.items()))


def date(index: Path, begun_s: float) -> None:
    """Say of an index when the files were as it says.

    Git compares whole seconds and sizes of files. What was written at that time or later it compares by
    content, so this must be before anything may have changed that the index does not know of.

    Args:
        index: The file.
        begun_s: The time, in seconds since the epoch.
    """
    seconds = int(begun_s - _MARGIN_S)
    os.utime(index, (seconds, seconds))


def _modification_time_s(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _hash(content: Content | None, commit: str | None) -> tuple[str, bool] | None:
    """Return the name that git has for a content, and whether it is executable."""
    if content is None:
        return None
    if content.large:
        return "", content.executable  # not read through for that: it counts as changed
    make = hashlib.sha256 if commit is not None and len(commit) == 64 else hashlib.sha1
    return make(b"blob %d\0" % len(content.data) + content.data).hexdigest(), content.executable


def _may_be_converted(content: Content | None) -> bool:
    """Tell whether git might take a content for another one: it may change the ends of lines of files."""
    return content is not None and content.kind == "file" and not content.large


def exclusion(path: str) -> str:
    """Return the pattern that excludes just one file."""
    escaped = "".join(f"\\{character}" if character in "\\*?[" else character for character in path)
    return "/" + (escaped[:-1] + "\\ " if escaped.endswith(" ") else escaped)
