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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from coagent.errors import TargetError

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


class Content(NamedTuple):
    """A regular file.

    Args:
        data: Its bytes.
        executable: Whether its owner may run it.
    """

    data: bytes
    executable: bool


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
        self._left_out = left_out
        self._root = root
        self._scratch = scratch
        self._keep = tuple(keep)
        self._upper = scratch / "upper"
        self._prepared: dict[str, Content | None] = {}

    def prepare(self, differing: Mapping[str, Content | None]) -> None:
        """Make the view.

        Args:
            differing: Files that are something else in the view than in the directory, by their relative
                paths; None: it is not there.

        Raises:
            TargetError: The scratch folder cannot be written.
        """
        try:
            for name in ("upper", "work", "keep"):
                (self._scratch / name).mkdir(parents=True, exist_ok=True)
            for path, content in differing.items():
                place = self._upper / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if content is None:
                    os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(0, 0))  # a whiteout
                else:
                    place.write_bytes(content.data)
                    place.chmod(0o755 if content.executable else 0o644)
            self._hide_folders(differing)
        except OSError as error:
            raise TargetError(
                f"the view in {str(self._scratch)!r} cannot be made: {error.strerror}",
                "Free some space there.",
            ) from error
        self._prepared = dict(differing)

    def _hide_folders(self, differing: Mapping[str, Content | None]) -> None:
        """Hide the folders of which every file is hidden: to the command they are not there yet."""
        shown = {
            parent for path, content in differing.items() if content is not None for parent in _above(path)
        }
        hidden = {path for path, content in differing.items() if content is None}
        for folder in sorted({parent for path in hidden for parent in _above(path)} - shown):
            if (self._upper / folder).is_dir() and self._all_hidden(folder, hidden):
                shutil.rmtree(self._upper / folder)
                os.mknod(self._upper / folder, stat.S_IFCHR | 0o600, os.makedev(0, 0))

    def _all_hidden(self, folder: str, hidden: Collection[str]) -> bool:
        for at, _, names in os.walk(Path(self._root) / folder):
            if any(os.path.relpath(os.path.join(at, name), self._root) not in hidden for name in names):
                return False
        return True

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
        layers = [f"lowerdir={_escaped(lower)}", f"upperdir={_escaped(upper)}", f"workdir={_escaped(work)}"]
        return ",".join(layers if os.geteuid() == 0 else ["userxattr", *layers])

    def before(self, path: str) -> Content | None:
        """Return a regular file as it was when the view was made; None where there was none."""
        return self._prepared[path] if path in self._prepared else self._lower(path)

    def changes(self) -> dict[str, Content | None]:
        """Return what the command has changed in the view: relative paths to contents, None where it is gone.

        Only regular files count, as in git: links, pipes and empty folders are left behind.
        """
        found: dict[str, Content | None] = {}
        for path, content in self._written(""):
            if self.before(path) != content:
                found[path] = content
        for path, content in self._prepared.items():
            if content is not None and path not in found and not os.path.lexists(self._upper / path):
                found[path] = None
        return found

    def remove(self) -> None:
        """Throw the view away."""
        for name in ("work", "git-work", "home-work"):  # overlays leave a folder here that nobody may enter
            with contextlib.suppress(OSError):
                (self._scratch / name / "work").chmod(0o700)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _written(self, folder: str) -> Iterator[tuple[str, Content | None]]:
        with os.scandir(self._upper / folder) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if self._left_out(path) or self._left_out(f"{path}/x"):
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    yield from ((one, None) for one in self._below(path))
                elif stat.S_ISDIR(status.st_mode):
                    if folder == "" and entry.name in self._keep:
                        continue
                    if _opaque(entry.path):
                        kept = {one for one, _ in self._written(path)}
                        yield from ((one, None) for one in self._below(path) if one not in kept)
                    yield from self._written(path)
                else:
                    yield from ((one, None) for one in self._below(path) if one != path)  # of a folder before
                    if not stat.S_ISREG(status.st_mode):
                        yield path, None
                        continue
                    yield path, Content(Path(entry.path).read_bytes(), bool(status.st_mode & 0o100))

    def _below(self, path: str) -> Iterator[str]:
        """Yield a file of the view as it was, or the files below a folder of it."""
        prepared = [one for one in self._prepared if one == path or one.startswith(f"{path}/")]
        yield from prepared
        lower = Path(self._root) / path
        if lower.is_symlink():
            return
        if lower.is_file():
            yield from () if path in prepared else (path,)
            return
        for at, _, names in os.walk(lower):
            for name in names:
                one = os.path.relpath(os.path.join(at, name), self._root)
                if one not in prepared and not os.path.islink(os.path.join(at, name)):
                    yield one

    def _lower(self, path: str) -> Content | None:
        place = Path(self._root) / path
        try:
            status = place.lstat()
            if stat.S_ISREG(status.st_mode):
                return Content(place.read_bytes(), bool(status.st_mode & 0o100))
        except (FileNotFoundError, NotADirectoryError):
            pass
        return None


@cache
def available() -> str:
    """Return why private views cannot be had here; empty where they can."""
    import tempfile

    if not hasattr(os, "geteuid") or shutil.which("unshare") is None:
        return "there is no unshare(1): private views need Linux with util-linux"
    with tempfile.TemporaryDirectory(prefix="coagent-trial-") as scratch:
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


def _above(path: str) -> list[str]:
    """Return the folders that a path lies in."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]


def _unshare(privileged: bool) -> list[str]:
    if privileged:
        return ["unshare", "--mount", "--"]
    return ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--"]


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def _opaque(folder: str) -> bool:
    for name in ("user.overlay.opaque", "trusted.overlay.opaque"):
        with contextlib.suppress(OSError):
            return os.getxattr(folder, name) in (b"y", b"x")
    return False
