"""What a domain has put into its workspace itself, so that it is taken for nobody else's.

Folders come and go with the files in them: where `c/x` is put, `c` is made, and gone with it. That is as much
the domain's doing as the file, and so is that a folder is empty from then on, or no more.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

_PUT_MAX = 10_000
Signature: TypeAlias = tuple[int, int, int, int]
"""Inode, time of modification in nanoseconds, size in bytes, mode; a folder has 1 for its size if empty."""


class OwnPuts:
    """The paths where something was put, and how they were left; used from several threads.

    Args:
        root: The workspace.
        is_empty: Tells of a folder, by its relative path, whether no object is in it.
    """

    def __init__(self, root: str, is_empty: Callable[[str], bool]) -> None:
        self._root = root
        self._is_empty = is_empty
        self._left: OrderedDict[str, Signature | None] = OrderedDict()
        self._under_way: list[str] = []
        self._begun = 0
        self._changed = threading.Condition()

    @contextmanager
    def under_way(self, path: str) -> Iterator[None]:
        """Note that what comes to be at a relative path meanwhile is put there by the domain.

        So are the folders above it that come or go with it, or begin or cease to be empty.
        """
        before = self._above(path)
        stood = {folder for folder, was in before.items() if self._left.get(folder, _NEVER) == was}
        with self._changed:
            self._begun += 1
            self._under_way.append(path)
        try:
            yield
            self.note(path)
            for folder, now in self._above(path).items():
                if folder in stood or now != before[folder]:
                    self._note(folder, now)
        finally:
            with self._changed:
                self._under_way.remove(path)
                self._changed.notify_all()

    def note(self, path: str) -> None:
        """Note that what is at a relative path now was put there by the domain."""
        self._note(path, self.signature(path))

    def _note(self, path: str, signature: Signature | None) -> None:
        with self._changed:
            self._left[path] = signature
            self._left.move_to_end(path)
            while len(self._left) > _PUT_MAX:
                self._left.popitem(last=False)

    def stands(self, path: str) -> bool:
        """Tell whether what is at a relative path is what was left there."""
        return self._left.get(path, _NEVER) == self.signature(path)

    def stands_at_rest(self, path: str) -> bool:
        """Tell the same once nothing is being put there, above or below: half of a put is nobody else's."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not any(_on_one_path(path, one) for one in self._under_way))
                begun = self._begun
            stands = self.stands(path)
            if stands or begun == self._begun:
                return stands

    def signature(self, path: str, *, holds_something: bool = False) -> Signature | None:
        """Return what is something else when another object is at a relative path.

        None: nothing is there, nor is what lies behind a link, which has another path.

        Args:
            path: The path.
            holds_something: Whether a folder there is known not to be empty, so that nobody need look.
        """
        try:
            for folder in _folders_above(path):
                if stat.S_ISLNK(os.lstat(f"{self._root}/{folder}").st_mode):
                    return None
            status = os.lstat(f"{self._root}/{path}")
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):  # its time says only that something in it has changed
            empty = not holds_something and self._is_empty(path)
            return status.st_ino, 0, int(empty), status.st_mode
        return status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode

    def _above(self, path: str) -> dict[str, Signature | None]:
        """Return the folders above a path, as they are."""
        there = self.signature(path, holds_something=True) is not None
        return {folder: self.signature(folder, holds_something=there) for folder in _folders_above(path)}


_NEVER: Signature = (0, 0, 0, 0)


def _folders_above(path: str) -> list[str]:
    return [path[:at] for at, character in enumerate(path) if character == "/"]


def _on_one_path(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")
