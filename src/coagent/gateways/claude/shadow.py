"""What the workspace looked like before a command ran: copies of its files, kept in step by their signatures.

A command says neither what it will change nor what was there before. So the files are copied once, and before
each command those that have changed since; afterwards, files with another signature are what it has changed.
In a git repository, what git ignores is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from coagent.content import mode_value
from coagent.gateways.claude.native import NativeWrite, SharedTree
from coagent.private import private_folder
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.systems.files.encoding import decode

_GIT_TIME_MAX_S = 30


class Signature(NamedTuple):
    """What tells that a file is another one or has other content (as git's index does)."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    mode: str | None


class Shadow:
    """Copies of the files of a workspace.

    Args:
        tree: The workspace.
        folder: Where the copies are kept; what is there from before is thrown away.
        max_bytes: Larger files are left out.
    """

    def __init__(self, tree: SharedTree, folder: Path, *, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._tree = tree
        self._root = tree.workspace.root
        self._folder = folder
        self._max_bytes = max_bytes
        self._known: dict[str, Signature] = {}
        shutil.rmtree(folder, ignore_errors=True)
        private_folder(folder)

    def synchronize(self) -> None:
        """Copy what has changed since the last time; slow for the first time, so run it in a thread."""
        current = self._signatures()
        for path in self._known.keys() - current.keys():
            self._forget(path)
        for path, signature in current.items():
            if self._known.get(path) != signature:
                self._copy(path, signature)

    def changes(self) -> dict[Key, NativeWrite]:
        """Return what has changed since `synchronize`, and keep in step with it."""
        current = self._signatures()
        found: dict[Key, NativeWrite] = {}
        for path in sorted(self._known.keys() | current.keys()):
            old, new = self._known.get(path), current.get(path)
            if old == new:
                continue
            before = None if old is None else self._kept(path)
            after = None if new is None else self._live(path)
            if before != after or type(before) is not type(after):
                found[Key(f"file:{path}")] = NativeWrite(before, after)
            modes = [None if status is None else status.mode for status in (old, new)]
            if modes[0] != modes[1]:
                found[Key(f"mode:{path}")] = NativeWrite(modes[0], modes[1])
            if new is None:
                self._forget(path)
            else:
                self._copy(path, new)
        return found

    def _signatures(self) -> dict[str, Signature]:
        found = {}
        for path in self._paths():
            with contextlib.suppress(OSError):
                status = os.lstat(self._tree.workspace.absolute(path))
                if (status.st_mode & 0o170000) == 0o100000 and status.st_size <= self._max_bytes:
                    found[path] = Signature(
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ctime_ns,
                        status.st_ino,
                        mode_value(status.st_mode),
                    )
        return found

    def _paths(self) -> list[str]:
        listing = ["git", "-C", self._root, "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached"]
        listing += ["--others", "--exclude-standard"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(listing, capture_output=True, check=True, timeout=_GIT_TIME_MAX_S)
            names = [name.decode("utf-8", "surrogateescape") for name in done.stdout.split(b"\0") if name]
            return [
                name
                for name in dict.fromkeys(names)
                if name.isprintable() and not self._tree.workspace.excluded(name)
            ]
        return list(self._tree.workspace.walk(""))

    def _copy(self, path: str, signature: Signature) -> None:
        try:
            shutil.copyfile(self._tree.workspace.absolute(path), self._place(path), follow_symlinks=False)
        except FileNotFoundError:
            self._forget(path)
        else:
            self._known[path] = signature

    def _forget(self, path: str) -> None:
        self._known.pop(path, None)
        self._place(path).unlink(missing_ok=True)

    def _place(self, path: str) -> Path:
        # Under names of their own, so that no search for files by their names finds copies.
        return self._folder / hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()

    def _kept(self, path: str) -> Value:
        return decode(self._place(path).read_bytes())

    def _live(self, path: str) -> Value:
        try:
            return decode(Path(self._tree.workspace.absolute(path)).read_bytes())
        except FileNotFoundError:
            return None
