"""What an agent's commands leave in temporary folders: layers that its later commands find there again.

A layer is what one command has changed, as the upper layer of an overlay, and is never written again. It is
named by its content, so that a command that leaves the same again leaves the same name. The layers are in a
folder of this process and end with it; those of other living processes are found too. The folder is in
/var/tmp, since an overlay takes no layer that lies in another one, and /tmp itself is the lowest. Source:
Linux kernel, fs/overlayfs/super.c, `ovl_check_layer`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coagent.sandbox.layers import is_opaque, is_whiteout, make_way, put_whiteout, set_opaque

PLACES = {"tmp": "/tmp", "var-tmp": "/var/tmp"}
"""The temporary folders, by the names that they have in a layer."""
_REAL = {"tmp": Path("/tmp")}
"""Of these, what commands see below all layers."""
BYTES_MAX_DEFAULT = 1024**3
TEMPORARY = "of-this-command"
"""What a command has for $TMPDIR in /tmp, where overlays can be had."""
_PREFIX = "coagent-tmp-"
_NEW = "new-"
_NAME = re.compile(r"[0-9a-f]{32}")
_SANDBOX = "coagent-"
_LAYERS_MAX = 20
"""How many layers lie over one another at most: overlays take a bounded number, and get slow before."""
_ENTRY_BYTES = 512
_YOUNG_S = 60
"""How old a folder is, at least, that is taken for one of a process that has died."""
_KEPT_TIMES_MAX = 4
"""How many times what one agent may leave is kept for all of them."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers over one another.

    Args:
        names: The lowest first.
        lost: Whether some that should be among them are gone.
    """

    names: tuple[str, ...] = ()
    lost: bool = False


class TemporaryLayers:
    """The layers of one process; several threads may use them.

    Args:
        bytes_max: How much one agent may leave.
    """

    def __init__(self, bytes_max: int = BYTES_MAX_DEFAULT) -> None:
        self.bytes_max = bytes_max
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._sizes: dict[str, int] = {}
        """The layers that are here, those used last at the end."""
        self._uses: dict[str, int] = {}

    @property
    def folder(self) -> Path:
        """In which the layers are."""
        with self._lock:
            if self._folder is None or not self._folder.is_dir():
                parent = _parent()
                _remove_stale(parent)
                self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
                self._end = weakref.finalize(self, _removed, self._folder, _locked(self._folder))
            return self._folder

    @property
    def apart(self) -> bool:
        """Whether they lie outside /tmp, as overlays need."""
        return not f"{os.path.realpath(_parent())}/".startswith(f"{os.path.realpath('/tmp')}/")

    def close(self) -> None:
        """Remove all layers."""
        with self._lock:
            if self._folder is not None:
                self._end()
            self._folder = None
            self._sizes.clear()

    def take(self, names: Sequence[str]) -> Stack:
        """Return the layers of those names that are still there; give them back with `release`."""
        folder = self.folder
        with self._lock:
            found = tuple(one for one in names if self._is_here(folder, one) or self._fetched(folder, one))
            for one in found:
                self._sizes[one] = self._sizes.pop(one)
                self._uses[one] = self._uses.get(one, 0) + 1
        return Stack(found, lost=len(found) < len(names))

    def release(self, stack: Stack) -> None:
        """Say that the command over some layers has ended; those that nobody uses may go for new ones."""
        with self._lock:
            for one in stack.names:
                self._uses[one] -= 1
                if not self._uses[one]:
                    del self._uses[one]
            total = sum(self._sizes.values())
            for one in list(self._sizes)[:-1]:
                if total > _KEPT_TIMES_MAX * self.bytes_max and one not in self._uses:
                    total -= self._sizes.pop(one)
                    if self._folder is not None:
                        shutil.rmtree(self._folder / one, ignore_errors=True)

    def keep(self, stack: Stack, uppers: Mapping[str, Path], *, whole: bool) -> tuple[str, ...] | None:
        """Make what a command has left a layer, and return the names of all that its agent has then.

        Args:
            stack: Over which it ran.
            uppers: Where it has written, by the names in `PLACES`; that is taken away.
            whole: Whether all is there, and not only what differs.

        Returns:
            The names, the lowest first; those of before where it has left nothing. None where it is too much:
            then nothing of it is kept.

        Raises:
            OSError: It cannot be kept.
        """
        written = {name: upper for name, upper in uppers.items() if _has_left(upper)}
        if not written:
            return () if whole else stack.names
        folder = self.folder
        made = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
        try:
            for name, upper in written.items():
                _tidy(upper, _REAL.get(name))
                if not whole:
                    _prune(upper, self._below(folder, stack, name))
                if _has_left(upper):
                    _move(upper, made / name)
            if not any(made.iterdir()):
                return () if whole else stack.names
            return self._over(folder, () if whole else stack.names, made)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _below(self, folder: Path, stack: Stack, name: str) -> list[Path]:
        """Return what commands see below what they write in a temporary folder, the highest first."""
        layers = [folder / one / name for one in reversed(stack.names)]
        return [*layers, *([_REAL[name]] if name in _REAL else [])]

    def _over(self, folder: Path, names: tuple[str, ...], made: Path) -> tuple[str, ...] | None:
        """Lay something new over layers, or make one of all of them; None where it is too much."""
        digest, size = _digest(made)
        with self._lock:
            total = size + sum(self._sizes[one] for one in names)
        again = digest in names  # an overlay takes no layer twice
        if total <= self.bytes_max and len(names) < _LAYERS_MAX and not again:
            self._put(folder / digest, made, size)
            return (*names, digest)
        if not names:
            return None
        merged = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
        try:
            for layer in (*(folder / one for one in names), made):
                for name in PLACES:
                    if (layer / name).is_dir():
                        (merged / name).mkdir(exist_ok=True)
                        _lay_over(layer / name, merged / name, _REAL.get(name, merged / "none"))
            return self._over(folder, (), merged)
        finally:
            shutil.rmtree(merged, ignore_errors=True)

    def _put(self, place: Path, made: Path, size: int) -> None:
        with self._lock:
            if place.name not in self._sizes:
                made.rename(place)
                self._sizes[place.name] = size

    def lay(self, stack: Stack, name: str, place: Path) -> None:
        """Put all that the layers have for a temporary folder into a plain one.

        Args:
            stack: The layers.
            name: As in `PLACES`.
            place: Where it is put.
        """
        for one in stack.names:
            if (self.folder / one / name).is_dir():
                _lay_over(self.folder / one / name, place, None)

    def _is_here(self, folder: Path, name: str) -> bool:
        assert _NAME.fullmatch(name), f"{name!r} names no layer"
        if name in self._sizes and not (folder / name).is_dir():
            del self._sizes[name]  # somebody has cleared it away
        return name in self._sizes

    def _fetched(self, folder: Path, name: str) -> bool:
        """Take a layer over from another process, if one has it."""
        for other in folder.parent.glob(f"{_PREFIX}*/{name}"):
            if other.parent == folder or other.parent.stat().st_uid != os.geteuid():
                continue
            made = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
            with contextlib.suppress(OSError):
                for one in PLACES:
                    if (other / one).is_dir():
                        (made / one).mkdir()
                        _lay_over(other / one, made / one, None, links=True)
                digest, size = _digest(made)
                if digest == name:
                    made.rename(folder / name)
                    self._sizes[name] = size
                    return True
            shutil.rmtree(made, ignore_errors=True)
        return False


def _parent() -> Path:
    known = Path("/var/tmp")
    return known if os.access(known, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def _locked(folder: Path) -> int:
    """Return a descriptor that tells other processes, as long as it is open, that a folder is in use.

    Raises:
        BlockingIOError: It is in use.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _remove_stale(parent: Path) -> None:
    """Remove the folders of processes that have died."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and time.time() - folder.lstat().st_mtime > _YOUNG_S:
                _removed(folder, _locked(folder))


def _removed(folder: Path, held: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(held)


def _has_left(upper: Path) -> bool:
    """Tell whether there is anything in a folder that a command wrote to, but for what it found there."""
    try:
        names = os.listdir(upper)
    except OSError:
        return False
    if names == [TEMPORARY]:
        place = upper / TEMPORARY
        return not stat.S_ISDIR(place.lstat().st_mode) or bool(os.listdir(place))
    return bool(names)


def _tidy(upper: Path, real: Path | None) -> None:
    """Remove what is not kept: pipes, sockets, and what concerns the sandbox's own folders, in the real one.

    What its owner could not look into is opened to him: who is not root could not keep it.
    """
    upper.chmod(0o1777)
    for name in os.listdir(upper):
        place = upper / name
        mine = name.startswith(_SANDBOX) and real is not None
        mine = mine and (is_whiteout(place) or os.path.lexists(f"{real}/{name}"))
        empty = name == TEMPORARY and stat.S_ISDIR(place.lstat().st_mode) and not os.listdir(place)
        if mine or empty:
            make_way(place)
    for at, _, names in _opened(upper):
        for name in names:
            place = Path(at) / name
            mode = place.lstat().st_mode
            if stat.S_ISREG(mode):
                if not mode & stat.S_IRUSR:
                    place.chmod(stat.S_IMODE(mode) | stat.S_IRUSR)
            elif not stat.S_ISLNK(mode) and not is_whiteout(place):
                place.unlink()


def _opened(upper: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder in order, and open what its owner may not look into."""
    for at, folders, names in os.walk(upper):
        folders.sort()
        for name in folders:
            place = Path(at) / name
            mode = place.lstat().st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
                place.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
        links = [name for name in folders if (Path(at) / name).is_symlink()]
        yield at, folders, [*names, *links]


def _prune(upper: Path, below: Sequence[Path]) -> None:
    """Remove folders in which nothing has changed: something came there and went again."""
    for at, _, _ in os.walk(upper, topdown=False):
        path = os.path.relpath(at, upper)
        if path == "." or os.listdir(at) or is_opaque(at):
            continue
        before = _below(path, upper, below)
        if before is not None and before.st_mode == os.lstat(at).st_mode:
            os.rmdir(at)


def _below(path: str, upper: Path, below: Sequence[Path]) -> os.stat_result | None:
    """Return what the layers below have at a path, the highest first; None where nothing of it is seen."""
    parts = path.split("/")
    above = ["/".join(parts[:length]) for length in range(1, len(parts))]
    if any(is_opaque(f"{upper}/{one}") for one in above):
        return None
    for layer in below:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.lstat(layer / path)
        for one in (f"{layer}/{one}" for one in above):
            if os.path.lexists(one) and (os.path.islink(one) or not os.path.isdir(one) or is_opaque(one)):
                return None
    return None


def _move(upper: Path, place: Path) -> None:
    """Move what is in a folder to a new one: the folder itself may still be mounted somewhere."""
    place.mkdir()
    for name in os.listdir(upper):
        try:
            (upper / name).rename(place / name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _lay_over(upper, place, None, links=True)
            return


def _lay_over(upper: Path, folder: Path, real: Path | None, *, links: bool = False) -> None:
    """Lay a layer over a folder, into which it goes.

    Args:
        upper: The layer.
        folder: The folder: a layer too, or a plain one.
        real: What is below the layers in the end; None: nothing, the folder is a plain one.
        links: Whether the signs of a layer are kept all the same.
    """
    layered = real is not None or links
    for entry in os.scandir(upper):
        place = folder / entry.name
        under = None if real is None else real / entry.name
        if entry.is_dir(follow_symlinks=False):
            opaque = is_opaque(entry.path)
            if opaque or place.is_symlink() or not place.is_dir():
                opaque = opaque or os.path.lexists(place)
                make_way(place)
                place.mkdir()
                if opaque and layered:
                    set_opaque(place)
            shutil.copymode(entry.path, place)
            _lay_over(Path(entry.path), place, under, links=links)
            continue
        make_way(place)
        if entry.is_symlink():
            place.symlink_to(os.readlink(entry.path))
        elif stat.S_ISCHR(entry.stat(follow_symlinks=False).st_mode):
            if links or (under is not None and os.path.lexists(under)):
                put_whiteout(place)
        elif layered:
            try:
                os.link(entry.path, place)
            except OSError:  # another file system, or too many
                shutil.copy2(entry.path, place)
        else:
            shutil.copy2(entry.path, place)


def _digest(layer: Path) -> tuple[str, int]:
    """Return a name for the content of a layer, and its size in bytes."""
    found = hashlib.blake2b(digest_size=16)
    size = 0
    for at, folders, names in os.walk(layer):
        folders.sort()
        here = os.path.relpath(at, layer)
        kept = [name for name in folders if os.path.islink(f"{at}/{name}")]
        mode = stat.S_IMODE(os.lstat(at).st_mode) if "/" in here else 0
        found.update(_record("o" if is_opaque(at) else "d", here, f"{mode:o}"))
        for name in sorted((*names, *kept)):
            path, place = f"{here}/{name}", f"{at}/{name}"
            status = os.lstat(place)
            size += _ENTRY_BYTES + status.st_blocks * 512
            if stat.S_ISLNK(status.st_mode):
                found.update(_record("l", path, os.readlink(place)))
            elif stat.S_ISREG(status.st_mode):
                with open(place, "rb") as file:
                    content = hashlib.file_digest(file, "blake2b").hexdigest()
                found.update(_record("f", path, f"{stat.S_IMODE(status.st_mode):o} {content}"))
            else:
                found.update(_record("w", path, ""))
        size += _ENTRY_BYTES * (1 + len(folders))
    return found.hexdigest(), size


def _record(kind: str, path: str, more: str) -> bytes:
    return os.fsencode(f"{kind}\0{path}\0{more}\0")
