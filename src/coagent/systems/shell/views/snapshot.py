"""A tree as it is at one moment, by hard links: what others write afterwards does not show in it.

That holds for writers that put a new file in the place of the old one, as CoAgent does; a program that writes
into a file that is there changes the snapshot too. Folders that are left out are not part of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from coagent.errors import TargetError
from coagent.folder_watch import FolderWatch
from coagent.private import private_folder, write_private
from coagent.scratch import ScratchFolder

_Seen: TypeAlias = tuple[int, int, int, int]
"""Inode, time of change in nanoseconds, size in bytes, mode; a plain tuple, since there are many of them."""
_Tree: TypeAlias = dict[str, dict[str, _Seen]]
"""Folder to name to what is there."""
_Changes: TypeAlias = dict[str, tuple[_Seen | None, _Seen | None]]
"""Relative path to what was there and what is there now."""
_MODE = 3
_ANSWERS_MAX = 200_000
_IDLE_MAX = 2
"""How many snapshots are kept for when the last one is in use; each has as many links as the tree files."""
_REMEMBERED_MAX, _PATHS_MAX = 1_000, 10_000


class Snapshots:
    """Snapshots of one tree; each differs little from the last, so most of them cost a look at what changed.

    Args:
        root: The tree.
        folder: Where they are kept, on the same file system, in a folder that ends with this object or with
            the process.
        left_out: Tells of a relative path whether it is left out, with all below it.
    """

    def __init__(self, root: str, folder: Path, left_out: Callable[[str], bool]) -> None:
        self._root = root
        self._shared = folder
        self._scratch: ScratchFolder | None = None
        self._left_out = left_out
        self._number = 0
        self._watch = FolderWatch(root)
        self._heard: set[str] | None = set()  # what the watch has told beforehand
        self._tree: _Tree = {}
        self._skipped: dict[str, list[str]] = {}
        self._current: Path | None = None
        self._uses: dict[Path, int] = {}
        self._behind: dict[Path, _Changes] = {}  # snapshots of before, and what has changed since
        self._counting = threading.Lock()  # one is taken in a thread while another is given back elsewhere
        self._answers: dict[str, bool] = {}
        self._history: deque[tuple[int, frozenset[str]]] = deque()
        self._interrupted = False
        self.generation = 0
        """Grows with each snapshot that differs from the one before."""

    def take(self) -> Path:
        """Return a folder that holds the tree as it is now; give it back with `release`.

        Raises:
            TargetError: It cannot be made, or was interrupted.
        """
        try:
            changes = self._look()
            if changes:
                with self._counting:
                    for behind in self._behind.values():
                        _note(changes, behind)
            if self._current is None or (changes and self._uses.get(self._current)):
                changes = self._begin(changes)
            assert self._current is not None
            if changes:
                self._bring_up(self._current, changes)
        except OSError as error:
            self._start_over()
            raise TargetError(
                f"no snapshot of {self._root!r} can be made: {error}",
                "Free some space, or check permissions.",
            ) from error
        with self._counting:
            self._uses[self._current] = self._uses.get(self._current, 0) + 1
        return self._current

    def take_unchanged(self) -> Path | None:
        """Do as `take` where that costs next to nothing; None where something may have changed."""
        if self._current is None or self._heard is None or self._heard:
            return None
        self._heard = self._watch.changed()
        if self._heard is None or self._heard:
            return None
        with self._counting:
            self._uses[self._current] = self._uses.get(self._current, 0) + 1
        return self._current

    def release(self, snapshot: Path) -> None:
        """Say that a snapshot is not needed any more."""
        with self._counting:
            self._uses[snapshot] -= 1
            unused = not self._uses[snapshot] and snapshot != self._current
            if unused:
                del self._uses[snapshot]
            kept = unused and snapshot in self._behind and len(self._idle()) <= _IDLE_MAX
            if unused and not kept:
                self._behind.pop(snapshot, None)
        if unused and not kept:
            shutil.rmtree(snapshot, ignore_errors=True)

    def _idle(self) -> list[Path]:
        return [snapshot for snapshot in self._behind if not self._uses.get(snapshot)]

    def interrupt(self) -> None:
        """Have a `take` in another thread end soon, and none succeed until `close`."""
        self._interrupted = True

    def _go_on(self) -> None:
        if self._interrupted:
            raise InterruptedError(errno.EINTR, "it was interrupted")

    def close(self) -> None:
        """Watch the tree no more, and keep what is in use only; the next snapshot is made from nothing."""
        self._watch.close()
        self._interrupted = False
        with self._counting:
            if self._scratch is not None and not any(self._uses.values()):
                self._scratch.close()
                self._scratch = self._current = None
                self._behind.clear()

    def left_out(self) -> list[str]:
        """Return the folders that are left out of the last snapshot, as relative paths."""
        return sorted(path for paths in self._skipped.values() for path in paths)

    @property
    def count(self) -> int:
        """How many files, links and folders the tree has."""
        return sum(map(len, self._tree.values()))

    def share(self, paths: Iterable[str]) -> float:
        """Return how much of the tree some relative paths are, from 0 to 1."""
        there = 0
        for path in paths:
            folder, _, name = path.rpartition("/")
            there += name in self._tree.get(folder, ())
        return there / max(1, self.count)

    def changed_since(self, generation: int) -> frozenset[str] | None:
        """Return the files and links that have changed, as relative paths; None where that is forgotten.

        Args:
            generation: What `generation` was then.
        """
        if generation == self.generation:
            return frozenset()
        history = list(self._history)  # at once: another thread may add to it
        if not history or history[0][0] > generation + 1:
            return None
        return frozenset().union(*(paths for number, paths in history if number > generation))

    def _begin(self, changes: _Changes) -> _Changes:
        """Go on with another folder, since the last one is in use; return what is to be brought up in it.

        One that was in use before differs little from the tree; a new one is made only where there is none.
        Say a long test runs over snapshot 1, while an edit of f comes: 2 is made, with a link for each file.
        When the test has ended, 1 lacks but f, as `_behind` has noted: the next edit brings 1 up by two
        files, and 20,000 links are not made again.
        """
        with self._counting:
            if self._current is not None and self._uses.get(self._current):
                self._behind[self._current] = dict(changes)
            idle = min(self._idle(), key=lambda path: len(self._behind[path]), default=None)
            if idle is not None:
                self._current = idle
                return {path: both for path, both in self._behind.pop(idle).items() if both[0] != both[1]}
        self._make()
        return _changes({}, self._tree)

    def _make(self) -> None:
        if self._current is not None and not self._uses.get(self._current):
            shutil.rmtree(self._current, ignore_errors=True)
        if self._scratch is None or not self._scratch.path.is_dir():
            private_folder(self._shared)  # what others may not read in the tree, they must not read here
            ignore = self._shared / ".gitignore"
            if not ignore.exists():
                write_private(ignore, "*\n")
            self._scratch = ScratchFolder("snapshots", self._shared)
        self._number += 1
        self._current = self._scratch.path / str(self._number)
        self._current.mkdir()

    def _start_over(self) -> None:
        """Forget what may not be so: the next snapshot is made from nothing."""
        if self._current is not None and not self._uses.get(self._current):
            shutil.rmtree(self._current, ignore_errors=True)
        self._current = None
        with self._counting:
            for snapshot in self._idle():
                shutil.rmtree(snapshot, ignore_errors=True)
            self._behind.clear()
        self._watch.close()
        self._history.clear()
        self.generation += 1

    def _bring_up(self, snapshot: Path, changes: _Changes) -> None:
        """Make in a snapshot what has changed in the tree."""
        for path in sorted((path for path, (_, new) in changes.items() if new is None), reverse=True):
            place, was = snapshot / path, changes[path][0]
            assert was is not None
            with contextlib.suppress(FileNotFoundError):  # it had gone before it could be taken
                place.rmdir() if stat.S_ISDIR(was[_MODE]) else place.unlink()
        for path, (before, seen) in sorted(changes.items()):
            if seen is None:
                continue
            self._go_on()
            if before is None and stat.S_ISREG(seen[_MODE]):  # nearly all of a new one
                try:
                    os.link(f"{self._root}/{path}", f"{snapshot}/{path}", follow_symlinks=False)
                    continue
                except OSError:
                    pass
            place = snapshot / path
            if stat.S_ISDIR(seen[_MODE]):
                if before is not None and not stat.S_ISDIR(before[_MODE]):
                    place.unlink(missing_ok=True)
                place.mkdir(exist_ok=True)
                place.chmod(stat.S_IMODE(seen[_MODE]))
                continue
            if before is not None:
                shutil.rmtree(place) if stat.S_ISDIR(before[_MODE]) else place.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
                _put(f"{self._root}/{path}", place, seen[_MODE])

    # ---- looking -------------------------------------------------------------------------------------------

    def _look(self) -> _Changes:
        """Bring up to date what is known of the tree, and return what has changed."""
        heard, self._heard = self._heard, set()
        folders = self._watch.changed()
        if folders is None or heard is None:
            before, self._tree = self._tree, {}
            left_out, self._skipped = self.left_out(), {}
            self._watch.begin()
            self._read_below("")
            self._drop_places(set(left_out).difference(self.left_out()))
            changes = _changes(before, self._tree)
        else:
            changes = {}
            for folder in sorted(folders | heard):  # those above first: they may take those below along
                if folder in self._tree:
                    self._look_into(folder, changes)
            changes = {path: (old, new) for path, (old, new) in changes.items() if old != new}
        if changes:
            paths = frozenset(path for path, both in changes.items() if not all(map(_no_file, both)))
            self._history.append((self.generation + 1, paths))
            self.generation += 1
            while self._remembers_too_much():
                self._history.popleft()
        return changes

    def _remembers_too_much(self) -> bool:
        count = sum(len(paths) for _, paths in self._history)
        return len(self._history) > _REMEMBERED_MAX or (count > _PATHS_MAX and len(self._history) > 1)

    def _look_into(self, folder: str, changes: _Changes) -> None:
        before = self._tree[folder]
        now = self._tree[folder] = self._read(folder)
        for name in before.keys() | now.keys():
            path = f"{folder}/{name}" if folder else name
            old, new = before.get(name), now.get(name)
            same_folder = (
                old is not None
                and new is not None
                and stat.S_ISDIR(old[_MODE])
                and (old[0], stat.S_IFMT(old[_MODE])) == (new[0], stat.S_IFMT(new[_MODE]))
                and self._watch.has(path)
            )
            if not same_folder:
                if old is not None and stat.S_ISDIR(old[_MODE]):
                    self._forget(path, changes)
                if new is not None and stat.S_ISDIR(new[_MODE]):
                    _note(
                        _changes({}, {inner: self._tree[inner] for inner in self._read_below(path)}), changes
                    )
            if old != new:
                _note({path: (old, new)}, changes)

    def _forget(self, folder: str, changes: _Changes) -> None:
        """Drop what is known of a folder that is gone, or is another one."""
        self._watch.forget(folder)
        self._skip(folder, [])
        for name, seen in self._tree.pop(folder, {}).items():
            path = f"{folder}/{name}"
            _note({path: (seen, None)}, changes)
            if stat.S_ISDIR(seen[_MODE]):
                self._forget(path, changes)

    def _read_below(self, folder: str) -> list[str]:
        """Read a folder and all below it, and return them."""
        read, waiting = [], [folder]
        while waiting:
            at = waiting.pop()
            self._go_on()
            read.append(at)
            self._tree[at] = self._read(at)
            for name, seen in self._tree[at].items():
                if stat.S_ISDIR(seen[_MODE]):
                    waiting.append(f"{at}/{name}" if at else name)
        return read

    def _read(self, folder: str) -> dict[str, _Seen]:
        """Return what is in a folder; nothing where it has gone meanwhile."""
        found: dict[str, _Seen] = {}
        skipped: list[str] = []
        self._watch.add(folder)
        start = f"{folder}/" if folder else ""
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                for entry in entries:
                    path = start + entry.name
                    if self._is_left_out(path):
                        if entry.is_dir(follow_symlinks=False):
                            skipped.append(path)
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        found[entry.name] = (status.st_ino, 0, 0, status.st_mode)
                    else:
                        found[entry.name] = (
                            status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode
                        )  # fmt: skip
        except (FileNotFoundError, NotADirectoryError):
            if not folder:
                raise
        self._skip(folder, skipped)
        return found

    def _skip(self, folder: str, skipped: list[str]) -> None:
        """Note what is left out in a folder."""
        self._drop_places(set(self._skipped.pop(folder, ())).difference(skipped))
        if skipped:
            self._skipped[folder] = skipped

    def _drop_places(self, gone: Iterable[str]) -> None:
        """Keep no place in the snapshot where a view would mount a folder that has gone."""
        for path in gone:
            for snapshot in (*self._behind, *((self._current,) if self._current is not None else ())):
                with contextlib.suppress(OSError):
                    (snapshot / path).rmdir()

    def _is_left_out(self, path: str) -> bool:
        answer = self._answers.get(path)
        if answer is None:
            if len(self._answers) > _ANSWERS_MAX:
                self._answers.clear()
            answer = self._answers[path] = self._left_out(path) or self._left_out(f"{path}/x")
        return answer


def _no_file(seen: _Seen | None) -> bool:
    return seen is None or stat.S_ISDIR(seen[_MODE])


def _changes(before: _Tree, now: _Tree) -> _Changes:
    """Return in what two trees differ."""
    found: _Changes = {}
    for folder in before.keys() | now.keys():
        old, new = before.get(folder, {}), now.get(folder, {})
        if old != new:
            for name in old.keys() | new.keys():
                if old.get(name) != new.get(name):
                    path = f"{folder}/{name}" if folder else name
                    found[path] = (old.get(name), new.get(name))
    return found


def _note(more: _Changes, changes: _Changes) -> None:
    """Add later changes to earlier ones."""
    for path, (old, new) in more.items():
        changes[path] = (changes[path][0] if path in changes else old, new)


def _put(source: str, place: Path, mode: int) -> None:
    if stat.S_ISLNK(mode):
        status = os.lstat(source)
        os.symlink(os.readlink(source), place)
        times = status.st_atime_ns, status.st_mtime_ns  # by them git knows it for unchanged
        os.utime(place, ns=times, follow_symlinks=False)
    elif stat.S_ISREG(mode):
        try:
            os.link(source, place, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, place)  # another owner's, or on another file system
