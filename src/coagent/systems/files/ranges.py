"""What others change in scanned ranges of a workspace, from the events of the folders in them.

Folders are watched once somebody asks, and no more of them than the system can spare: what happens in others
is seen when somebody touches it. A folder is watched before it is listed, so nothing falls in between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator

from coagent.folder_watch import FolderEvent, FolderWatch
from coagent.protocol.keys import Key
from coagent.systems.files.workspace import Workspace
from coagent.targets.news import ROUNDS_KEPT, News

FOLDERS_MAX = 4_000
_PATHS_MAX = 20_000
_STARTS = ("file:", "mode:", "link:", "folder:")


class FileRanges:
    """The folders of a workspace that are watched, and what has changed in them.

    Args:
        workspace: The workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._watch = FolderWatch(workspace.root)
        self._watching = False
        self._round = 0
        self._news = News()
        self._covered: dict[str, int] = {}
        """The prefixes whose folders are watched, and when they were last asked about."""
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Watch what is listed from now on."""
        with self._lock:
            if not self._watching:
                self._watch.begin()
                self._watching = True

    def note_listing(self, prefix: str) -> None:
        """Say that the folders under a prefix (without its scheme) have been watched while it was listed."""
        if self._watching:
            self._covered[prefix] = self._round

    def watch(self, folder: str) -> None:
        """Watch a folder that is about to be listed, if anybody has asked for changes at all."""
        if self._watching:
            with self._lock:
                self._add(folder)

    def changed(self, prefixes: Collection[str]) -> set[Key]:
        """Return the objects under some prefixes that may have changed since the last question.

        Args:
            prefixes: They have their schemes.
        """
        self.begin()
        with self._lock:
            if not self._watch.active:  # there is none here, or the system has no room for more
                return set()
            self._round += 1
            events = self._watch.events()
            if events is None:  # too many, or the root was moved: what happened meanwhile is not known
                self._watch.begin()
                self._covered.clear()
            # Snapshots link files, others give them times: nothing in them changes, but it may be rights.
            slight = [event for event in events or () if event.attributes and not event.is_folder]
            rights, _ = self._affected(slight)
            names, folders = self._affected(
                event for event in events or () if event.is_folder or not event.attributes
            )
            self._cover({prefix.partition(":")[2] for prefix in prefixes if prefix.startswith(_STARTS)})
            self._news.add(Key(f"{scheme}:{path}") for path in names for scheme in ("file", "mode", "link"))
            self._news.add(Key(f"mode:{path}") for path in rights)
            self._news.add(Key(f"folder:{path}") for path in folders)
            return self._news.take(prefixes)

    def close(self) -> None:
        """Watch nothing any more, until asked again."""
        with self._lock:
            self._watch.close()
            self._watching = False
            self._covered.clear()
            self._news.clear()

    def _add(self, folder: str) -> bool:
        if self._watch.count >= FOLDERS_MAX:
            return False
        if not self._watch.has(folder):
            self._watch.add(folder)
        return True

    def _cover(self, asked: set[str]) -> None:
        """Watch what is asked for, and what was not asked for any more no longer."""
        for prefix in asked:
            if prefix not in self._covered:
                self._watch_below(prefix.rpartition("/")[0])
            self._covered[prefix] = self._round
        oldest = self._round - ROUNDS_KEPT
        stale = [prefix for prefix, last in list(self._covered.items()) if last < oldest]
        for prefix in stale:
            self._covered.pop(prefix, None)
        if stale:
            kept = {prefix.rpartition("/")[0] for prefix in list(self._covered)}
            for folder in self._watch.folders:
                if not any(not top or f"{folder}/".startswith(f"{top}/") for top in kept):
                    self._watch.forget(folder)

    def _watch_below(self, top: str) -> tuple[list[str], list[str]]:
        """Watch a folder and all below it; returns the names and folders there, as far as there is room.

        What lies behind a link is watched under its own name only: a folder has but one watch.
        """
        names: list[str] = []
        folders: list[str] = []
        root = self._workspace.root
        real, straight = os.path.realpath(os.path.join(root, top)), os.path.join(os.path.realpath(root), top)
        waiting = [top] if real == straight or not top else []
        while waiting and len(names) < _PATHS_MAX:
            folder = waiting.pop()
            if not self._add(folder):
                break
            for name, is_folder in self._entries(folder):
                path = f"{folder}/{name}" if folder else name
                if self._is_object(path):
                    (folders if is_folder else names).append(path)
                    if is_folder:
                        waiting.append(path)
        return names, folders

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        try:
            with os.scandir(self._workspace.absolute(folder)) as entries:
                return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            return []

    def _affected(self, events: Iterable[FolderEvent]) -> tuple[set[str], set[str]]:
        """Return the names, and the folders, that events are about; what is in a new folder is among them."""
        names: set[str] = set()
        folders: set[str] = set()
        moved: set[str] = set()
        for event in events:
            path = "/".join(part for part in (event.folder, event.name) if part)
            (folders if event.is_folder else names).add(path)
            if not self._is_ours(path):
                folders.add(event.folder)  # one is an object only as long as nothing is in it
            if event.is_folder and event.moved:
                moved.add(path)
        for folder in moved:
            if any(above in moved for above in _above(folder)):
                continue
            for watched in self._watch.folders:
                if f"{watched}/".startswith(f"{folder}/"):
                    self._watch.forget(watched)
            if self._is_object(folder):
                new_names, new_folders = self._watch_below(folder)
                names.update(new_names)
                folders.update(new_folders)
        return {path for path in names if self._is_object(path)}, {
            path
            for path in folders
            if path and self._is_object(path) and not self._workspace.excluded(f"{path}/x")
        }

    def _is_ours(self, path: str) -> bool:
        """Tell whether what is, or is no more, at a path was put by the domain alone, or is no object."""
        return not self._is_object(path) or self._workspace.own_puts.stands(path)

    def _is_object(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        if name == ".git" or self._workspace.excluded(path):
            return False
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return True


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
