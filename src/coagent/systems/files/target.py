"""Files of a workspace: `file:` objects hold text or bytes, `mode:` objects the access rights.

Symbolic links and empty folders are `link:` and `folder:` objects (`kinds.py`). The files in the `.git`
of a repository in a subfolder are `gitdir:` objects: only commands write them. The references of the git
repository at the top are `git:` objects (`git/references.py`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence

import anyio.to_thread

from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value, same
from coagent.systems.files import kinds
from coagent.systems.files.checkout import OF_EACH_HOST, FileCopy
from coagent.systems.files.encoding import decode
from coagent.systems.files.folder_lock import FolderLocked
from coagent.systems.files.large import large_name, large_size
from coagent.systems.files.ranges import FileRanges
from coagent.systems.files.reading import CONTENTS, FileReader
from coagent.systems.files.swap import BeingSaved
from coagent.systems.files.workspace import Workspace
from coagent.systems.files.writing import FileWriter
from coagent.systems.git.references import GitObjects
from coagent.targets.base import Before, GuardFailed, MustWait, Target
from coagent.targets.stamps import ReadCache, tick_ns

EXCLUDED = (".coagent/**", ".claude/worktrees/**", "**/__pycache__/**", "**/node_modules/**", ".venv/**")
MIB_MAX_DEFAULT = 16
# Handing a read to a thread costs more than reading a file of this size.
_INLINE_BYTES = 256 * 1024
_IN_REPOSITORY = ("gitdir", "folder")
_LOCK_S_MAX = 5.0


class Files(Target):
    """A workspace on disk, such as a git repository, whose references are `git:` objects (`references.py`).

    Text that is valid UTF-8 comes as `str`, unchanged to the last line end; everything else as `bytes`.
    Folders come and go with the files in them, as in git, but for empty ones, which are objects themselves.

    A file that the system says is unchanged is not read again (`stamps.py`). Its identity is its path and the
    inode of its folder: a folder that somebody moves keeps the inode, one that is copied back the path.

    Args:
        root: The directory.
        exclude: Globs of paths (relative, `**` crosses slashes) that are neither listed nor touched.
        max_bytes: Files larger than this are kept by reference (`large.py`), and searches leave them out.
        lock_wait_s_max: How long a write waits, in seconds, while another program has locked the directory.
        replicated: Whether this is one of several checkouts, each on a host of its own, of one tree that a
            shared log is about (`checkout.py`). The repository stays each host's own: `git:` objects are
            read there and not written.

    Raises:
        TargetError: `root` is no readable directory.
    """

    schemes = ("file", "mode", "link", "folder", "gitdir", "git")
    admits = True
    asks_last = True

    def __init__(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        exclude: Sequence[str] = EXCLUDED,
        max_bytes: int = MIB_MAX_DEFAULT * 1024**2,
        lock_wait_s_max: float = _LOCK_S_MAX,
        replicated: bool = False,
    ) -> None:
        self.workspace = Workspace(root, exclude, max_bytes)
        self._lock_wait_s_max = lock_wait_s_max
        self._reader = FileReader(self.workspace, max_bytes)
        self._writer = FileWriter(self.workspace, self._reader, max_bytes)
        self._git = GitObjects(self.workspace.root, lambda: self._writer.lock(lock_wait_s_max))
        self._cache = ReadCache()
        self._ranges = FileRanges(self.workspace)
        self._copy: FileCopy | None = None
        if replicated:
            self._copy = FileCopy(self.workspace.root, self._git.repository, self._current, self._put_safely)
            self.copy, self.replicate = self._copy, self._copy.replicate
            self.volatile = (OF_EACH_HOST,)

    @property
    def identity(self) -> str:
        if self._copy is not None:
            return self._copy.identity
        return f"files:{self.workspace.identity}"

    # ---- names ---------------------------------------------------------------------------------------------

    def canonical(self, key: str) -> Key:
        return self._key(key, self._canonical)

    def literal(self, key: str) -> Key:
        return self._key(
            key, lambda scheme, path: self.workspace.literal(path, in_repository=scheme in _IN_REPOSITORY)
        )

    def _key(self, key: str, relative_of: Callable[[str, str], str]) -> Key:
        if key.startswith("git:"):
            return self._git.canonical(key)
        scheme, _, path = key.partition(":")
        relative = relative_of(scheme, path)
        if relative and not relative.endswith("/") and self.workspace.excluded(relative):
            raise TargetError(
                f"{key!r} is excluded from the workspace",
                "Name another file, or open it with other excludes.",
            )
        return Key(f"{scheme}:{relative}")

    def _canonical(self, scheme: str, path: str) -> str:
        itself = scheme in ("link", "folder")
        return self.workspace.canonical(path, in_repository=scheme in _IN_REPOSITORY, itself=itself)

    def _is_known_file(self, key: Key) -> bool:
        """Tell whether a path is still the file that was last put or read there, and nothing else."""
        file = Key(f"file:{key.partition(':')[2]}")
        known = self._cache.find(file)
        if known is None or known.value is None:
            return False
        try:
            return self._reader.stamp(file) == known.stamp
        except (OSError, TargetError):
            return False

    def entangled(self, key: Key, others: Collection[Key]) -> bool:
        path = key.partition(":")[2]
        return any(_on_one_path(path, other.partition(":")[2]) for other in others)

    def unseen(self, key: Key) -> bool:
        return self._git.unseen(key)

    # ---- reading -------------------------------------------------------------------------------------------

    async def get(self, key: Key) -> Value:
        lag = None if self._copy is None else self._copy.lag(key)
        if lag is not None:
            with contextlib.suppress(GuardFailed):  # then it holds what somebody outside has left there
                await self._put_safely(key, lag.value, lag.held)
        known = self._cache.find(key)
        if known is not None and known.value is not UNLOADED and self.unchanged(key):
            return known.value
        if self._is_large(key):
            return await anyio.to_thread.run_sync(self._read, key)
        return self._read(key)

    async def peek(self, key: Key) -> Value:
        """Return the live value without taking note of it: `unchanged` speaks of earlier reads and puts."""
        if self._is_large(key):
            return await anyio.to_thread.run_sync(self._current, key)
        return self._current(key)

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        """Return the live values, but for those of files that are too large or cannot be read any more."""

        def read() -> dict[Key, Value]:
            found = {}
            for key in keys:
                known = self._cache.find(key)
                if known is not None and known.value is not UNLOADED and self.unchanged(key):
                    found[key] = known.value
                    continue
                with contextlib.suppress(TargetError):
                    if not self._is_beyond(key):
                        found[key] = self._read(key)
            return found

        return await anyio.to_thread.run_sync(read)

    async def list(self, prefix: str) -> dict[Key, Value]:
        folder = prefix.partition(":")[2].rpartition("/")[0]
        if folder and not os.path.isdir(self.workspace.absolute(folder)):
            return self._list(prefix)  # nothing to wait for
        return await anyio.to_thread.run_sync(self._list, prefix)

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        found: dict[Key, Value] = {}
        for start in [prefix] if prefix else ["file:", "mode:", "link:", "folder:"]:
            keys = self._git.list(start) if start.startswith("git:") else self._reader.list(start)
            found.update({key: self._current(key) for key in keys})
        return dict(sorted(found.items()))

    def _is_beyond(self, key: Key) -> bool:
        """Tell whether a file is kept by reference: to name it takes reading it through."""
        scheme, _, relative = key.partition(":")
        status = self._reader.status(relative) if scheme in CONTENTS else None
        return status is not None and status.st_size > self.workspace.file_bytes_max

    def _is_large(self, key: Key) -> bool:
        scheme, _, relative = key.partition(":")
        status = self._reader.status(relative) if scheme in CONTENTS else None
        return status is not None and status.st_size > _INLINE_BYTES

    def _list(self, prefix: str) -> dict[Key, Value]:
        if prefix.startswith("git:"):
            return self._git.listed(prefix)
        found = self._reader.list(prefix, self._ranges.watch)
        self._ranges.note_listing(prefix.partition(":")[2])
        with contextlib.suppress(FolderLocked):
            self.workspace.tidy()
        return found

    def _read(self, key: Key) -> Value:
        """Return a live value and take note of it."""
        if key.startswith("git:"):
            now_ns, parts = tick_ns(), self._git.stamp(key)
            sure = all(self._reader.sure(part, now_ns) for part in parts)
            return self._cache.note(key, parts, self._git.get(key), sure=sure)
        value, stamp, sure = self._reader.read(key)
        return self._cache.note(key, stamp, value, sure=sure)

    def _current(self, key: Key, max_bytes: int | None = None) -> Value:
        return self._git.get(key) if key.startswith("git:") else self._reader.current(key, max_bytes)

    # ---- what others change --------------------------------------------------------------------------------

    def unchanged(self, key: Key) -> bool:
        known = self._cache.find(key)
        if known is None or not known.sure:
            return False
        try:
            if key.startswith("git:"):
                return self._git.stamp(key) == known.stamp
            stamp = self._reader.stamp(key)
            if stamp is None:
                self.workspace.check()
        except (OSError, TargetError):
            return False
        return stamp == known.stamp

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        return await anyio.to_thread.run_sync(self._changed, list(keys), list(prefixes))

    def _changed(self, keys: Sequence[Key], prefixes: Sequence[str]) -> Collection[Key]:
        self.workspace.check()
        found = {key for key in keys if not self.unseen(key) and not self.unchanged(key)}
        moved = self._git.changed(prefixes) if self._copy is None else frozenset[Key]()
        for key in self._ranges.changed(prefixes) | moved:
            itself = key.startswith(("file:", "git:"))
            if key in found or self.unchanged(key) or not (itself or not self._is_known_file(key)):
                continue
            # What is nobody's but ours: with a file come and go its rights, which nobody has asked for.
            as_put = self.workspace.own_puts.stands_at_rest(key.partition(":")[2])
            if not as_put or (itself and not self._holds_what_was_put(key)):
                found.add(key)
        return found

    def _holds_what_was_put(self, key: Key) -> bool:
        """Tell whether a file that stands as it was put also holds that: times do not tell it at once.

        Where no file is, but a link, a folder or nothing, there is nothing that it could hold.
        """
        try:
            if self._reader.stamp(key) is None:
                return True
            known = self._cache.find(key)
            if known is None or known.value is None or known.value is UNLOADED:
                return False
            before = known.value
            return same(self._read(key), before)
        except (OSError, TargetError):
            return False

    async def tidy(self, keys: Collection[Key]) -> None:
        paths = [key.partition(":")[2] for key in keys if not key.startswith("git:")]
        await anyio.to_thread.run_sync(self.workspace.tidy, paths)
        if references := [key for key in keys if key.startswith("git:")]:
            await anyio.to_thread.run_sync(self._git.tidy, references)

    # ---- writing -------------------------------------------------------------------------------------------

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        if key.startswith("git:"):
            await anyio.to_thread.run_sync(self._git.put, key, value, expected)
            self._cache.forget(key)
            return
        lag = None if self._copy is None else self._copy.lag(key)
        await self._put_safely(key, value, expected if lag is None else [*expected, *lag.held])

    async def _put_safely(self, key: Key, value: Value, expected: Sequence[Value]) -> None:
        """Put a value where an expected one is, and tell this host's copy."""
        await self._put_waiting(key, value, expected)
        if self._copy is not None:
            self._copy.arrived(key, value)

    async def _put_waiting(self, key: Key, value: Value, expected: Sequence[Value]) -> None:
        if not large_name(value) and (type(value) not in (str, bytes) or len(value) <= _INLINE_BYTES):
            with contextlib.suppress(
                FolderLocked, BeingSaved, MustWait
            ):  # somebody would have to be waited for
                self._put(key, value, expected, 0)
                return
        await anyio.to_thread.run_sync(self._put, key, value, expected, self._lock_wait_s_max)

    def precedence(self, key: Key, value: Value) -> int:
        return int(value is not None)

    async def admit(self, key: Key, value: Value, before: Before | None = None) -> Value:
        scheme, _, relative = key.partition(":")
        if scheme == OF_EACH_HOST and self._copy is not None:
            raise TargetError(
                "commits, branches and what is staged stay each host's own where several hosts work on one "
                "tree, so git changes nothing here",
                "Leave the files as they are to be, and let a person commit them.",
            )
        if scheme == "git":
            return await anyio.to_thread.run_sync(self._git.admit, key, value)
        if not relative or relative.endswith("/"):
            raise TargetError(f"{relative or '.'!r} is a folder", "Name a file in it.")
        if scheme not in CONTENTS:
            kinds.check(key, value)
            return value
        if value is None:
            return None
        if large_name(value):
            value = await anyio.to_thread.run_sync(self._writer.admit_content, relative, value)
        else:
            value = self._writer.admit_content(relative, value)
        if self._copy is not None and (name := large_name(value)):
            raise TargetError(
                f"{relative!r} has {large_size(name)} bytes, more than goes to the other hosts",
                "Leave its folder out of the workspace (exclude), or open that with a larger max_bytes (in a "
                "configuration: max_mib).",
            )
        return value

    def _put(self, key: Key, value: Value, expected: Sequence[Value], wait_s_max: float) -> None:
        with self.workspace.own_puts.under_way(key.partition(":")[2]):
            try:
                self._writer.put(key, value, expected, wait_s_max)
            except BaseException:
                self._cache.forget(key)
                raise
            try:
                stamp = self._reader.stamp(key)
            except OSError:
                self._cache.forget(key)
                return
            if type(value) is bytes:
                value = decode(value)
            # Whatever was written is of this very tick, so that it must be read once more to be sure.
            self._cache.note(key, stamp, value, sure=stamp is None and value is None)

    @property
    def keeps(self) -> bool:
        return self.workspace.large.holds

    def settled(self) -> None:
        self.workspace.large.clear()

    async def close(self) -> None:
        self._ranges.close()
        self.workspace.close()


def _on_one_path(path: str, other: str) -> bool:
    """Tell whether one of two objects is, or lies in, what the other one names."""
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")
