"""A view for one command that is a copy: slower, for machines that have no overlays or no namespaces.

The tree is copied, the command runs in the copy behind a fence (`fence.py`), and what it has changed is put
into what would be the upper layer of an overlay would be, so that all else goes on as with one.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coagent.content import above
from coagent.errors import TargetError
from coagent.overlay_layers import make_way, put_over, put_whiteout
from coagent.systems.git import own_work
from coagent.systems.git.layer import OBJECTS
from coagent.systems.shell.views import fence, kernel_bounds
from coagent.systems.shell.views.confined import Confined, ReadSet
from coagent.systems.shell.views.overlay import is_behind_link
from coagent.systems.shell.views.tmp_stack import Stack, TemporaryLayers

_COPY_S_MAX = 600


class Copied(Confined):
    """One private copy of a tree; the arguments are those of `Confined`."""

    @property
    def _copy(self) -> Path:
        return self._scratch / "tree"

    def _more(self) -> dict[str, Any]:
        """Make the copy; said of it are its place and what the command may write."""
        self._tree_layer = _Layer(Path(self._root), self._copy, self._upper)
        self._tree_layer.apply()
        for name in self._real:
            (self._copy / name).parent.mkdir(parents=True, exist_ok=True)
            (self._copy / name).symlink_to(f"{self._tree}/{name}")
        git = Path(self.frame.git or f"{self._tree}/.git")
        self._git: _Layer | None = None
        if git.is_dir():
            if self._git_seed is not None:
                self.git_layer.mkdir(parents=True, exist_ok=True)
                put_over(self._git_seed, self.git_layer, without=OBJECTS)
            self._git = _Layer(git, self._copy / ".git", self.git_layer, without="objects")
            self._git.apply()
            alternates = self._copy / ".git/objects/info/alternates"  # gitrepository-layout(5)
            alternates.parent.mkdir(parents=True)
            alternates.write_text(f"{git}/objects\n", encoding="utf-8")
        elif git.is_file():  # of a linked worktree
            shutil.copyfile(git, self._copy / ".git")
        temporary = self._scratch / "tmp"
        real = [f"{self._tree}/{name}" for name in self._real]
        return {
            "root": str(self._copy),
            "followed": str(self._copy),
            "fence": [str(self._copy), str(temporary), str(self._cache), *real, *self.frame.writable],
            "temporary": [str(temporary)],
            "hidden": self._tree,
            "readable": [f"{git}/objects"],
        }

    def _own_work(self, git: str) -> str:
        folder = self._scratch / own_work.FOLDER
        own_work.write(folder, str(folder), str(self._copy), self._copy, *self._others)
        (folder / "upper").symlink_to(self._copy)
        (folder / "real").symlink_to(git)
        return ""

    @property
    def _cache(self) -> Path:
        return self._scratch / "cache"

    def spec(
        self, argv: Sequence[str], cwd: str, environment: Mapping[str, str], program: str | None = None
    ) -> None:
        temporary = self._scratch / "tmp"
        for folder in (temporary, self._cache):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o1777)
        variables = {key: self.name(value, inside=True) for key, value in environment.items()}
        variables |= {"TMPDIR": str(temporary), "XDG_CACHE_HOME": str(self._cache)}
        if self._git_layered and any(self._others):  # a copy has no mounts: what is found first is that
            variables["PATH"] = f"{self._scratch / own_work.FOLDER}:{variables.get('PATH', '')}"
        inside = [self.name(argument, inside=True) for argument in argv]
        super().spec(inside, self.name(cwd, inside=True), variables, program)

    def expect_only_reads(self) -> None:
        pass

    def seed_tmp(self, layers: TemporaryLayers, stack: Stack) -> None:
        (self._scratch / "tmp").mkdir(exist_ok=True)
        layers.apply(stack, "tmp", self._scratch / "tmp")

    def left_in_tmp(self) -> tuple[dict[str, Path], bool]:
        return {"tmp": self._scratch / "tmp"}, True

    def git_changes(self) -> Path | None:
        return self.git_layer

    def name(self, text: str, *, inside: bool) -> str:
        names = self._tree, str(self._copy)
        return text.replace(*(names if inside else reversed(names)))

    def folders_gone(self) -> set[str]:
        return self._tree_layer.gone

    def outcome(self) -> tuple[bool, ReadSet | None]:
        for name in self._real:
            (self._copy / name).unlink(missing_ok=True)
        self._tree_layer.take()
        if self._git is not None:
            (self._copy / ".git/objects/info/alternates").unlink(missing_ok=True)
            self._git.take()
        elif (Path(self._tree) / ".git").is_file():
            (self._copy / ".git").unlink(missing_ok=True)
        elif os.path.lexists(self._copy / ".git"):  # the command has made it: as an overlay would show that
            shutil.move(self._copy / ".git", self._upper / ".git")
        return super().outcome()


class _Layer:
    """A copy of a folder with a layer over it, and back.

    Args:
        lower: The folder.
        copy: Where the copy is made.
        upper: The layer, as that of an overlay.
        without: A folder of it that is not copied.
    """

    def __init__(self, lower: Path, copy: Path, upper: Path, *, without: str = "") -> None:
        self._lower = lower
        self._copy = copy
        self._upper = upper
        self._without = without
        self._begun: dict[str, tuple[int, int]] = {}
        self._seeded: set[str] = set()
        self._seeded_folders: set[str] = set()
        self.gone: set[str] = set()

    def apply(self) -> None:
        """Make the copy.

        Raises:
            TargetError: It cannot be made.
        """
        self._copy.mkdir(parents=True)
        names = [name for name in os.listdir(self._lower) if name not in (".git", self._without)]
        try:
            if names:
                subprocess.run(
                    ["cp", "-a", "--reflink=auto", "--", *names, str(self._copy)],
                    cwd=self._lower, check=True, capture_output=True, text=True, timeout=_COPY_S_MAX,
                )  # fmt: skip
            self._put("")
        except subprocess.CalledProcessError as error:
            why = error.stderr.strip()
            raise _not_copied(self._lower, why) from None
        except (OSError, subprocess.SubprocessError) as error:
            raise _not_copied(self._lower, str(error)) from error
        self._begun = dict(self._scan())

    def _put(self, folder: str) -> None:
        """Put the layer over the copy."""
        if not (self._upper / folder).is_dir():
            return
        for entry in os.scandir(self._upper / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            place = self._copy / path
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                if place.is_symlink() or not place.is_dir():
                    make_way(place)
                    place.mkdir()
                self._seeded_folders.add(path)
                self._put(path)
                continue
            make_way(place)
            if not stat.S_ISCHR(status.st_mode):
                shutil.copy2(entry.path, place, follow_symlinks=False)
            self._seeded.add(path)

    def _scan(self) -> list[tuple[str, tuple[int, int]]]:
        """Return what is in the copy: paths to inodes and times of change, which every change moves on."""
        found = []
        for at, folders, names in os.walk(self._copy):
            if Path(at) == self._copy:
                folders[:] = [name for name in folders if name != ".git"]
            for name in (*folders, *names):
                status = os.lstat(os.path.join(at, name))
                path = os.path.relpath(os.path.join(at, name), self._copy)
                time = 0 if stat.S_ISDIR(status.st_mode) else status.st_ctime_ns
                found.append((path, (status.st_ino, time)))
        return found

    def take(self) -> None:
        """Put what was changed in the copy into the layer."""
        shutil.rmtree(self._upper, ignore_errors=True)
        self._upper.mkdir(parents=True)
        now = dict(self._scan())
        behind = {"": False}
        for path, signature in now.items():
            place = self._copy / path
            is_folder = place.is_dir() and not place.is_symlink()
            in_link = is_behind_link(str(self._lower), path, behind)
            if is_folder and (self._lower / path).is_dir() and not in_link:
                before = (self._lower / path).stat().st_mode
                if place.stat().st_mode != before or path in self._seeded | self._seeded_folders:
                    self._folder(path)
            elif is_folder:
                self._folder(path)
            elif self._begun.get(path) != signature or path in self._seeded:
                self._folder(os.path.dirname(path))
                os.rename(place, self._upper / path)
            if is_folder and path in self._seeded:  # which was no folder, and covered what the tree has there
                os.setxattr(self._upper / path, "user.overlay.opaque", b"y")
        folders = {path for path, (_, time) in self._begun.items() if not time}
        self.gone = {path for path in folders if now.get(path) != self._begun[path]}
        for path in sorted(self._begun.keys() | self._seeded - now.keys()):
            if path not in now and os.path.lexists(self._lower / path):
                self._whiteout(path)

    def _folder(self, path: str) -> None:
        """Make a folder in the layer, with the rights that those of the copy have."""
        for folder in (*above(path), path):
            place = self._upper / folder
            if folder and not place.is_dir():
                place.mkdir()
                place.chmod(stat.S_IMODE((self._copy / folder).stat().st_mode))

    def _whiteout(self, path: str) -> None:
        parent = os.path.dirname(path)
        if parent and not (self._copy / parent).is_dir():
            return  # it went with the folder that it was in
        self._folder(parent)
        if not os.path.lexists(self._upper / path):
            put_whiteout(self._upper / path)


def _not_copied(folder: Path, why: str) -> TargetError:
    return TargetError(f"no copy of {str(folder)!r} can be made: {why}", "Free some space.")


def available() -> str:
    """Return why copies cannot be had here; empty where they can."""
    if kernel_bounds.version() < fence.LANDLOCK_MIN:
        return f"the kernel does not bound programs (Landlock {fence.LANDLOCK_MIN}, in Linux 6.2 and later)"
    return ""
