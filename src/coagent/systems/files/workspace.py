"""Paths of a workspace: one name for each file, nothing outside, `.git` left to git."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from coagent.content import mode_value
from coagent.errors import TargetError, TargetUnavailable
from coagent.protocol.keys import any_glob_matches
from coagent.systems.files import temporaries
from coagent.systems.files.folder_lock import folder_lock
from coagent.systems.files.large import LargeFiles
from coagent.systems.files.own_puts import OwnPuts
from coagent.systems.files.version_times import COMPILED, VersionTimes, touch
from coagent.targets.os_failures import os_failure


class Workspace:
    """A directory tree, seen as a set of regular files named by their relative POSIX paths.

    Args:
        root: The directory.
        exclude: Globs of paths that are no objects, beside `.git` and files of CoAgent's own.
        file_bytes_max: How large a file of it may be, for whoever looks at it directly.

    Raises:
        TargetError: `root` is no readable directory.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        exclude: Sequence[str] = (),
        file_bytes_max: int = sys.maxsize,
    ) -> None:
        given = Path(root).expanduser()
        if not given.is_dir():
            what = "is not a directory" if given.exists() else "does not exist"
            raise TargetError(f"workspace {str(given)!r} {what}", "Name an existing directory.")
        self.root = os.path.realpath(given)
        if self.root == "/":
            raise TargetError("the whole file system is no workspace", "Name a directory in it.")
        self.file_bytes_max = file_bytes_max
        self.own_puts = OwnPuts(self.root, self.is_empty)
        self._exclude = tuple(exclude)
        self._at_close: list[Callable[[], None]] = []
        self.leftovers = temporaries.Leftovers()
        self.large = LargeFiles(self.root)
        """What keeps the contents of files larger than that."""
        self.versions = VersionTimes()
        try:
            os.scandir(self.root).close()
            status = os.stat(self.root)
        except OSError as error:
            raise os_failure(f"workspace {str(given)!r} cannot be read", error) from None
        self._device = status.st_dev
        self.identity = f"{self.root}#{status.st_dev}:{status.st_ino}"
        """Its path, and what stays the same where somebody moves it."""

    def check(self) -> None:
        """Tell a workspace that is gone (unmounted, moved) from one in which everything was deleted.

        Raises:
            TargetUnavailable: It is gone.
        """
        try:
            gone = os.stat(self.root).st_dev != self._device and not os.listdir(self.root)
        except (FileNotFoundError, NotADirectoryError):
            gone = True
        except OSError as error:
            raise os_failure(f"workspace {self.root!r} cannot be read", error) from error
        if gone:
            raise TargetUnavailable(
                f"workspace {self.root!r} is gone", "Mount it again, or put it back in its place."
            )

    def make_newer(self, path: str, time_ns: int, known: os.stat_result | None) -> None:
        """Make the file at a relative path one of a later time, unless it is already.

        Args:
            path: The file.
            time_ns: In nanoseconds since the epoch.
            known: What is known of it: as long as it was that, nobody outside is taken to have changed it.
        """
        as_put = self.own_puts.stands(path)
        with contextlib.suppress(OSError):  # it has gone again
            if path.endswith(COMPILED):
                content = Path(self.absolute(path)).read_bytes()
                time_ns = self.versions.in_second_of_its_own(path, content, time_ns)
        was = touch(self.absolute(path), time_ns)
        as_known = (
            was is not None
            and known is not None
            and (
                (was.st_ino, was.st_size, was.st_mtime_ns) == (known.st_ino, known.st_size, known.st_mtime_ns)
            )
        )
        now = self.own_puts.signature(path)
        if (
            was is not None
            and (as_put or as_known)
            and now == (was.st_ino, time_ns, was.st_size, was.st_mode)
        ):
            self.own_puts.note(path)

    def is_empty(self, folder: str) -> bool:
        """Tell whether no object is in a folder, nor can be in those in it; not so where nobody can look."""
        try:
            with os.scandir(self.absolute(folder)) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}"
                    if not self.excluded(path) and not self.excluded(f"{path}/x"):
                        return False
        except OSError:
            return False
        return True

    def tidy(self, paths: Iterable[str] = ()) -> None:
        """See to what the dead left beside some files, and where a listing has met it.

        Args:
            paths: The relative paths of the files.

        Raises:
            TargetUnavailable: Another process holds the lock, or the workspace is gone.
        """
        folders = {os.path.dirname(self.absolute(path)) for path in paths} | self.leftovers.met
        if folders:
            with folder_lock(self.root, 0):
                for folder in folders:
                    self.leftovers.tidy(folder)

    def at_close(self, action: Callable[[], None]) -> None:
        """Have something done each time that the workspace's target is closed."""
        self._at_close.append(action)

    def close(self) -> None:
        """Release what those who work in the workspace hold."""
        for action in self._at_close:
            action()
        self.large.close()

    def canonical(self, path: str, *, in_repository: bool = False, itself: bool = False) -> str:
        """Return the one relative path of a file or, where it ends in a slash or is empty, of a folder.

        Args:
            path: The path, relative to the root or absolute.
            in_repository: Whether it may lie in the `.git` of a repository in a subfolder.
            itself: Whether a link at its end is what is named, and not what the link leads to.

        Raises:
            TargetError: It leaves the workspace, also through a symbolic link, or belongs to git.
        """
        lexical = self._lexical(path)
        if itself and lexical != self.root:
            parent, _, name = lexical.rpartition("/")
            real = f"{self._resolve(parent)}/{name}"
        else:
            real = self._resolve(lexical)
        if real != self.root and not real.startswith(self.root + "/"):
            raise TargetError(
                f"path {path!r} leaves the workspace through a symbolic link", "Name a file of the workspace."
            )
        return self._relative(real, path, in_repository)

    def literal(self, path: str, *, in_repository: bool = False) -> str:
        """Return the relative path that a path names by its words alone, whatever links there are now.

        Args and raises are those of `canonical`.
        """
        return self._relative(self._lexical(path), path, in_repository)

    def _lexical(self, path: str) -> str:
        """Return an absolute path without dots, below the root."""
        if "\0" in path or not _encodable(path):
            what = "has a NUL in it" if "\0" in path else "is not valid Unicode"
            raise TargetError(f"path {path!r} {what}", "Name a file of the workspace.")
        absolute = path if path.startswith("/") else f"{self.root}/{path}"
        lexical = os.path.normpath(absolute)
        if lexical.startswith("//"):  # POSIX lets two slashes stand for something else; Linux does not
            lexical = lexical[1:]
        if lexical != self.root and not lexical.startswith(self.root + "/"):
            resolved = os.path.realpath(absolute)  # the root itself may have been named through a link
            if resolved != self.root and not resolved.startswith(self.root + "/"):
                raise _outside(path)
            lexical = resolved
        return lexical

    def _relative(self, real: str, path: str, in_repository: bool) -> str:
        relative = real[len(self.root) + 1 :]
        if not _encodable(relative):
            raise TargetError(f"path {path!r} leads to a name that is not valid UTF-8", "Rename the file.")
        parts = relative.split("/")
        if ".git" in (parts[:1] if in_repository else parts):
            raise TargetError(
                f"path {path!r} belongs to git", "Leave .git to git, and run git commands instead."
            )
        folder = path == "" or path.endswith("/")
        if not folder and not relative:
            raise TargetError(f"path {path!r} is the workspace itself", "Name a file in it.")
        return f"{relative}/" if folder and relative else relative

    def _resolve(self, lexical: str) -> str:
        """Resolve symbolic links below the root; most paths have none, which one `lstat` a folder tells."""
        current = self.root
        for part in lexical[len(self.root) + 1 :].split("/"):
            if not part:
                continue
            current = f"{current}/{part}"
            try:
                if stat.S_ISLNK(os.lstat(current).st_mode):
                    return self._end_of_links(lexical)
            except OSError:  # what does not exist links nowhere
                return lexical
        return lexical

    def _end_of_links(self, lexical: str) -> str:
        found = os.path.realpath(lexical)
        try:
            os.stat(found)
        except OSError as error:
            if error.errno == errno.ELOOP:  # realpath gives up without a word
                raise TargetError(
                    f"path {lexical[len(self.root) + 1 :]!r} leads through links without an end",
                    "Remove one of them.",
                ) from None
        return found

    def absolute(self, relative: str) -> str:
        """Return the absolute path of a canonical one."""
        return f"{self.root}/{relative}"

    def excluded(self, relative: str) -> bool:
        """Tell whether a path is no object of the workspace."""
        if relative.rpartition("/")[2].startswith(temporaries.TEMPORARY):
            return True
        return any_glob_matches(self._exclude, relative)

    def walk(
        self,
        prefix: str,
        kind: Literal["file", "mode", "link", "folder"] = "file",
        before: Callable[[str], None] | None = None,
    ) -> Iterator[str]:
        """Yield the relative paths of what is under `prefix`.

        Links are not followed: what they lead to within the workspace is listed under its own name. Names
        that are not valid UTF-8 are left out, since a key could not hold them.

        Args:
            prefix: How the paths begin.
            kind: Regular files, those with a mode that is not the usual one, links, or empty folders.
            before: Called with each folder before it is looked into.

        Raises:
            TargetError: A folder cannot be read.
        """
        pending = [prefix.rpartition("/")[0]]
        while pending:
            at = pending.pop()
            if before is not None:
                before(at)
            empty = bool(at)
            for entry in self._entries(at):
                name = entry.name
                relative = f"{at}/{name}" if at else name
                if name == ".git" or self.excluded(relative) or not _encodable(name):
                    if name.startswith(temporaries.TEMPORARY):
                        self.leftovers.meet(self.absolute(at) if at else self.root, name)
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if kind == "folder" and self.excluded(f"{relative}/x"):
                        continue
                    if f"{relative}/".startswith(prefix) or prefix.startswith(f"{relative}/"):
                        pending.append(relative)
                elif relative.startswith(prefix) and _is(entry, kind):
                    yield relative
                empty = False
            if kind == "folder" and empty and at.startswith(prefix):
                yield at

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.absolute(folder) if folder else self.root) as found:
                return list(found)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            failure = os_failure(f"folder {folder or '.'!r} cannot be listed", error)
            if not isinstance(failure, TargetUnavailable):
                failure.cure = "Check its permissions, or exclude it from the workspace."
            raise failure from error


def _outside(path: str) -> TargetError:
    return TargetError(f"path {path!r} lies outside the workspace", "Name a file of the workspace.")


def _encodable(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    """Tell whether what is no folder is of a kind."""
    if kind == "link":
        return entry.is_symlink()
    if kind == "folder" or not entry.is_file(follow_symlinks=False):
        return False
    if kind == "file":
        return True
    try:
        return mode_value(entry.stat(follow_symlinks=False).st_mode) is not None
    except FileNotFoundError:
        return False
