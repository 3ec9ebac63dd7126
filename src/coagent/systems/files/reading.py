"""Reading the objects of a workspace, each with what tells without reading that it is still the same."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, cast

from coagent.content import mode_value
from coagent.errors import TargetError
from coagent.folder_watch import is_local
from coagent.protocol.keys import Key
from coagent.protocol.values import UNLOADED, Value
from coagent.systems.files import kinds
from coagent.systems.files.encoding import decode, read_content
from coagent.systems.files.large import large_value
from coagent.systems.files.workspace import Workspace
from coagent.targets.os_failures import os_failure
from coagent.targets.stamps import Stamp, settled, stamp_of, tick_ns

CONTENTS: Final = ("file", "gitdir")
"""The schemes of objects that are the content of a file."""


class Reading(NamedTuple):
    """What was read.

    Args:
        value: The object's value.
        stamp: What the system says of it; None where there is nothing.
        sure: Whether the object has that value as long as the system says the same.
    """

    value: Value
    stamp: Stamp | None
    sure: bool


_ABSENT: Final = Reading(None, None, True)


class FileReader:
    """Reads the objects of a workspace.

    Args:
        workspace: The workspace.
        max_bytes: Files larger than this are not read, but named (`large.py`).
    """

    def __init__(self, workspace: Workspace, max_bytes: int) -> None:
        self._workspace = workspace
        self._max_bytes = max_bytes
        # Where others write to the file system too, its times are theirs, and may come late.
        self._local = is_local(workspace.root)
        self._device = os.stat(workspace.root).st_dev

    def stamp(self, key: Key) -> Stamp | None:
        """Return what the system says of an object without reading it, in a stamp; None where it is absent.

        Raises:
            OSError: It cannot be looked at, or it is neither a file nor a link nor a folder.
        """
        scheme, _, relative = key.partition(":")
        try:
            self._check_folders(relative)
            status = os.lstat(self._workspace.absolute(relative))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if scheme in ("link", "folder") or stat.S_ISREG(status.st_mode):
            return stamp_of(status)
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            return None
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), relative)

    def read(self, key: Key, max_bytes: int | None = None) -> Reading:
        """Return the live value of an object, and what tells that it stands.

        Args:
            key: The object.
            max_bytes: How large a file may be, where that is not what the reader was made with.

        Raises:
            TargetError: It cannot be read.
        """
        scheme, _, relative = key.partition(":")
        if scheme in CONTENTS:
            status = self.status(relative)
            if status is None:
                return _ABSENT
            return self.read_file(relative, status, self._max_bytes if max_bytes is None else max_bytes)
        now_ns = tick_ns()
        if scheme == "mode":
            status = self.status(relative)
            if status is None:
                return _ABSENT
            stamp = stamp_of(status)
            return Reading(mode_value(status.st_mode), stamp, self.sure(stamp, now_ns))
        try:
            found = self.stamp(key)
        except OSError as error:
            raise os_failure(f"{relative!r} cannot be looked at", error) from error
        return Reading(self._kind(scheme, relative), found, self.sure(found, now_ns))

    def current(self, key: Key, max_bytes: int | None = None) -> Value:
        """Return the live value of an object.

        Args:
            key: The object.
            max_bytes: How large a file may be, where that is not what the reader was made with.

        Raises:
            TargetError: It cannot be read.
        """
        scheme, _, relative = key.partition(":")
        if scheme in ("link", "folder"):
            return self._kind(scheme, relative)
        status = self.status(relative)
        if status is None:
            return None
        if scheme == "mode":
            return mode_value(status.st_mode)
        return self.read_file(relative, status, self._max_bytes if max_bytes is None else max_bytes).value

    def read_file(self, relative: str, status: os.stat_result, max_bytes: int) -> Reading:
        """Return the content of a file.

        Args:
            relative: Its path.
            status: What the system says of it.
            max_bytes: How large it may be to be read: of a larger one the value is its name.

        Raises:
            TargetError: It cannot be read.
        """
        now_ns = tick_ns()
        if status.st_size > max_bytes:
            return self._read_large(relative, status, now_ns)
        try:
            content, before, after = read_content(self._workspace.absolute(relative), status.st_size)
        except (FileNotFoundError, NotADirectoryError):
            return _ABSENT
        except OSError as error:
            raise os_failure(f"{relative!r} cannot be read", error) from error
        stamp = stamp_of(after)
        return Reading(decode(content), stamp, stamp == stamp_of(before) and self.sure(stamp, now_ns))

    def _read_large(self, relative: str, status: os.stat_result, now_ns: int) -> Reading:
        place, stamp = self._workspace.absolute(relative), stamp_of(status)
        try:
            value = large_value(self._workspace.large.name(place))
            sure = stamp == stamp_of(os.lstat(place)) and self.sure(stamp, now_ns)
        except (FileNotFoundError, NotADirectoryError):
            return _ABSENT
        except OSError as error:
            raise os_failure(f"{relative!r} cannot be read", error) from error
        return Reading(value, stamp, sure)

    def status(self, relative: str) -> os.stat_result | None:
        """Return what the system says of a regular file; None where there is none, a folder, or a link.

        Raises:
            TargetError: It is something else, such as a pipe, or cannot be looked at.
        """
        try:
            self._check_folders(relative)
            status = os.lstat(self._workspace.absolute(relative))
        except (FileNotFoundError, NotADirectoryError):
            self._workspace.check()
            return None
        except OSError as error:
            raise os_failure(f"{relative!r} cannot be read", error) from error
        if stat.S_ISREG(status.st_mode):
            return status
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            return None
        raise TargetError(f"{relative!r} is not a regular file", "Name a file that can be read whole.")

    def list(self, prefix: str, before: Callable[[str], None] | None = None) -> dict[Key, Value]:
        """Return the objects under a prefix: contents as `UNLOADED`.

        Args:
            prefix: How their keys begin.
            before: Called with each folder before it is looked into.

        Raises:
            TargetError: A folder cannot be read.
        """
        scheme, _, path = prefix.partition(":")
        try:
            self._check_folders(path)
        except (FileNotFoundError, NotADirectoryError):
            self._workspace.check()
            return {}
        except OSError as error:
            raise os_failure(f"{path!r} cannot be listed", error) from error
        self._workspace.check()
        if scheme in ("mode", "link", "folder"):
            kind = cast(Literal["mode", "link", "folder"], scheme)
            names = self._workspace.walk(path, kind, before)
            found = {key: self.current(key) for key in (Key(f"{scheme}:{name}") for name in names)}
            return {key: value for key, value in found.items() if value is not None}
        return {Key(f"file:{name}"): UNLOADED for name in self._workspace.walk(path, before=before)}

    def sure(self, stamp: Stamp | None, now_ns: int) -> bool:
        """Tell whether a change after `now_ns` would have given a file another stamp than this.

        Where others write to the file system too (NFS, a folder shared with a host), nothing is sure.
        """
        # What is mounted below the root may be on another file system, of another kind.
        return stamp is None or (self._local and stamp[0] == self._device and settled(stamp, now_ns))

    def _kind(self, scheme: str, relative: str) -> Value:
        try:
            self._check_folders(relative)
        except OSError:  # the folders above it are not there, or not to be looked into
            self._workspace.check()
            return None
        if scheme == "folder":
            return kinds.folder(self._workspace, relative)
        return kinds.link(self._workspace.absolute(relative))

    def _check_folders(self, relative: str) -> None:
        """Refuse a path on which a folder has become a symbolic link since the key was made canonical.

        Raises:
            NotADirectoryError: One has: what is behind it has another name, and there is nothing of this one.
        """
        at = relative.find("/")
        while at > 0:
            if stat.S_ISLNK(os.lstat(self._workspace.absolute(relative[:at])).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), relative[:at])
            at = relative.find("/", at + 1)
