"""A tree as it is at one moment, by hard links: what others write afterwards does not show in it.

That holds for writers that put a new file in the place of the old one, as CoAgent does; a program that writes
into a file that is there changes the snapshot too. Folders that are left out are not part of it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from coagent.errors import TargetError

_Seen: TypeAlias = tuple[int, int, int, int]
"""Inode, time of change in nanoseconds, size in bytes, mode; a plain tuple, since there are many of them."""
_MODE = 3
_ANSWERS_MAX = 200_000


class Snapshots:
    """Snapshots of one tree; each differs little from the last, so most of them cost a look at every file.

    Args:
        root: The tree.
        folder: Where they are kept, on the same file system, in a folder of this process; what processes
            that are gone have left there is thrown away.
        left_out: Tells of a relative path whether it is left out, with all below it.
    """

    def __init__(self, root: str, folder: Path, left_out: Callable[[str], bool]) -> None:
        self._root = root
        self._shared = folder
        self._folder = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._left_out = left_out
        self._number = 0
        self._known: dict[str, _Seen] = {}
        self._current: Path | None = None
        self._uses: dict[Path, int] = {}
        self._skipped: list[str] = []
        self._answers: dict[str, bool] = {}
        self._remove_left_over()
        weakref.finalize(self, shutil.rmtree, self._folder, True)

    def take(self) -> Path:
        """Return a folder that holds the tree as it is now; give it back with `release`.

        Raises:
            TargetError: It cannot be made.
        """
        try:
            found = dict(self._walk())
            if found != self._known or self._current is None:
                if self._current is None or self._uses.get(self._current):
                    self._begin()
                assert self._current is not None
                self._bring_up(self._current, found)
        except OSError as error:
            raise TargetError(
                f"no snapshot of {self._root!r} can be made: {error}",
                "Free some space, or check permissions.",
            ) from error
        assert self._current is not None
        self._uses[self._current] = self._uses.get(self._current, 0) + 1
        return self._current

    def release(self, snapshot: Path) -> None:
        """Say that a snapshot is not needed any more."""
        self._uses[snapshot] -= 1
        if not self._uses[snapshot] and snapshot != self._current:
            del self._uses[snapshot]
            shutil.rmtree(snapshot, ignore_errors=True)

    def left_out(self) -> list[str]:
        """Return the folders that are left out of the last snapshot, as relative paths."""
        return sorted(self._skipped)

    def _begin(self) -> None:
        self._number += 1
        self._current = self._folder / str(self._number)
        self._current.mkdir(parents=True)
        ignore = self._shared / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        self._known = {}

    def _remove_left_over(self) -> None:
        for place in self._shared.glob("*-*"):
            pid = place.name.partition("-")[0]
            if pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
                shutil.rmtree(place, ignore_errors=True)

    def _walk(self) -> Iterator[tuple[str, _Seen]]:
        self._skipped = []
        waiting = [""]
        while waiting:
            at = waiting.pop()
            try:
                with os.scandir(f"{self._root}/{at}") as entries:
                    found = list(entries)
            except FileNotFoundError:
                if not at:
                    raise
                continue  # it has gone meanwhile
            for entry in found:
                path = at + entry.name
                if self._is_left_out(path):
                    if entry.is_dir(follow_symlinks=False):
                        self._skipped.append(path)
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    yield path, (0, 0, 0, status.st_mode)
                    waiting.append(f"{path}/")
                else:
                    yield path, (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)

    def _is_left_out(self, path: str) -> bool:
        answer = self._answers.get(path)
        if answer is None:
            if len(self._answers) > _ANSWERS_MAX:
                self._answers.clear()
            answer = self._answers[path] = self._left_out(path) or self._left_out(f"{path}/x")
        return answer

    def _bring_up(self, snapshot: Path, found: dict[str, _Seen]) -> None:
        for path in sorted(self._known.keys() - found.keys(), reverse=True):
            place = snapshot / path
            place.rmdir() if stat.S_ISDIR(self._known[path][_MODE]) else place.unlink()
        for path, seen in found.items():
            known = self._known.get(path)
            if known == seen:
                continue
            place = snapshot / path
            if stat.S_ISDIR(seen[_MODE]):
                if known is not None and not stat.S_ISDIR(known[_MODE]):
                    place.unlink()
                place.mkdir(exist_ok=True)
                place.chmod(stat.S_IMODE(seen[_MODE]))
                continue
            if known is not None:
                shutil.rmtree(place) if stat.S_ISDIR(known[_MODE]) else place.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
                self._put(f"{self._root}/{path}", place, seen[_MODE])
        self._known = found

    def _put(self, source: str, place: Path, mode: int) -> None:
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), place)
        elif stat.S_ISREG(mode):
            try:
                os.link(source, place, follow_symlinks=False)
            except OSError:
                shutil.copy2(source, place)  # another owner's, or on another file system
