"""Packages in folders that are left out of the workspace (`node_modules`, `.venv`): who takes them away.

Nobody keeps track of such a folder: it is one for all agents. So `npm ci` of an earlier agent takes away what
a later one has installed. A command that has taken packages away, or put other versions in their place,
writes the object `installed:FOLDER/packages`; one that looks into the folder has read it. So the later
agent's command runs again as for any other premise: it installs its package anew, and its agent is told where
that gives something else. So it does where both were at work at once, and either may have undone what the
other did. The object has no live value. Sources: npm-ci(1), npm-prune(1); "Recording installed projects"
(packaging.python.org) for `.dist-info`.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from coagent.protocol.keys import Key
from coagent.systems.shell.views.confined import ReadSet
from coagent.tools.state import State

SCHEME: Final = "installed"
_PACKAGES_MAX: Final = 20_000
Packages: TypeAlias = dict[str, str]
"""Names of packages to their versions, or what tells one from another where that is not known."""


class Installs:
    """The packages in the left-out folders of one run of a command.

    Args:
        root: The workspace.
        folders: The folders, as relative paths.
        at_once: Those of the runs that are under way; this one is among them from `begin` to `end`.
    """

    def __init__(self, root: str, folders: Iterable[str], at_once: set[Installs]) -> None:
        self._root = root
        self._folders = list(folders)
        self._at_once = at_once
        self._alone = True
        self._before: dict[str, Packages] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        self.writes: dict[Key, Any] = {}
        """What has been taken away, as writes of the call; known after `end`."""

    def begin(self) -> None:
        """See what is there before the command."""
        for other in list(self._at_once):  # each in a thread of its own
            other._alone = self._alone = False
        self._at_once.add(self)
        self._before = self._find_packages()
        self._stamps = {folder: self._stamp(folder) for folder in self._folders}

    def end(self) -> None:
        """See what the command has taken away."""
        self._at_once.discard(self)
        now = self._find_packages()
        for folder in self._folders:
            before, after = self._before.get(folder, {}), now.get(folder, {})
            lost = sorted(name for name, version in before.items() if after.get(name) != version)
            mixed = not self._alone and bool(before or after) and self._stamps[folder] != self._stamp(folder)
            if lost or mixed:
                # The time tells it from an earlier time that the same was taken away, and put back since.
                self.writes[_key(folder)] = {"taken_away": lost, "at_ns": time.time_ns()}

    def record(self, state: State, seen: ReadSet | None) -> None:
        """Make what is in folders that the command has looked into a read of its call."""
        for folder in self._folders:
            looked = seen is None or any(
                path == folder or path.startswith(f"{folder}/") for path in seen.opened | seen.looked_up
            )
            if looked or _key(folder) in self.writes:
                state.trace(_key(folder).removesuffix("packages"))

    def _stamp(self, folder: str) -> tuple[int, int]:
        """Return what is something else once a package has come or gone."""
        try:
            status = os.stat(f"{self._root}/{folder}")
        except OSError:
            return (0, 0)
        return status.st_ino, status.st_mtime_ns

    def _find_packages(self) -> dict[str, Packages]:
        return {folder: found for folder in self._folders if (found := packages(f"{self._root}/{folder}"))}


def _key(folder: str) -> Key:
    return Key(f"{SCHEME}:{folder}/packages")


def packages(folder: str) -> Packages:
    """Return the packages that npm or pip has installed in a folder; none in one of another kind."""
    if os.path.basename(folder) == "node_modules":
        return _of_npm(folder)
    found: Packages = {}
    for place in glob.glob(f"{glob.escape(folder)}/lib/python3*/site-packages"):
        for name in _names(place):
            if name.endswith((".dist-info", ".egg-info")):
                package, _, version = name.rpartition(".")[0].rpartition("-")
                found[package or version] = version
    return found


def _of_npm(folder: str) -> Packages:
    found: Packages = {}
    names = [name for name in _names(folder) if not name.startswith(".")]
    scoped = [
        f"{scope}/{name}" for scope in names if scope.startswith("@") for name in _names(f"{folder}/{scope}")
    ]
    for name in [*(package for package in names if not package.startswith("@")), *scoped][:_PACKAGES_MAX]:
        place = f"{folder}/{name}"
        if os.path.islink(place):
            with contextlib.suppress(OSError):
                found[name] = os.readlink(place)
        else:
            found[name] = _version(f"{place}/package.json")
    return found


_versions: dict[tuple[int, int, int], str] = {}


def _version(place: str) -> str:
    """Return the version in a package.json; one that the system says is unchanged is not read again."""
    try:
        status = os.stat(place)
        stamp = status.st_dev, status.st_ino, status.st_mtime_ns
        if stamp not in _versions:
            if len(_versions) > _PACKAGES_MAX:
                _versions.clear()
            with open(place, "rb") as file:
                _versions[stamp] = str(json.load(file).get("version", ""))
        return _versions[stamp]
    except (OSError, ValueError, AttributeError):
        return ""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
