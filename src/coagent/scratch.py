"""Scratch folders that go with their process, however it ends.

Each has a lock file in it, locked as long as its process lives: the kernel frees it at any death. When a
process makes its first one in a place, a thread removes those there whose locks are free. Other users may
write in that place too, so only folders count that none of them can have made or filled, and what is removed
is reached by descriptors and never through links. Sources: flock(2); tmpfiles.d(5), "Age".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
import weakref
from pathlib import Path

PREFIX = "coagent-"
"""How all their names begin."""
_LOCK = ".coagent-lock"
_KEPT = ".coagent-kept"
_KEPT_S_MAX = 24 * 3600.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class ScratchFolder:
    """A folder that ends with this object, or else with the process.

    Args:
        kind: What it is for; its name says so.
        parent: In which it is made.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, kind: str, parent: Path) -> None:
        self.path, self._held = _made(kind, parent)
        self._end = weakref.finalize(self, _removed, self.path, *self._held)
        with _guard:
            _living.add(self)
            swept = str(parent) in _swept
            _swept.add(str(parent))
        if not swept:
            threading.Thread(target=_sweep, args=(parent,), name="coagent-sweeping", daemon=True).start()

    def close(self) -> None:
        """Remove it."""
        self._end()

    def leave(self) -> None:
        """Leave it to the process that this one was forked from: keep its lock no longer than that lives."""
        if self._end.detach() is not None:
            for descriptor in self._held:
                os.close(descriptor)


_guard = threading.RLock()
_living: weakref.WeakSet[ScratchFolder] = weakref.WeakSet()
_of_process: dict[str, ScratchFolder] = {}
_swept: set[str] = set()


def process_folder() -> Path:
    """Return the folder of this process among temporary files; who makes something in it also removes it.

    Raises:
        OSError: It cannot be made.
    """
    place = tempfile.gettempdir()
    with _guard:
        found = _of_process.get(place)
        if found is None or not os.path.isdir(found.path):  # somebody has cleared it away
            found = _of_process[place] = ScratchFolder("process", Path(place))
        return found.path


def new_folder(kind: str) -> Path:
    """Return a new folder in that of this process; raises OSError where it cannot be made."""
    return Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=process_folder()))


def keep_when_left() -> None:
    """Have the folder of this process kept for a day if this process dies: somebody will ask for it.

    Raises:
        OSError: It cannot be made so.
    """
    (process_folder() / _KEPT).touch(mode=0o600)


def remove_left(path: Path) -> None:
    """Remove the folder of a process that has died, though it was to be kept; what cannot go stays."""
    with contextlib.suppress(OSError):
        os.unlink(path / _KEPT)
    with contextlib.suppress(OSError):
        _remove_left(path)


def remove_tree(place: str | Path, within: int | None = None) -> None:
    """Remove whatever is at a path, also folders that their owner may not look into; what cannot go stays.

    Args:
        place: The path.
        within: A descriptor of the folder that it is relative to.
    """
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(place, ignore_errors=True, dir_fd=within)
        if not stat.S_ISDIR(os.stat(place, dir_fd=within, follow_symlinks=False).st_mode):
            os.unlink(place, dir_fd=within)
            return
        os.chmod(place, 0o700, dir_fd=within)
        for _, names, _, here in os.fwalk(place, dir_fd=within):
            for name in names:
                if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                    os.chmod(name, 0o700, dir_fd=here)
        shutil.rmtree(place, ignore_errors=True, dir_fd=within)


def _made(kind: str, parent: Path) -> tuple[Path, tuple[int, ...]]:
    """Make a folder, and return descriptors of it that keep its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-{os.getpid()}-", dir=parent))
        held = os.open(path, _FOLDER)
        try:
            lock = _locked(held, os.O_CREAT)
        except (BlockingIOError, FileNotFoundError):  # another process took it for one that was left
            os.close(held)
            continue
        except OSError:  # there are no locks here: without the file, nobody will take it away
            with contextlib.suppress(OSError):
                os.unlink(_LOCK, dir_fd=held)
            return path, (held,)
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # who clears old temporary files passes it by
        return path, (held, lock)


def _locked(held: int, flags: int = 0) -> int:
    """Return a descriptor of the lock file in a folder that keeps the lock; raises OSError without it."""
    lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600, dir_fd=held)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(lock).st_nlink:
            raise FileNotFoundError(_LOCK)
    except OSError:
        os.close(lock)
        raise
    return lock


def _sweep(parent: Path) -> None:
    """Remove what processes that have died left in a folder."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(PREFIX) and not _is_kept(parent / name):
                with contextlib.suppress(OSError):
                    _remove_left(parent / name)


def _is_kept(path: Path) -> bool:
    try:
        return time.time() < os.stat(path / _KEPT, follow_symlinks=False).st_mtime + _KEPT_S_MAX
    except OSError:
        return False


def _remove_left(path: Path) -> None:
    held = os.open(path, _FOLDER)
    try:
        status = os.fstat(held)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise PermissionError(path)
        lock = _locked(held)
    except OSError:
        os.close(held)
        raise
    _removed(path, held, lock)


def _removed(path: Path, held: int, *locks: int) -> None:
    """Remove a folder with all in it; the lock file goes last, so that who is interrupted leaves it there."""
    with contextlib.suppress(OSError):
        for name in os.listdir(held):
            if name != _LOCK:
                remove_tree(name, held)
        if os.listdir(held) == [_LOCK]:
            os.unlink(_LOCK, dir_fd=held)
    for descriptor in (*locks, held):
        os.close(descriptor)
    with contextlib.suppress(OSError):
        path.rmdir()


def _forked() -> None:
    """In a process that was forked from this one: have nothing of it."""
    _of_process.clear()
    for scratch in _living:
        scratch.leave()
    _living.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forked)
