"""Files of a workspace: `file:` objects hold text or bytes, `mode:` objects the access rights.

Symbolic links and empty folders are `link:` and `folder:` objects (`file_kinds.py`). The files in the `.git`
of a repository in a subfolder are `gitdir:` objects: only commands write them.

A write goes to a temporary file that takes the place of the old one, so nobody ever sees half of it. What is
there is compared with what is expected under a lock on the root that all processes of the host share.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal, cast

import anyio.to_thread

from coagent.content import mode_value, rights
from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value, same
from coagent.targets import file_kinds
from coagent.targets.base import GuardFailed, Target
from coagent.targets.git import GitObjects
from coagent.targets.workspace import TEMPORARY, Workspace

_CURES = {
    errno.ENOSPC: "Free some disk space; the old content is still there.",
    errno.EDQUOT: "Free some of your quota; the old content is still there.",
    errno.EROFS: "The file system is read-only; mount it writable.",
    errno.EACCES: "Check the permissions of the file and its folder.",
    errno.EPERM: "Check the permissions and attributes of the file and its folder.",
    errno.ENOTDIR: "A file is in the way where a folder is needed; delete or move it first.",
    errno.EISDIR: "A folder is in the way where a file is needed; choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "It is a symbolic link by now; remove the link, or name its target.",
    errno.EFBIG: "The system bounds the size of files; the old content is still there.",
}
EXCLUDED = (".coagent/**", "**/__pycache__/**", "**/node_modules/**", ".venv/**")
MIB_MAX_DEFAULT = 16
# Handing a read to a thread costs more than reading a file of this size.
_INLINE_BYTES = 256 * 1024
_LOCK_POLL_S = 0.001
_IN_REPOSITORY = ("gitdir", "folder")


class _Locked(TargetError):
    """Another process is writing, or holds the lock for whatever reason."""


class Files(Target):
    """A workspace on disk, such as a git repository, whose references are `git:` objects (`git.py`).

    Text that is valid UTF-8 comes as `str`, unchanged to the last line end; everything else as `bytes`.
    Folders come and go with the files in them, as in git, but for empty ones, which are objects themselves.

    Args:
        root: The directory.
        exclude: Globs of paths (relative, `**` crosses slashes) that are neither listed nor touched.
        max_bytes: Files larger than this are neither read nor written, and searches leave them out.
        lock_wait_s_max: How long a write waits, in seconds, while another program has locked the directory.

    Raises:
        TargetError: `root` is no readable directory.
    """

    schemes = ("file", "mode", "link", "folder", "gitdir", "git")
    admits = True
    deletes_first = True

    def __init__(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        exclude: Sequence[str] = EXCLUDED,
        max_bytes: int = MIB_MAX_DEFAULT * 1024**2,
        lock_wait_s_max: float = 30.0,
    ) -> None:
        self.workspace = Workspace(root, exclude, max_bytes)
        self._max_bytes = max_bytes
        self._lock_wait_s_max = lock_wait_s_max
        self._git = GitObjects(self.workspace.root, lambda: self._lock(lock_wait_s_max))

    def canonical(self, key: Key) -> Key:
        return self._named(key, self._canonical)

    def literal(self, key: Key) -> Key:
        return self._named(
            key, lambda scheme, path: self.workspace.literal(path, in_repository=scheme in _IN_REPOSITORY)
        )

    def _named(self, key: Key, relative_of: Callable[[str, str], str]) -> Key:
        if key.startswith("git:"):
            return self._git.canonical(key)
        scheme, _, path = key.partition(":")
        relative = relative_of(scheme, path)
        if relative and not relative.endswith("/") and self.workspace.excluded(relative):
            raise TargetError(
                f"{key!r} is excluded from the workspace",
                "Name another file, or open it with other excludes.",
            )
        return f"{scheme}:{relative}"

    def _canonical(self, scheme: str, path: str) -> str:
        itself = scheme in ("link", "folder")
        return self.workspace.canonical(path, in_repository=scheme in _IN_REPOSITORY, itself=itself)

    def entangled(self, key: Key, others: Collection[Key]) -> bool:
        path = key.partition(":")[2]
        return any(_on_one_path(path, other.partition(":")[2]) for other in others)

    def unseen(self, key: Key) -> bool:
        return self._git.unseen(key)

    async def close(self) -> None:
        self.workspace.close()

    async def get(self, key: Key) -> Value:
        scheme, _, relative = key.partition(":")
        if scheme not in ("file", "gitdir"):
            return self._current(key)
        status = self._status(relative)
        if status is None:
            return None
        if status.st_size <= _INLINE_BYTES:
            return self._read(relative, status, self._max_bytes)
        return await anyio.to_thread.run_sync(self._read, relative, status, self._max_bytes)

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        """Return the live values, but for those of files that are too large or cannot be read any more."""

        def read() -> dict[Key, Value]:
            found = {}
            for key in keys:
                with contextlib.suppress(TargetError):
                    found[key] = self._current(key)
            return found

        return await anyio.to_thread.run_sync(read)

    async def list(self, prefix: str) -> dict[Key, Value]:
        folder = prefix.partition(":")[2].rpartition("/")[0]
        if folder and not os.path.isdir(self.workspace.absolute(folder)):
            return self._list(prefix)  # nothing to wait for
        return await anyio.to_thread.run_sync(self._list, prefix)

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        if key.startswith("git:"):
            await anyio.to_thread.run_sync(self._git.put, key, value, expected)
            return
        if type(value) not in (str, bytes) or len(value) <= _INLINE_BYTES:
            with contextlib.suppress(_Locked):  # nobody else runs meanwhile, so there is no waiting here
                self._put(key, value, expected, 0)
                return
        await anyio.to_thread.run_sync(self._put, key, value, expected, self._lock_wait_s_max)

    async def admit(self, key: Key, value: Value) -> Value:
        scheme, _, relative = key.partition(":")
        if scheme == "git":
            return await anyio.to_thread.run_sync(self._git.admit, key, value)
        if not relative or relative.endswith("/"):
            raise TargetError(f"{relative or '.'!r} is a folder", "Name a file in it.")
        if scheme not in ("file", "gitdir"):
            file_kinds.check(key, value)
            return value
        return None if value is None else decoded(self._encoded(relative, value))

    def snapshot(self, prefix: str = "") -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        for one in [prefix] if prefix else ["file:", "mode:", "link:", "folder:"]:
            found.update({key: self._current(key, sys.maxsize) for key in self._list(one)})
        return dict(sorted(found.items()))

    # ---- reading -------------------------------------------------------------------------------------------

    def _list(self, prefix: str) -> dict[Key, Value]:
        scheme, _, path = prefix.partition(":")
        if scheme == "git":
            return self._git.list(prefix)
        try:
            self._check_folders(path)
        except (FileNotFoundError, NotADirectoryError):
            self._check_root()
            return {}
        except OSError as error:
            raise _failed("listed", path, error) from error
        self._check_root()
        if scheme in ("mode", "link", "folder"):
            kind = cast(Literal["mode", "link", "folder"], scheme)
            names = self.workspace.walk(path, kind)
            found = {key: self._current(key) for key in (f"{scheme}:{name}" for name in names)}
            return {key: value for key, value in found.items() if value is not None}
        return {f"file:{name}": UNLOADED for name in self.workspace.walk(path)}

    def _status(self, relative: str) -> os.stat_result | None:
        """Return what the file system says of a regular file; None where there is none, a folder, or a link.

        Raises:
            TargetError: It is something else, such as a pipe, or cannot be looked at.
        """
        try:
            self._check_folders(relative)
            status = os.lstat(self.workspace.absolute(relative))
        except (FileNotFoundError, NotADirectoryError):
            self._check_root()
            return None
        except OSError as error:
            raise _failed("read", relative, error) from error
        if stat.S_ISREG(status.st_mode):
            return status
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            return None
        raise TargetError(f"{relative!r} is not a regular file", "Name a file that can be read whole.")

    def _check_folders(self, relative: str) -> None:
        """Refuse a path on which a folder has become a symbolic link since the key was made canonical.

        Raises:
            NotADirectoryError: One has: what is behind it has another name, and there is nothing of this one.
        """
        at = relative.find("/")
        while at > 0:
            if stat.S_ISLNK(os.lstat(self.workspace.absolute(relative[:at])).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), relative[:at])
            at = relative.find("/", at + 1)

    def _check_root(self) -> None:
        """Tell a workspace that is gone (unmounted, moved) from one in which everything was deleted."""
        if not os.path.isdir(self.workspace.root):
            raise TargetError(
                f"workspace {self.workspace.root!r} is gone", "Mount it again, or put it back in its place."
            )

    def _read(self, relative: str, status: os.stat_result, max_bytes: int) -> Value:
        if status.st_size > max_bytes:
            raise TargetError(
                f"{relative!r} has {status.st_size} bytes, more than the {max_bytes} that are read",
                "Look at it with another program, or open the workspace with a larger max_bytes (in a "
                "configuration: max_mib).",
            )
        try:
            content = _content(self.workspace.absolute(relative), status.st_size)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("read", relative, error) from error
        return decoded(content)

    def _current(self, key: Key, max_bytes: int | None = None) -> Value:
        scheme, _, relative = key.partition(":")
        if scheme == "git":
            return self._git.get(key)
        if scheme in ("link", "folder"):
            return self._kind(scheme, relative)
        status = self._status(relative)
        if status is None:
            return None
        if scheme == "mode":
            return mode_value(status.st_mode)
        return self._read(relative, status, self._max_bytes if max_bytes is None else max_bytes)

    def _kind(self, scheme: str, relative: str) -> Value:
        try:
            self._check_folders(relative)
        except OSError:  # the folders above it are not there, or not to be looked into
            self._check_root()
            return None
        if scheme == "folder":
            return file_kinds.folder(self.workspace, relative)
        return file_kinds.link(self.workspace.absolute(relative))

    # ---- writing -------------------------------------------------------------------------------------------

    def _put(self, key: Key, value: Value, expected: Sequence[Value], wait_s_max: float) -> None:
        scheme, _, relative = key.partition(":")
        content = b""
        if scheme not in ("file", "gitdir"):
            file_kinds.check(key, value)
        elif value is not None:
            content = self._encoded(relative, value)
        if value is not None and self._canonical(scheme, relative) != relative:
            raise _linked(relative)
        try:
            with self._lock(wait_s_max):
                found = self._current(key)
                if _alike(found, value):
                    return
                if scheme == "folder":  # that others put something into it, or take it out, is no conflict
                    self._put_folder(relative, value)
                    return
                if not any(_alike(found, one) for one in expected):
                    raise GuardFailed(key, found)
                if scheme == "mode":
                    self._set_mode(relative, value)
                elif scheme == "link" and value is not None:
                    self._put_link(relative, value)
                elif value is None:
                    self._delete(relative)
                else:
                    self._write(relative, content)
        except OSError as error:
            raise _failed("written", relative, error) from error

    def _encoded(self, relative: str, value: Value) -> bytes:
        """Return a content as bytes.

        Raises:
            TargetError: No file can hold it, or none that would be read again.
        """
        if type(value) not in (str, bytes):
            raise TargetError(
                f"{relative!r} cannot hold {type(value).__name__}", "A file's content is text or bytes."
            )
        try:
            content: bytes = value.encode("utf-8") if type(value) is str else value
        except UnicodeEncodeError as error:
            raise TargetError(
                f"{relative!r} cannot hold the character {value[error.start]!r}", "Write valid Unicode."
            ) from None
        if len(content) > self._max_bytes:
            raise TargetError(
                f"{relative!r} would have {len(content)} bytes, and no more than {self._max_bytes} are read",
                "Write less, leave its folder out of the workspace (exclude), or open that with a larger "
                "max_bytes (in a configuration: max_mib).",
            )
        return content

    def _write(self, relative: str, content: bytes) -> None:
        path = self.workspace.absolute(relative)
        folder = os.path.dirname(path)
        made: list[str] = []
        temporary = f"{folder}/{TEMPORARY}{secrets.token_hex(8)}"
        try:
            _make_folders(folder, made)
            _create(temporary, content, self._status(relative))
            time_ns = self.workspace.take_time(relative, content)
            if time_ns is not None:
                os.utime(temporary, ns=(time_ns, time_ns))
            try:
                os.replace(temporary, path)
            except IsADirectoryError:
                with contextlib.suppress(OSError):
                    os.rmdir(path)  # an empty folder is no object, so it is in nobody's way
                os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            for one in reversed(made):
                with contextlib.suppress(OSError):
                    os.rmdir(one)
            raise

    def _put_link(self, relative: str, value: Value) -> None:
        path = self.workspace.absolute(relative)
        made: list[str] = []
        try:
            _make_folders(os.path.dirname(path), made)
            with contextlib.suppress(OSError):
                os.rmdir(path)  # an empty folder is in nobody's way
            file_kinds.put_link(path, value)
        except BaseException:
            for one in reversed(made):
                with contextlib.suppress(OSError):
                    os.rmdir(one)
            raise

    def _put_folder(self, relative: str, value: Value) -> None:
        path = self.workspace.absolute(relative)
        if value is not None:
            _make_folders(path, [])
            return
        with contextlib.suppress(OSError):  # something is in it
            os.rmdir(path)
        self._prune(path)

    def _delete(self, relative: str) -> None:
        path = self.workspace.absolute(relative)
        os.unlink(path)
        self._prune(path)

    def _prune(self, path: str) -> None:
        """Remove the folders above what is gone, as far as nothing is in them."""
        folder = os.path.dirname(path)
        while folder != self.workspace.root:
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)

    def _set_mode(self, relative: str, value: Value) -> None:
        status = self._status(relative)
        if status is None:
            raise TargetError(f"{relative!r} is no file, so it has no mode", "Write the file first.")
        mode = None if value is None else str(value)
        os.chmod(self.workspace.absolute(relative), rights(mode, stat.S_IMODE(status.st_mode)))

    @contextlib.contextmanager
    def _lock(self, wait_s_max: float) -> Iterator[None]:
        self._check_root()
        descriptor = os.open(self.workspace.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + wait_s_max
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise _Locked(
                            f"workspace {self.workspace.root!r} was locked for {wait_s_max:g} s",
                            "Look for a program that has stopped while it holds a lock on it (lsof, fuser).",
                        ) from None
                time.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)


def _on_one_path(path: str, other: str) -> bool:
    """Tell whether one of two objects is, or lies in, what the other one names."""
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


def _content(path: str, size: int) -> bytes:
    """Return a file's bytes; `size` of them are expected. Half the time that `open` would take."""
    # Without O_NONBLOCK, opening what has meanwhile become a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, size + 1)
        while more := os.read(descriptor, 65536):
            content += more
    finally:
        os.close(descriptor)
    return content


def decoded(content: bytes) -> Value:
    """Return the content of a file as text where it is valid UTF-8, else as it is."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content


def encoded(value: Value) -> bytes:
    """Return the bytes of a file's content."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8")


def _alike(left: Value, right: Value) -> bool:
    """Tell whether two contents are the same on disk: bytes may come back as the text that they are."""
    if type(left) is bytes or type(right) is bytes:
        return same(*(one.encode("utf-8") if type(one) is str else one for one in (left, right)))
    return same(left, right)


def _make_folders(folder: str, made: list[str]) -> None:
    """Make a folder and those above it; `made` gets those that were made, outermost first."""
    missing = []
    while not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        missing.append(folder)
        folder = os.path.dirname(folder)
    for one in reversed(missing):
        os.mkdir(one)
        made.append(one)


def _create(path: str, content: bytes, old: os.stat_result | None) -> None:
    """Make a file with the permissions and the owner of the one that it will replace."""
    mode = 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o700
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        if old is None:
            return
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _linked(relative: str) -> TargetError:
    return TargetError(f"{relative!r} has become a symbolic link", "Remove the link, or name its target.")


def _failed(act: str, relative: str, error: OSError) -> TargetError:
    return TargetError(
        f"{relative!r} cannot be {act}: {error.strerror or error}", _CURES.get(error.errno or 0, "")
    )
