"""Large files, kept by reference: what an object holds is a name made of the file's digest, not its bytes.

The bytes lie in a folder of the workspace's own, from when a command has made the file, or a write is about
to replace it, until every agent has ended. They are shared with the tree where the file system can do that (a
reflink, else a hard link), so that nothing is read into memory, and mostly nothing is written twice. A
program that writes into a file in place changes a hard link too: so the bytes are compared with their name
before they are used. Sources: ioctl_ficlonerange(2), link(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias

from coagent.errors import TargetError
from coagent.private import private_folder, write_private
from coagent.protocol.values import LARGE_FIELD, Value

_FICLONE: Final = 0x40049409
_PIECE: Final = 1 << 20
_NAMES_MAX: Final = 10_000
_Stamp: TypeAlias = tuple[int, int, int, int]


def large_value(name: str) -> Value:
    """Return the value of an object that is the large file of a name."""
    return {LARGE_FIELD: name}


def large_name(value: Value) -> str:
    """Return the name of the large file that a value stands for; empty where it is another value."""
    found = value.get(LARGE_FIELD) if type(value) is dict and len(value) == 1 else None
    return found if isinstance(found, str) else ""


def large_size(name: str) -> int:
    """Return how many bytes a large file has."""
    return int(name.partition("-")[0])


def short_digest(name: str) -> str:
    """Return the digest by which `temporaries.py` knows the content."""
    return name.rpartition("-")[2]


class LargeFiles:
    """The large files of one workspace.

    Args:
        root: The workspace.
    """

    def __init__(self, root: str) -> None:
        self._folder = Path(root) / ".coagent" / "large"
        self._names: dict[_Stamp, str] = {}
        self._places: dict[str, str] = {}  # where a content was last seen in the tree
        self._lock = threading.RLock()  # a copy that is kept may have to be read again meanwhile
        self._held = -1
        self._fresh = True

    def name(self, path: str | Path) -> str:
        """Return the name of a file's content; one that the system says is unchanged is not read again.

        Raises:
            OSError: It cannot be read, or is written all the time (EBUSY).
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            for _ in range(3):
                status = os.fstat(descriptor)
                stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
                found = self._names.get(stamp)
                if found is not None:
                    self._places[found] = str(path)
                    return found
                file.seek(0)
                whole, short = blake2b(digest_size=32), blake2b(digest_size=8)
                while piece := file.read(_PIECE):
                    whole.update(piece)
                    short.update(piece)
                after = os.fstat(descriptor)
                if (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
                    found = f"{status.st_size}-{whole.hexdigest()}-{short.hexdigest()}"
                    with self._lock:
                        self._names[stamp] = found
                        self._places[found] = str(path)
                        for cache in (self._names, self._places):
                            while len(cache) > _NAMES_MAX:
                                cache.pop(next(iter(cache)))  # type: ignore[call-overload]
                    return found
        raise OSError(errno.EBUSY, "it is being written all the time", str(path))

    def keep(self, path: str | Path, name: str = "") -> str:
        """Keep the content of a file that is about to go, or has just been made; returns its name.

        Args:
            path: The file.
            name: Its name, where that is known.

        Raises:
            OSError: There is no room for it.
        """
        name = name or self.name(path)
        place = self._folder / name
        with self._lock:
            if self._is_whole(place, name):
                return name
            self._open()
            temporary = f"{place}.{secrets.token_hex(4)}"
            try:
                if not _clone(path, temporary):
                    try:
                        os.link(path, temporary, follow_symlinks=False)
                    except OSError:  # another file system, or too many links
                        _copy(path, temporary)
                os.replace(temporary, place)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        return name

    def has(self, name: str) -> bool:
        """Tell whether the content of a name is kept; it is from now on if it is where it was last seen.

        Raises:
            OSError: There is no room for it.
        """
        if self._is_whole(self._folder / name, name):
            return True
        place = self._places.get(name)
        if place is None or not self._is_whole(Path(place), name):
            return False
        self.keep(place, name)
        return True

    def put(self, name: str, place: str | Path, *, alone: bool = False) -> None:
        """Make a file with a content.

        Args:
            name: That of the content.
            place: Where nothing is yet.
            alone: Whether somebody may write into the file in place.

        Raises:
            TargetError: The content is not kept any more.
            OSError: There is no room for it.
        """
        kept = self._folder / name
        if not self._is_whole(kept, name):
            raise TargetError(
                f"a file of {large_size(name)} bytes is not kept any more: its agents have all ended, or a "
                "program has written into it in place",
                "Make it again.",
            )
        if _clone(kept, place):
            self._same(name, kept, place)
            return
        if not alone and os.stat(kept).st_nlink == 1:  # else two paths of the tree would be one file
            with contextlib.suppress(OSError):
                os.link(kept, place, follow_symlinks=False)
                return
        try:
            _copy(kept, place)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)
            raise
        self._same(name, kept, place)

    def _same(self, name: str, kept: Path, place: str | Path) -> None:
        """Take note that a copy has the content of what it was made of, if nobody has written to that."""
        if self._names.get(_stamp(kept)) == name:
            with self._lock:
                self._names[_stamp(place)] = name

    def date(self, place: str | Path, time_ns: int) -> None:
        """Give a file a time; whose content is known need not be read again for that.

        Args:
            place: The file.
            time_ns: In nanoseconds since the epoch.

        Raises:
            OSError: That cannot be done.
        """
        known = self._names.get(_stamp(place))
        os.utime(place, ns=(time_ns, time_ns))
        if known is not None:
            with self._lock:
                self._names[_stamp(place)] = known

    def take(self, content: bytes) -> str:
        """Keep a content that is in memory; returns its name.

        Raises:
            OSError: There is no room for it.
        """
        with self._lock:
            self._open()
        temporary = self._folder / f"new.{secrets.token_hex(4)}"
        try:
            temporary.write_bytes(content)
            return self.keep(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    @property
    def holds(self) -> bool:
        """Whether this process has kept something since they were cleared, or found it there."""
        return self._held >= 0 or (self._fresh and self._folder.is_dir())

    def clear(self) -> None:
        """Let go of all contents, now that no agent is at work, unless another process still needs some."""
        with self._lock:
            if not self._folder.is_dir():
                return
            self.close()
            self._fresh = False
            with contextlib.suppress(OSError):
                held = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    for entry in os.listdir(held):
                        if entry != ".gitignore":
                            os.unlink(entry, dir_fd=held)
                finally:
                    os.close(held)

    def close(self) -> None:
        """Say that this process needs none of them just now."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _open(self) -> None:
        """Make the folder, and hold its lock with the others who need something in it."""
        if self._held >= 0 and self._folder.is_dir():
            return
        private_folder(self._folder)
        if not (self._folder / ".gitignore").exists():
            write_private(self._folder / ".gitignore", "*\n")
        self.close()
        self._held = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def _is_whole(self, place: Path, name: str) -> bool:
        try:
            return stat.S_ISREG(os.lstat(place).st_mode) and self.name(place) == name
        except OSError:
            return False


def _stamp(place: str | Path) -> _Stamp:
    status = os.lstat(place)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _copy(source: str | Path, place: str | Path) -> None:
    """Copy a file, but not its holes: images of disks are mostly empty (lseek(2), SEEK_DATA)."""
    with open(source, "rb", buffering=0) as from_, open(place, "xb", buffering=0) as to:
        try:
            _copy_data(from_.fileno(), to.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(place)) from error


def _copy_data(source: int, to: int) -> None:
    size, end = os.fstat(source).st_size, 0
    while end < size:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # there is nothing more but a hole
        end = os.lseek(source, begin, os.SEEK_HOLE)
        os.lseek(source, begin, os.SEEK_SET)
        os.lseek(to, begin, os.SEEK_SET)
        while begin < end and (done := os.sendfile(to, source, None, end - begin)):
            begin += done
    os.ftruncate(to, size)


def _clone(source: str | Path, place: str | Path) -> bool:
    """Make a file that shares its blocks with another one; False where the file system does not know that."""
    with open(source, "rb") as from_, open(place, "xb") as to:
        try:
            fcntl.ioctl(to.fileno(), _FICLONE, from_.fileno())
        except OSError:
            os.unlink(place)
            return False
    return True
