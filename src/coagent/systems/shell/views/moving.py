"""Folders that a command moves by rename(2): what is in them counts as read, and an overlay lets them go.

An overlay refuses to move a folder that is, in part, in the layer below: git, Python and Node then give up.
So such a folder is made anew before the command's own call goes on. `launcher.py` loads this file by its
path, so it uses the standard library only. Sources: rename(2); Linux kernel documentation, "Overlay
Filesystem", "renaming directories".
"""

import contextlib
import ctypes
import errno
import os
import secrets
import stat
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_OVERLAY = 0x794C7630  # statfs(2)
_ASIDE = ".coagent-tmp-"
"""How a name begins that no view counts as part of the tree (`Workspace`)."""


class Moves:
    """Hears of each folder that a command is about to move.

    Args:
        root: The tree.
        lower: A descriptor of the layer below the tree's view; -1 where it has none.
    """

    def __init__(self, root: str, lower: int) -> None:
        self.seen: dict[str, int] = {}
        """What was in the folders of the tree that were moved, as `Trace` notes what was opened."""
        self._root = root
        self._lower = lower

    def begins(self, source: str, target: str) -> None:
        """Prepare a move; where that is not possible, the command hears of it by its own call.

        Args:
            source: The folder, as a path without links.
            target: Where it is to go.
        """
        with contextlib.suppress(OSError):
            if os.lstat(source).st_dev != os.stat(os.path.dirname(target)).st_dev:
                return
            if source.startswith(f"{self._root}/"):
                self._note(source)
            if self._lower >= 0 and _is_layered(source) and not self._is_new(source):
                make_movable(source)

    def _note(self, folder: str) -> None:
        for at, folders, names in os.walk(folder):
            for path in (at, *(f"{at}/{name}" for name in (*folders, *names))):
                self.seen[path] = 2

    def _is_new(self, folder: str) -> bool:
        """Tell whether the layer below the tree has surely nothing at a path."""
        inside, _, path = folder.partition(f"{self._root}/")
        if inside or path.partition("/")[0] == ".git":  # that has a view of its own
            return False
        try:
            return not stat.S_ISDIR(os.stat(path, dir_fd=self._lower, follow_symlinks=False).st_mode)
        except OSError:
            return True


def make_movable(folder: str) -> None:
    """Make a folder of an overlay anew, with all that is in it, unless it can be moved as it is.

    Raises:
        OSError: That cannot be done; the folder is as it was.
    """
    device = os.lstat(folder).st_dev
    if any(os.lstat(at).st_dev != device for at, _, _ in os.walk(folder)):
        return  # something is mounted in it
    aside = f"{os.path.dirname(folder)}/{_ASIDE}{secrets.token_hex(8)}"
    try:
        os.rename(folder, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        try:
            _empty_into(folder, aside)
        except BaseException:
            _empty_into(aside, folder)
            raise
    os.rename(aside, folder)


def _empty_into(source: str, target: str) -> None:
    """Move all that is in a folder into another one, which becomes as the first one was; that goes."""
    emptied = []
    for at, folders, names in os.walk(source):
        place = target + at[len(source) :]
        status = os.lstat(at)
        with contextlib.suppress(FileExistsError):
            os.mkdir(place)
        emptied.append((at, place, status))
        for name in [*names, *(folder for folder in folders if os.path.islink(f"{at}/{folder}"))]:
            os.rename(f"{at}/{name}", f"{place}/{name}")
    for at, place, status in reversed(emptied):
        os.rmdir(at)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(place, status.st_uid, status.st_gid)
        os.chmod(place, stat.S_IMODE(status.st_mode))
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def _is_layered(folder: str) -> bool:
    """Tell whether a folder is one of an overlay."""
    found = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(folder), found):
        return False
    return bool(struct.unpack_from("=l" if struct.calcsize("l") == 4 else "=q", found)[0] == _OVERLAY)
