"""The names under which files are made before they take their place, and what killed processes left there.

Such a name says whose the file is, which file's place it is for, and, by digests, what was found there and
what was to be put. So whoever comes next can tell, without any journal, what it holds: what was to be put, or
what was replaced, goes; anything else is what a person had saved at that very moment, and comes back.

Who holds the lock of a workspace meets no file of a process that still writes, where all its writers are on
this host. Elsewhere (network file systems), what another host has made is left to it for a day.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import stat
import time
from hashlib import blake2b
from typing import Final, NamedTuple

from coagent.folder_watch import is_local
from coagent.processes import label, lives
from coagent.protocol.values import Value
from coagent.systems.files import swap
from coagent.systems.files.encoding import encode
from coagent.systems.files.large import large_name, short_digest

TEMPORARY: Final = ".coagent-tmp-"
"""How the names of half-written files begin; no listing shows them."""

_SAYS = logging.getLogger("coagent.files")
_NAME = re.compile(
    re.escape(TEMPORARY) + r"(?P<state>[wr])-(?P<owner>[0-9a-f]+\.\d+\.[0-9a-f]*)"
    r"-(?P<found>[0-9a-f]*)-(?P<put>[0-9a-f]*)-[0-9a-f]{8}-(?P<name>[^/]*)~(?:-former)?",
    re.DOTALL,
)
_SAVED = re.compile(r".*\.saved-[0-9a-f]{8}", re.DOTALL)
_NAME_BYTES_MAX: Final = 143
"""The longest name that all file systems take: those that encrypt names have less room than others."""
_FOREIGN_S_MAX = 24 * 3600.0
_FOLDERS_MAX = 10_000
_PIECE = 1 << 20


class Names(NamedTuple):
    """Two names for one new file, in the folder where it is to be.

    Args:
        begun: While it is being written.
        ready: Once it is whole; from then on what is there may also be what it has replaced.
    """

    begun: str
    ready: str


def names(path: str, found: Value, put: Value) -> Names:
    """Return names that nobody uses.

    Args:
        path: The place.
        found: The text or bytes in it (of a link: where it leads); None where there is nothing.
        put: What is to be there instead.
    """
    folder, _, name = path.rpartition("/")
    rest = f"-{label()}-{_digest(found)}-{_digest(put)}-{secrets.token_hex(4)}-"
    if len(TEMPORARY) + 1 + len(rest) + len(os.fsencode(name)) + 1 > _NAME_BYTES_MAX:
        name = ""
    return Names(f"{folder}/{TEMPORARY}w{rest}{name}~", f"{folder}/{TEMPORARY}r{rest}{name}~")


class Leftovers:
    """What processes that have died left in a workspace.

    A folder is looked into before the first put there, and where something hints at a death: no more, since
    it may hold very many files. Whoever calls holds the lock of the workspace.
    """

    def __init__(self) -> None:
        self._looked: dict[str, int] = {}
        """Folders that were looked into, and when they had been changed."""
        self.met: set[str] = set()
        """Folders, as absolute paths, in which a listing has met something that the dead may have left."""

    def meet(self, folder: str, name: str) -> None:
        """Note what a listing has met, if it may be left."""
        known = _NAME.fullmatch(name)
        if known is not None and lives(known["owner"]) is not True:
            self.met.add(folder)

    def before_put(self, path: str) -> None:
        """See to the folder of a file, if that was never done."""
        folder = os.path.dirname(path)
        if folder not in self._looked:
            self.tidy(folder)

    def after_another(self, path: str) -> bool:
        """See to the folder of a file that another process has put; True where a person's file is back."""
        folder = os.path.dirname(path)
        return self._looked.get(folder) != _change_time_ns(folder) and self.tidy(folder)

    def tidy(self, folder: str) -> bool:
        """Remove what the dead left in a folder, and bring back what a person had saved.

        Args:
            folder: Its absolute path.

        Returns:
            Whether something was brought back.
        """
        back = False
        self.met.discard(folder)
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for name in [entry.name for entry in entries if entry.name.startswith(TEMPORARY)]:
                known = _NAME.fullmatch(name)
                if known is not None:
                    with contextlib.suppress(OSError, swap.BeingSaved):  # it stays for the next time
                        back |= _settle(f"{folder}/{name}", known)
        if len(self._looked) >= _FOLDERS_MAX:
            self._looked.clear()
        self._looked[folder] = _change_time_ns(folder)
        return back


def is_saved(name: str) -> bool:
    """Tell whether a name is that of something kept beside its place, since it was saved during a write."""
    return _SAVED.fullmatch(name) is not None


class _Left:
    """Knows by its digest what was to be put (a `swap.Judge`); nothing else is dropped."""

    def __init__(self, put: str) -> None:
        self._put = put

    def expected(self, path: str) -> bool:
        return False

    def reported(self, path: str) -> bool:
        return False

    def ours(self, path: str) -> bool:
        return _content(path) == self._put

    def appended(self, path: str) -> bool:
        return False


def _settle(path: str, known: re.Match[str]) -> bool:
    """See to one file; what cannot be told stays. Returns whether it is something of a person's.

    Raises:
        OSError: It cannot be read, moved or removed.
        BeingSaved: Somebody has it open for writing.
    """
    status = os.lstat(path)
    is_made_here = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
    if not is_made_here or not _is_dead(known, path, status):
        return False
    folder, name = os.path.dirname(path), known["name"]
    place = "" if not name or name.casefold() == ".git" else f"{folder}/{name}"  # that is never put
    if known["state"] == "w" or (place and _is_same(status, place)):
        os.unlink(path)
        return False
    swap.wait_for_savers(path, patient=False)
    held = _content(path)
    if held in (known["found"], known["put"]):
        os.unlink(path)
        return False
    where = _brought_back(path, place, known["put"])
    _SAYS.warning(
        "a process was killed while it wrote %s; what somebody had saved there meanwhile is %s",
        place or f"a file in {folder}",
        "in its place again" if where == place else f"now {where}",
    )
    return True


def _brought_back(path: str, place: str, put: str) -> str:
    """Give what a person has saved a name that people see; returns it.

    Raises:
        OSError: It cannot be done.
    """
    judge = _Left(put)
    if place and not put:  # it was being deleted
        with contextlib.suppress(FileExistsError):
            swap.create(path, place)
            return place
    elif place and judge.ours(place):
        return swap.put_back(path, place, judge) or place
    return swap.keep(path, place or f"{os.path.dirname(path)}/coagent")


def _is_dead(known: re.Match[str], path: str, status: os.stat_result) -> bool:
    alive = lives(known["owner"])
    if alive is None:  # it is another host's, or another container's, or of before this host was started
        changed_s = max(status.st_mtime, status.st_ctime)
        return is_local(os.path.dirname(path)) or time.time() - changed_s > _FOREIGN_S_MAX
    return not alive


def _change_time_ns(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def _is_same(status: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(status, os.lstat(path))
    except OSError:
        return False


def _digest(value: Value) -> str:
    if large := large_name(value):
        return short_digest(large)
    return "" if value is None else blake2b(encode(value), digest_size=8).hexdigest()


def _content(path: str) -> str:
    """Return the digest of what is at a path; empty where there is nothing that has one.

    Raises:
        OSError: It cannot be read.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return ""
    if stat.S_ISLNK(status.st_mode):
        return blake2b(os.fsencode(os.readlink(path)), digest_size=8).hexdigest()
    if not stat.S_ISREG(status.st_mode):
        return ""
    found = blake2b(digest_size=8)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while piece := os.read(descriptor, _PIECE):
            found.update(piece)
    finally:
        os.close(descriptor)
    return found.hexdigest()
