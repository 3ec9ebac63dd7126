"""Tells which folders of a tree have something new in them, so that not every file need be looked at.

The kernel queues an event before the call that it tells of returns, so what was written before a question is
in its answer. Only what is changed under its name in the tree is heard of: not writes through a mapping, nor
through another hard link. Where events cannot be relied on (file systems that others write to as well, too
many folders), the answer is that nothing is known. Source: inotify(7), "Limitations and caveats".
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from inotify_simple import INotify

_LOCAL_KINDS = frozenset({
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs",
})  # fmt: skip
"""File systems that nobody but this machine writes to."""
_FOLDERS_MAX = 20_000
"""A user has so many in all (fs.inotify.max_user_watches), and editors want theirs."""


class FolderEvent(NamedTuple):
    """Something has changed in a watched folder.

    Args:
        folder: Its relative path.
        name: The name in it that has come, gone or changed; empty for the folder itself.
        is_folder: Whether that name is, or was, a folder.
        moved: Whether it has come or gone, so that what is below it has, too.
        attributes: Whether no more than its rights, times or links have changed.
    """

    folder: str
    name: str
    is_folder: bool
    moved: bool
    attributes: bool = False


class FolderWatch:
    """What has changed in the folders of one tree.

    Args:
        root: The tree.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._device = 0
        self._inotify: INotify | None = None
        self._end: weakref.finalize[..., FolderWatch] | None = None
        self._folders: dict[int, str] = {}
        self._descriptors: dict[str, int] = {}

    def begin(self) -> None:
        """Begin anew, with no folder; where events cannot be relied on, `changed` will say so."""
        self.close()
        if not sys.platform.startswith("linux") or not is_local(self._root):
            return
        from inotify_simple import INotify

        try:
            self._inotify = INotify()
        except OSError:  # there is a limit for each user
            return
        self._device = os.stat(self._root).st_dev
        self._end = weakref.finalize(self, self._inotify.close)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._end is not None:
            self._end()
        self._inotify = self._end = None
        self._folders.clear()
        self._descriptors.clear()

    def add(self, folder: str) -> None:
        """Watch a folder; to be called before it is looked at.

        Args:
            folder: Its relative path, "" for the tree itself. What is below it is not watched by that.
        """
        if self._inotify is None:
            return
        from inotify_simple import flags

        events = flags.CREATE | flags.DELETE | flags.MODIFY | flags.ATTRIB | flags.MOVED_FROM | flags.MOVED_TO
        events |= flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR | flags.DONT_FOLLOW
        place = os.path.join(self._root, folder)
        try:
            if os.lstat(place).st_dev != self._device:
                self.close()  # something else is mounted there
                return
            descriptor = self._inotify.add_watch(place, events)
        except (FileNotFoundError, NotADirectoryError):
            return  # it has gone meanwhile, and the folder above it will tell
        except OSError:
            self.close()
            return
        if len(self._folders) >= _FOLDERS_MAX:
            self.close()
            return
        before = self._folders.get(descriptor)
        if before is not None:  # it was moved here
            self._descriptors.pop(before, None)
        self._folders[descriptor] = folder
        self._descriptors[folder] = descriptor

    def has(self, folder: str) -> bool:
        """Tell whether a folder is watched, and is still the one that was at its path."""
        return folder in self._descriptors

    @property
    def active(self) -> bool:
        """Whether events can be relied on."""
        return self._inotify is not None

    @property
    def count(self) -> int:
        """How many folders are watched."""
        return len(self._descriptors)

    @property
    def folders(self) -> list[str]:
        """The folders that are watched."""
        return list(self._descriptors)

    def forget(self, folder: str) -> None:
        """Watch a folder no longer; those below it are not meant."""
        descriptor = self._descriptors.pop(folder, None)
        if descriptor is not None and self._inotify is not None:
            self._folders.pop(descriptor, None)
            with contextlib.suppress(OSError):  # it may have ended by itself: the folder is gone
                self._inotify.rm_watch(descriptor)

    def changed(self) -> set[str] | None:
        """Return the watched folders in which something has changed since the last question.

        Returns:
            Relative paths; None where that is not known. Then all must be looked at, after `begin`.
        """
        events = self.events()
        return None if events is None else {event.folder for event in events}

    def events(self) -> list[FolderEvent] | None:
        """Return what has changed in the watched folders since the last question, oldest first.

        Returns:
            None where that is not known. Then all must be looked at, after `begin`.
        """
        if self._inotify is None:
            return None
        from inotify_simple import flags

        found: list[FolderEvent] = []
        for event in self._inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                self.close()
                return None
            folder = self._folders.get(event.wd)
            if folder is None:
                continue
            if event.mask & (flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED | flags.UNMOUNT):
                if not folder:
                    self.close()
                    return None
                self.forget(folder)
                above, _, name = folder.rpartition("/")
                found.append(FolderEvent(above, name, True, True))
            else:
                moved = event.mask & (flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO)
                is_folder, attributes = bool(event.mask & flags.ISDIR), bool(event.mask & flags.ATTRIB)
                found.append(FolderEvent(folder, event.name, is_folder, bool(moved), attributes))
        return found


def is_local(place: str) -> bool:
    """Tell whether a folder is on a file system that nobody but this machine writes to."""
    return _file_system(place) in _LOCAL_KINDS


def _file_system(place: str) -> str:
    """Return the kind of file system that a folder is on; empty where that is not known."""
    best, kind = "", ""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        mount = before.split(" ")[4].replace("\\040", " ")
        inside = place == mount or place.startswith(f"{mount.rstrip('/')}/")
        if inside and len(mount) >= len(best):  # later lines lie over earlier ones
            best, kind = mount, after.split(" ")[0]
    return kind
