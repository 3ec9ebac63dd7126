"""Files of a workspace: `file:` objects hold text or bytes, `mode:` objects the executable bit.

A write goes to a temporary file that takes the place of the old one, so nobody ever sees half of it. What is
there is compared with what is expected under a lock that all processes of the host share.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import anyio.to_thread

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value, same
from coagent.targets.base import GuardFailed, Target
from coagent.targets.workspace import TEMPORARY, Workspace

EXECUTABLE: Final = "executable"
"""The value of a `mode:` object; a file without one is not executable."""

_CURES = {
    errno.ENOSPC: "Free some disk space; the old content is still there.",
    errno.EDQUOT: "Free some of your quota; the old content is still there.",
    errno.EROFS: "The file system is read-only; mount it writable.",
    errno.EACCES: "Check the permissions of the file and its folder.",
    errno.EPERM: "Check the permissions and attributes of the file and its folder.",
    errno.ENOTDIR: "A file is in the way where a folder is needed; delete or move it first.",
    errno.EISDIR: "A folder is in the way where a file is needed; choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
# Handing a read to a thread costs more than reading a file of this size.
_INLINE_BYTES = 256 * 1024


class Files(Target):
    """A workspace on disk, such as a git repository; `.git` is left to git.

    Text that is valid UTF-8 comes as `str`, unchanged to the last line end; everything else as `bytes`.
    Folders are no objects: they come and go with the files in them, as in git.

    Args:
        root: The directory.
        exclude: Globs of paths (relative, `**` crosses slashes) that are neither listed nor touched.
        max_bytes: Files larger than this are not read.

    Raises:
        TargetError: `root` is no readable directory.
    """

    schemes = ("file", "mode")

    def __init__(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        exclude: Sequence[str] = (".coagent/**", "**/__pycache__/**", "**/node_modules/**", ".venv/**"),
        max_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.workspace = Workspace(root, exclude)
        self._max_bytes = max_bytes
        digest = hashlib.sha256(os.fsencode(self.workspace.root)).hexdigest()[:24]
        self._lock_path = os.path.join(tempfile.gettempdir(), f"coagent-{os.getuid()}-{digest}.lock")

    def canonical(self, key: Key) -> Key:
        scheme, _, path = key.partition(":")
        relative = self.workspace.canonical(path)
        if relative and not relative.endswith("/") and self.workspace.excluded(relative):
            raise TargetError(
                f"{key!r} is excluded from the workspace",
                "Name another file, or open it with other excludes.",
            )
        return f"{scheme}:{relative}"

    async def get(self, key: Key) -> Value:
        scheme, _, relative = key.partition(":")
        path = self.workspace.absolute(relative)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("read", relative, error) from error
        if stat.S_ISDIR(status.st_mode):
            return None
        if scheme == "mode":
            return EXECUTABLE if status.st_mode & 0o100 else None
        if status.st_size <= _INLINE_BYTES:
            return self._read(relative)
        return await anyio.to_thread.run_sync(self._read, relative)

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        return await anyio.to_thread.run_sync(lambda: {key: self._current(key, whole=True) for key in keys})

    async def list(self, prefix: str) -> dict[Key, Value]:
        return await anyio.to_thread.run_sync(self._list, prefix)

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        if type(value) in (str, bytes) and len(value) > _INLINE_BYTES:
            await anyio.to_thread.run_sync(self._put, key, value, expected)
        else:
            self._put(key, value, expected)

    def snapshot(self, prefix: str = "") -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        for one in [prefix] if prefix else ["file:", "mode:"]:
            found.update({key: self._current(key, whole=True) for key in self._list(one)})
        return dict(sorted(found.items()))

    # ---- reading -------------------------------------------------------------------------------------------

    def _list(self, prefix: str) -> dict[Key, Value]:
        scheme, _, path = prefix.partition(":")
        if scheme == "mode":
            return {
                f"mode:{name}": EXECUTABLE for name, executable in self.workspace.walk(path) if executable
            }
        return {f"file:{name}": UNLOADED for name, _ in self.workspace.walk(path)}

    def _read(self, relative: str, *, whole: bool = False) -> Value:
        path = self.workspace.absolute(relative)
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                raise TargetError(
                    f"{relative!r} is not a regular file", "Name a file that can be read whole."
                )
            if not whole and status.st_size > self._max_bytes:
                raise TargetError(
                    f"{relative!r} has {status.st_size} bytes, more than the {self._max_bytes} that are read",
                    "Look at it with another program, or open the workspace with a larger max_bytes.",
                )
            with open(path, "rb") as file:
                content = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("read", relative, error) from error
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return content

    def _current(self, key: Key, *, whole: bool = False) -> Value:
        scheme, _, relative = key.partition(":")
        if scheme == "file":
            return self._read(relative, whole=whole)
        try:
            return EXECUTABLE if os.stat(self.workspace.absolute(relative)).st_mode & 0o100 else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    # ---- writing -------------------------------------------------------------------------------------------

    def _put(self, key: Key, value: Value, expected: Sequence[Value]) -> None:
        scheme, _, relative = key.partition(":")
        if self.workspace.canonical(relative) != relative:
            raise TargetError(
                f"{relative!r} has become a symbolic link", "Remove the link, or name its target."
            )
        with self._lock():
            found = self._current(key)
            if same(found, value):
                return
            if not any(same(found, one) for one in expected):
                raise GuardFailed(key, found)
            try:
                if scheme == "mode":
                    self._set_mode(relative, value)
                elif value is None:
                    self._delete(relative)
                else:
                    self._write(relative, value)
            except OSError as error:
                raise _failed("written", relative, error) from error

    def _write(self, relative: str, value: Value) -> None:
        if type(value) not in (str, bytes):
            raise TargetError(
                f"{relative!r} cannot hold {type(value).__name__}", "A file's content is text or bytes."
            )
        content = value.encode("utf-8") if type(value) is str else value
        path = self.workspace.absolute(relative)
        folder = os.path.dirname(path)
        made = _make_folders(folder)
        temporary = ""
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
            with open(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), _mode_for(path))
            os.replace(temporary, path)
        except BaseException:
            if temporary:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
            for one in reversed(made):
                with contextlib.suppress(OSError):
                    os.rmdir(one)
            raise

    def _delete(self, relative: str) -> None:
        path = self.workspace.absolute(relative)
        os.unlink(path)
        folder = os.path.dirname(path)
        while folder != self.workspace.root:
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)

    def _set_mode(self, relative: str, value: Value) -> None:
        path = self.workspace.absolute(relative)
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        except FileNotFoundError:
            if value is None:
                return
            raise
        # Whoever may read it may run it, as chmod +x has it.
        os.chmod(path, mode & ~0o111 if value is None else mode | ((mode & 0o444) >> 2))

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _make_folders(folder: str) -> list[str]:
    """Make a folder and those above it; return those that were made, outermost first."""
    missing = []
    while not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        missing.append(folder)
        folder = os.path.dirname(folder)
    missing.reverse()
    for one in missing:
        os.mkdir(one)
    return missing


def _mode_for(path: str) -> int:
    """Return the permissions of the file that is replaced, or those that a new file gets."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _failed(act: str, relative: str, error: OSError) -> TargetError:
    return TargetError(
        f"{relative!r} cannot be {act}: {error.strerror or error}", _CURES.get(error.errno or 0, "")
    )
