"""Writing to a workspace: whole files in one step, nothing of anybody else's lost, folders made and pruned.

A write goes to a temporary file that takes the place of the old one (`swap.py`), so nobody ever sees half of
it. What is there is compared with what is expected under a lock on the root that all processes of the host
share; people's programs do not know that lock, so what was really replaced is compared once more.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from coagent.content import rights
from coagent.errors import TargetError
from coagent.protocol.keys import Key
from coagent.protocol.values import Value
from coagent.systems.files import kinds, placing, swap
from coagent.systems.files.encoding import alike, create_file, decode, encode
from coagent.systems.files.folder_lock import folder_lock
from coagent.systems.files.large import large_name, large_size, large_value
from coagent.systems.files.reading import CONTENTS, FileReader
from coagent.systems.files.workspace import Workspace
from coagent.targets.base import GuardFailed, require_wanted
from coagent.targets.folders import make_folders
from coagent.targets.os_failures import os_failure

_ATTEMPTS = 4


class _Replaced:
    """Looks at a file under a temporary name as at the object that it was (a `swap.Judge`).

    Args:
        look: Returns the value of what is at a path, seen as the object.
        value: What was put in its place.
        expected: What the object might have been.
    """

    def __init__(self, look: Callable[[str], Value], value: Value, expected: Sequence[Value]) -> None:
        self._look = look
        self._value = value
        self._expected = expected
        self.found: Value = None
        self.failure: TargetError | None = None

    def expected(self, path: str) -> bool:
        self.failure = None
        try:
            self.found = self._look(path)
        except TargetError as failure:  # somebody has put there what cannot be read
            self.failure = failure
            return False
        return self.found is not None and _any_alike(self.found, self._expected)

    def reported(self, path: str) -> bool:
        try:
            return self.failure is None and alike(self._look(path), self.found)
        except TargetError:
            return False

    def ours(self, path: str) -> bool:
        try:
            return alike(self._look(path), self._value)
        except TargetError:
            return False

    def appended(self, path: str) -> bool:
        if type(self._value) not in (str, bytes):
            return False
        try:
            found = self._look(path)
        except TargetError:
            return False
        if found is None or not encode(found).startswith(encode(self._value)):
            return False
        self.found = found
        return True


class FileWriter:
    """Writes the objects of a workspace.

    Args:
        workspace: The workspace.
        reader: Reads what is there.
        max_bytes: Files larger than this are not written.
    """

    def __init__(self, workspace: Workspace, reader: FileReader, max_bytes: int) -> None:
        self._workspace = workspace
        self._reader = reader
        self._max_bytes = max_bytes

    @contextlib.contextmanager
    def lock(self, wait_s_max: float) -> Iterator[None]:
        """Keep other processes that write to the workspace waiting.

        Raises:
            TargetUnavailable: Another one holds the lock, or the workspace is gone.
        """
        self._workspace.check()
        with folder_lock(self._workspace.root, wait_s_max):
            yield

    def put(self, key: Key, value: Value, expected: Sequence[Value], wait_s_max: float) -> None:
        """Make `value` the live value of an object, as `Target.put` says.

        Args:
            key: The object.
            value: Its new value.
            expected: Every value that it may have now.
            wait_s_max: How long to wait for the lock; with 0, nobody else is waited for either.

        Raises:
            FolderLocked, BeingSaved, MustWait: Somebody would have to be waited for.
            NotWanted: It is not to be put any more.
            GuardFailed, TargetError: As `Target.put` says.
        """
        scheme, _, relative = key.partition(":")
        if scheme not in CONTENTS:
            kinds.check(key, value)
        elif large_name(value):
            self.admit_content(relative, value)
        elif value is not None:
            self._require_small(relative, self._encode(relative, value))
        itself = scheme in ("link", "folder")
        if value is not None and relative != self._workspace.canonical(
            relative, in_repository=scheme in ("gitdir", "folder"), itself=itself
        ):
            raise TargetError(
                f"{relative!r} has become a symbolic link", "Remove the link, or name its target."
            )
        try:
            with self.lock(wait_s_max):
                require_wanted(in_thread=wait_s_max > 0)
                self._put(key, value, expected, patient=wait_s_max > 0)
        except OSError as error:
            raise os_failure(f"{relative!r} cannot be written", error) from error

    def admit_content(self, relative: str, value: Value) -> Value:
        """Return a content as it is read again.

        Raises:
            TargetError: No file can hold it, or none that would be read again.
        """
        name = large_name(value)
        if not name:
            content = self._encode(relative, value)
            if len(content) <= self._max_bytes:
                return decode(content)
            try:
                return large_value(self._workspace.large.take(content))
            except OSError as error:
                raise os_failure(f"{relative!r} cannot be kept", error) from error
        try:
            if self._workspace.large.has(name):
                return value
        except OSError as error:
            raise os_failure(f"{relative!r} cannot be kept", error) from error
        raise TargetError(
            f"the content of {relative!r}, {large_size(name)} bytes, is not kept here any more",
            "Make it again.",
        )

    def _encode(self, relative: str, value: Value) -> bytes:
        """Return a content as bytes.

        Raises:
            TargetError: No file can hold it, or none that would be read again.
        """
        if type(value) not in (str, bytes):
            raise TargetError(
                f"{relative!r} cannot hold {type(value).__name__}", "A file's content is text or bytes."
            )
        try:
            content = encode(value)
        except UnicodeEncodeError as error:
            raise TargetError(
                f"{relative!r} cannot hold the character {value[error.start]!r}", "Write valid Unicode."
            ) from None
        return content

    def _require_small(self, relative: str, content: bytes) -> None:
        """Refuse a content that would not be read again, and has not been admitted as a large file."""
        if len(content) > self._max_bytes:
            raise TargetError(
                f"{relative!r} would have {len(content)} bytes, and no more than {self._max_bytes} are read",
                "Open the workspace with a larger max_bytes (in a configuration: max_mib).",
            )

    def _put(self, key: Key, value: Value, expected: Sequence[Value], *, patient: bool) -> None:
        scheme, _, relative = key.partition(":")
        path, leftovers = self._workspace.absolute(relative), self._workspace.leftovers
        leftovers.before_put(path)
        for _ in range(_ATTEMPTS):
            if scheme in CONTENTS:  # who saves in place is half done at times
                swap.wait_for_savers(path, patient=patient)
            found = self._reader.current(key)
            if alike(found, value):
                if leftovers.after_another(path):
                    continue
                return
            if scheme == "folder":  # that others put something into it, or take it out, is no conflict
                self._put_folder(relative, value)
                return
            if not _any_alike(found, expected):
                raise GuardFailed(key, found)
            if scheme == "mode":
                self._set_mode(relative, value)
                return
            if name := large_name(found):
                self._workspace.large.keep(path, name)
            judge = _Replaced(lambda path: self._look(scheme, path), value, expected)
            if value is None:
                done = self._delete(scheme, relative, judge, found, patient)
            else:
                done = self._place(scheme, relative, value, found, judge, patient)
            if done:
                return
            if judge.failure is not None:
                raise judge.failure
            if not _any_alike(judge.found, [*expected, value]):
                raise GuardFailed(key, judge.found)
        self._check_way(scheme, relative)
        raise swap.BeingSaved(
            f"{relative!r} changes faster than it can be written", "Find out which program keeps writing it."
        )

    def _check_way(self, scheme: str, relative: str) -> None:
        """Refuse a name that something else has: a file where a link is to be, a pipe.

        Raises:
            TargetError: Something has it.
        """
        path = self._workspace.absolute(relative)
        if os.path.lexists(path) and self._look(scheme, path) is None:
            raise TargetError(f"something else is in the way of {relative!r}", "Delete or move it first.")

    def _look(self, scheme: str, path: str) -> Value:
        return self._reader.current(Key(f"{scheme}:{path[len(self._workspace.root) + 1 :]}"))

    def _place(
        self, scheme: str, relative: str, value: Value, found: Value, judge: _Replaced, patient: bool
    ) -> bool:
        def make(temporary: str) -> None:
            if scheme == "link":
                os.symlink(str(value), temporary)
                return
            name = large_name(value)
            content = name.encode() if name else encode(value)
            if name:
                self._workspace.large.put(name, temporary)
                os.chmod(temporary, stat.S_IMODE(former.st_mode) if former else rights(None, 0))
            else:
                create_file(temporary, content, former)
            time_ns = self._workspace.versions.when_put(relative, content)
            self._date(relative, temporary, content, time_ns, former, found)

        path = self._workspace.absolute(relative)
        former = None if scheme == "link" else self._reader.status(relative)
        done = placing.place(path, make, judge, found, value, patient=patient)
        if done and scheme == "file":
            self._note_times(relative, former, found)
            with contextlib.suppress(OSError):  # it has gone again
                self._note_times(relative, os.lstat(path), value)
        return done

    def _date(
        self,
        relative: str,
        temporary: str,
        content: bytes,
        time_ns: int | None,
        former: os.stat_result | None,
        found: Value,
    ) -> None:
        """Give what is to be put the time that it shall have; None: that of now."""
        versions = self._workspace.versions
        now_ns = os.lstat(temporary).st_mtime_ns
        if former is not None and type(found) in (str, bytes):
            versions.found_of(relative, encode(found), former.st_mtime_ns)
        wanted_ns = versions.in_second_of_its_own(relative, content, now_ns if time_ns is None else time_ns)
        if wanted_ns != now_ns:
            self._workspace.large.date(temporary, wanted_ns)

    def _delete(self, scheme: str, relative: str, judge: _Replaced, found: Value, patient: bool) -> bool:
        path = self._workspace.absolute(relative)
        former = self._reader.status(relative) if scheme == "file" else None
        done = placing.take_away(path, judge, found, patient)
        if done:
            self._note_times(relative, former, found)
            self._prune(path)
        return done

    def _note_times(self, relative: str, status: os.stat_result | None, content: Value) -> None:
        """Keep of what time a version of a file is, for those who see it when it has been replaced."""
        if status is not None and type(content) in (str, bytes):
            self._workspace.versions.note_written(relative, encode(content), status.st_mtime_ns)

    def _put_folder(self, relative: str, value: Value) -> None:
        path = self._workspace.absolute(relative)
        if value is not None:
            make_folders(path, [])
            return
        with contextlib.suppress(OSError):  # something is in it
            os.rmdir(path)
        self._prune(path)

    def _prune(self, path: str) -> None:
        """Remove the folders above what is gone, as far as nothing is in them."""
        folder = os.path.dirname(path)
        while folder != self._workspace.root:
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)

    def _set_mode(self, relative: str, value: Value) -> None:
        status = self._reader.status(relative)
        if status is None:
            raise TargetError(f"{relative!r} is no file, so it has no mode", "Write the file first.")
        mode = None if value is None else str(value)
        os.chmod(self._workspace.absolute(relative), rights(mode, stat.S_IMODE(status.st_mode)))


def _any_alike(found: Value, values: Sequence[Value]) -> bool:
    return any(alike(found, value) for value in values)
