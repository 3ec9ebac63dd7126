"""A private view of a directory for one command: an overlay in a mount namespace of its own.

The directory itself is the lower layer and stays untouched; what the command writes lands in the upper layer,
and nowhere else. Files that are to look otherwise in the view are put there beforehand. Works as root, and
for others where user namespaces are on. Sources: Linux kernel documentation, "Overlay Filesystem";
unshare(1).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from coagent.content import EMPTY_FOLDER, Content, above, content_at, put_content
from coagent.errors import TargetError
from coagent.overlay_layers import is_opaque, is_whiteout, put_whiteout
from coagent.scratch import process_folder, remove_tree
from coagent.systems.files.large import LargeFiles

_TRIAL_S_MAX = 10
# The inner shell gets $1 the root, $2 the scratch folder, $3 the mount options, $4 the folder to start in;
# the rest is the command. Folders named in COAGENT_KEEP are the real ones in the view, too.
_SCRIPT = """\
set -e
root=$1 scratch=$2 options=$3 cwd=$4; shift 4
for name in $COAGENT_KEEP; do
  if [ -d "$root/$name" ]; then
    mkdir -p "$scratch/keep/$name"
    mount --bind "$root/$name" "$scratch/keep/$name"
  fi
done
mount -t overlay coagent -o "$options" "$root"
for name in $COAGENT_KEEP; do
  if [ -d "$scratch/keep/$name" ]; then mount --bind "$scratch/keep/$name" "$root/$name"; fi
done
unset COAGENT_KEEP
cd "$cwd"
exec "$@"
"""
_TimeOf: TypeAlias = Callable[[str, bytes, int | None, int], tuple[int, int]]


class Overlay:
    """One private view of a directory.

    Args:
        root: The directory; it must not contain `scratch`.
        scratch: A folder of its own for what the view needs; on a disk, where much is written.
        keep: Names of folders at the top that are the real ones in the view: what is written there is real.
        left_out: Tells of a relative path whether it is no part of the tree: no change then.
    """

    def __init__(
        self,
        root: str,
        scratch: Path,
        *,
        keep: Sequence[str] = (".git", ".coagent"),
        left_out: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.file_bytes_max = sys.maxsize
        """How large a file may be that is read."""
        self.large: LargeFiles | None = None
        """What keeps larger ones."""
        self.time_of: _TimeOf = lambda path, data, live, now: (now if live is None else live, 0)
        """Returns of what time a version of a file is, in nanoseconds since the epoch, and what orders it
        among those of one time; gets that of the live file, if that is the same, and of one written now."""
        self.rewritten: dict[str, int] = {}
        """Files that the command has written anew just as they were, and when; known after `changes`."""
        self._left_out = left_out
        self._root = root
        self._scratch = scratch
        self._keep = tuple(keep)
        self._upper = scratch / "upper"
        self._prepared: dict[str, Content | None] = {}
        self._dated: dict[str, int] = {}
        self._shown: set[str] = set()  # folders in which something was prepared
        self._hidden_folders: set[str] = set()
        self._made: dict[str, int] = {}  # folders of the upper layer: inodes
        self._behind: dict[str, bool] = {"": False}  # folders of the directory: whether a link leads there

    def prepare(self, differing: Mapping[str, Content | None]) -> None:
        """Make the view.

        Args:
            differing: What is something else in the view than in the directory, by relative paths; None: it
                is not there.

        Raises:
            TargetError: The scratch folder cannot be written.
        """
        try:
            for name in ("upper", "work"):
                if not os.path.isdir(f"{self._scratch}/{name}"):  # mostly they wait there
                    os.makedirs(f"{self._scratch}/{name}", exist_ok=True)
            uncovered = _drop_covered(differing)
            for path, content in uncovered.items():
                if content is not None:
                    put_content(self._upper / path, content, self.put_large)
            self._date(
                {
                    path: content.version
                    for path, content in uncovered.items()
                    if content is not None and content.is_file
                }
            )
            for path, content in uncovered.items():
                if content is None:
                    self._hide(path)
            self._hide_folders(uncovered)
        except OSError as error:
            raise TargetError(
                f"the view in {str(self._scratch)!r} cannot be made: {error.strerror}",
                "Free some space there.",
            ) from error
        self._prepared = dict(differing)
        if differing:
            self._made = dict(self._folders_made(""))

    def _date(self, files: Mapping[str, bytes]) -> None:
        """Give files of the view the times of their versions."""
        known = {path: self._time(path, data) for path, data in files.items()}
        last_ns = 0
        for path, (time_ns, _) in sorted(known.items(), key=lambda item: (item[1], item[0])):
            last_ns = max(time_ns, last_ns + 1)
            if self.large is None:
                os.utime(self._upper / path, ns=(last_ns, last_ns))
            else:
                self.large.date(self._upper / path, last_ns)
            self._dated[path] = last_ns

    def _time(self, path: str, data: bytes) -> tuple[int, int]:
        live_ns = None
        with contextlib.suppress(OSError):
            status = os.lstat(f"{self._root}/{path}")
            same_size = stat.S_ISREG(status.st_mode) and status.st_size == len(data)
            if same_size and (Path(self._root) / path).read_bytes() == data:  # other rights only
                live_ns = status.st_mtime_ns
        return self.time_of(path, data, live_ns, self.changed_ns(path))

    def before_ns(self, path: str) -> int | None:
        """Return of what time a file was when the view was made; None where there was none."""
        if path in self._prepared:
            return self._dated.get(path)
        try:
            return os.lstat(f"{self._root}/{path}").st_mtime_ns
        except OSError:
            return None

    @property
    def dated(self) -> Mapping[str, int]:
        """Of what time the files are that are something else in the view than in the directory."""
        return self._dated

    @property
    def differing(self) -> Mapping[str, Content | None]:
        """What is something else in the view than in the directory."""
        return self._prepared

    def take_up(self, differing: Mapping[str, Content | None]) -> None:
        """Go on with a view that another process has made.

        Args:
            differing: As for `prepare`.
        """
        self._prepared = dict(differing)

    def prepared_state(self) -> dict[str, tuple[int, int]]:
        """Return what tells of each path that was prepared whether it is as it was."""
        return {path: self.identity(path) for path in self._prepared}

    def identity(self, path: str) -> tuple[int, int]:
        """Return what tells of a path of the upper layer whether another one is there."""
        try:
            status = os.lstat(self._upper / path)
        except OSError:
            return (0, 0)
        return (0, 0) if stat.S_ISCHR(status.st_mode) else (status.st_ino, status.st_mtime_ns)

    def _folders_made(self, folder: str) -> Iterator[tuple[str, int]]:
        with os.scandir(self._upper / folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    yield path, entry.inode()
                    yield from self._folders_made(path)

    def _hide(self, path: str) -> None:
        place = self._upper / path
        if not place.is_dir():  # else something is shown in it
            place.parent.mkdir(parents=True, exist_ok=True)
            put_whiteout(place)

    def _hide_folders(self, differing: Mapping[str, Content | None]) -> None:
        """Hide the folders of which every file is hidden: to the command they are not there yet."""
        shown = {path for path, content in differing.items() if content is not None}
        self._shown = {parent for path in shown for parent in above(path)}
        hidden = {path for path, content in differing.items() if content is None}
        for folder in sorted({parent for path in hidden for parent in above(path)} - self._shown - shown):
            if (self._upper / folder).is_dir() and self._all_hidden(folder, hidden):
                self._hidden_folders.add(folder)
                shutil.rmtree(self._upper / folder)
                put_whiteout(self._upper / folder)

    def _all_hidden(self, folder: str, hidden: Collection[str]) -> bool:
        return all(path in hidden for path in self._leaves(folder))

    def command(self, argv: Sequence[str], cwd: str) -> list[str]:
        """Return the command line that runs a command in the view.

        Args:
            argv: The command.
            cwd: Where it starts, as an absolute path below the root or elsewhere.
        """
        options = self._options(Path(self._root), self._upper, self._scratch / "work")
        return [
            "env",
            f"COAGENT_KEEP={' '.join(self._keep)}",
            *_unshare(os.geteuid() == 0),
            *("sh", "-c", _SCRIPT, "sh", self._root, str(self._scratch), options, cwd),
            *argv,
        ]

    @staticmethod
    def _options(lower: Path, upper: Path, work: Path) -> str:
        """Return the mount options of an overlay."""
        layers = [f"lowerdir={_escape(lower)}", f"upperdir={_escape(upper)}", f"workdir={_escape(work)}"]
        return ",".join(layers if os.geteuid() == 0 else ["userxattr", *layers])

    def before(self, path: str) -> Content | None:
        """Return what was at a path when the view was made: a file, a link or an empty folder."""
        prepared = self._prepared.get(path, EMPTY_FOLDER)
        if prepared is None or prepared.kind != "folder":
            return prepared
        if path not in self._prepared:
            found = None
            if not self._is_behind_link(path.rpartition("/")[0]):
                found = self.content_below(Path(self._root), path)
            if found != EMPTY_FOLDER:
                return found
        inside = any(
            inner.startswith(f"{path}/") for inner, content in self._prepared.items() if content is not None
        )
        return None if inside else EMPTY_FOLDER

    def content_below(self, root: Path, path: str) -> Content | None:
        """Return what a tree has at a path, as `tree_content` does."""
        name = None if self.large is None else self.large.name
        return tree_content(root, path, self._left_out, self.file_bytes_max, name)

    def put_large(self, name: str, place: Path) -> None:
        """Make a file with a content that is kept by reference, into which programs may write."""
        if self.large is not None:
            self.large.put(name, place, alone=True)

    def changed_ns(self, path: str) -> int:
        """Return when a file that the command has left was changed, in nanoseconds since the epoch."""
        try:
            return os.lstat(f"{self._upper}/{path}").st_mtime_ns
        except OSError:
            return 0

    def folders_gone(self) -> set[str]:
        """Return folders that the command has moved away, or removed, without a look at what was in them.

        What the directory has cannot be moved at once, only what was prepared.
        """
        gone = set()
        for path, inode in self._made.items():
            try:
                status = os.lstat(self._upper / path)
            except OSError:
                status = None
            if status is None or not stat.S_ISDIR(status.st_mode) or status.st_ino != inode:
                gone.add(path)
        return gone

    def _is_behind_link(self, folder: str) -> bool:
        """Tell whether a folder is reached by a link in the directory: what is in it has another name."""
        return is_behind_link(self._root, folder, self._behind)

    def _names(self, place: Path, path: str) -> set[str]:
        return {name for name in os.listdir(place) if not self._is_left_out(f"{path}/{name}")}

    def _is_left_out(self, path: str) -> bool:
        return self._left_out(path) or self._left_out(f"{path}/x")

    def changes(self) -> dict[str, Content | None]:
        """Return what the command has changed in the view: relative paths to contents, None where it is gone.

        Pipes and sockets are left behind.
        """
        touched = dict.fromkeys(self._touched_paths(""))
        behind = {"": False}
        for path, content in self._prepared.items():
            if content is not None and not os.path.lexists(self._upper / path):
                touched[path] = None
        found: dict[str, Content | None] = {}
        for path in touched:
            in_link = is_behind_link(str(self._upper), path.rpartition("/")[0], behind)
            after = None if in_link else self._after(path)
            if self.before(path) != after:
                found[path] = after
            elif after is not None and after.is_file and self.changed_ns(path) != self.before_ns(path):
                self.rewritten[path] = self.changed_ns(path)
        return found

    def _after(self, path: str) -> Content | None:
        """Return what is now at a path that the command has touched."""
        place = self._upper / path
        if place.is_symlink() or not place.is_dir():
            # A whiteout is no file.
            return content_at(place, self.file_bytes_max, None if self.large is None else self.large.keep)
        names = os.listdir(place)
        if any(not is_whiteout(place / name) for name in names if not self._is_left_out(f"{path}/{name}")):
            return None
        if any(is_opaque(str(self._upper / prefix)) for prefix in (*above(path), path)):
            return EMPTY_FOLDER
        lower = Path(self._root) / path
        merged = lower.is_dir() and not self._is_behind_link(path)
        return None if merged and self._names(lower, path) - set(names) else EMPTY_FOLDER

    def remove(self) -> None:
        """Throw the view away."""
        remove_scratch(self._scratch)

    def _touched_paths(self, folder: str) -> Iterator[str]:
        """Yield every path whose content the command may have changed."""
        with os.scandir(self._upper / folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if self._is_left_out(path):
                    continue
                yield path
                if not entry.is_dir(follow_symlinks=False):
                    yield from self._below(path)
                elif folder or entry.name not in self._keep:
                    if is_opaque(entry.path):
                        yield from self._below(path)
                    yield from self._touched_paths(path)

    def _below(self, path: str) -> Iterator[str]:
        """Yield what was below a folder of the view, as far as it was prepared or is in the directory."""
        yield from (inner for inner in self._prepared if inner.startswith(f"{path}/"))
        yield from self._leaves(path)

    def _leaves(self, path: str) -> Iterator[str]:
        """Yield the files, links and empty folders of the directory at or below a path."""
        place = Path(self._root) / path
        if place.is_symlink() or not place.is_dir():
            if os.path.lexists(place) and not self._is_behind_link(path.rpartition("/")[0]):
                yield path
            return
        empty = True
        for name in sorted(os.listdir(place)):
            one = f"{path}/{name}"
            if not self._is_left_out(one):
                empty = False
                yield from self._leaves(one)
        if empty:
            yield path


def remove_scratch(scratch: Path) -> None:
    """Throw the folder of a view away; what fails in that goes with this process, or the next."""
    for name in ("work", "git-work", "home-work", "tmp-work", "own-tmp-work", "own-var-tmp-work"):
        with contextlib.suppress(OSError):  # overlays leave a folder here that nobody may enter
            (scratch / name / "work").chmod(0o700)
    remove_tree(scratch)


@cache
def available() -> str:
    """Return why private views cannot be had here; empty where they can."""
    import tempfile

    if not hasattr(os, "geteuid") or shutil.which("unshare") is None:
        return "there is no unshare(1): private views need Linux with util-linux"
    with tempfile.TemporaryDirectory(prefix="trial-", dir=process_folder()) as scratch:
        root = Path(scratch) / "root"
        root.mkdir()
        overlay = Overlay(str(root), Path(scratch) / "view")
        overlay.prepare({})
        try:
            done = subprocess.run(
                overlay.command(["sh", "-c", "echo tried > trial"], str(root)),
                capture_output=True,
                text=True,
                check=False,
                timeout=_TRIAL_S_MAX,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"a private view cannot be mounted: {error}"
        if done.returncode != 0 or list(overlay.changes()) != ["trial"] or any(root.iterdir()):
            return f"a private view cannot be mounted: {done.stderr.strip() or 'it is not private'}"
    return ""


def tree_content(
    root: Path,
    path: str,
    left_out: Callable[[str], bool],
    bytes_max: int = sys.maxsize,
    name: Callable[[str | Path], str] | None = None,
) -> Content | None:
    """Return what a tree has at a path; None where there is nothing, or a folder with something in it.

    Args:
        root: The tree.
        path: The relative path.
        left_out: Tells of a relative path whether it is no part of the tree.
        bytes_max: How large a file may be that is read.
        name: Names the content of a larger one.

    Raises:
        OSError: It cannot be read, or is larger than that (EFBIG).
    """
    place = root / path
    if place.is_symlink() or not place.is_dir():
        return content_at(place, bytes_max, name)
    if any(not left_out(f"{path}/{name}") and not left_out(f"{path}/{name}/x") for name in os.listdir(place)):
        return None
    return EMPTY_FOLDER


def is_behind_link(root: str, folder: str, known: dict[str, bool]) -> bool:
    """Tell whether a folder is a link, or is reached by one.

    Args:
        root: The tree.
        folder: Its relative path.
        known: What has been asked before, and that there is none for "".
    """
    found = known.get(folder)
    if found is None:
        found = is_behind_link(root, folder.rpartition("/")[0], known) or os.path.islink(f"{root}/{folder}")
        known[folder] = found
    return found


def _drop_covered(differing: Mapping[str, Content | None]) -> dict[str, Content | None]:
    """Leave out what lies below a file or a link of the view: that covers what the directory has there.

    To prepare it all the same would be to go through the link, to wherever that leads.
    """
    covering = {path for path, content in differing.items() if content and content.kind != "folder"}
    return {path: content for path, content in differing.items() if covering.isdisjoint(above(path))}


def _unshare(privileged: bool) -> list[str]:
    if privileged:
        return ["unshare", "--mount", "--"]
    return ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--"]


def _escape(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")
