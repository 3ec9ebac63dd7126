"""Putting a file in the place of another so that what somebody saves at the same moment is not lost.

Between a look at a file and `rename` over it, a person may save. So the two files exchange their names in one
step, and what has come out is looked at afterwards: where it is not what was expected, it is put back in the
same way. A new file takes a name only where there is none, and a deleted one is renamed and looked at before
it goes.

A program that has opened the old file before the exchange writes into what came out. So nothing is decided
while somebody has that open for writing, which a lease tells. A program that keeps a file open for long (a
log, mostly) is waited for no longer than a moment: its file goes, as when an editor saves.

Where a file system knows no exchange, the last look is as late as possible. Sources: rename(2),
"RENAME_EXCHANGE" and "RENAME_NOREPLACE"; fcntl(2), "Leases".
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import signal
import sys
import time
from typing import Final, Protocol

from coagent.errors import TargetUnavailable

_NOREPLACE: Final = 1
_EXCHANGE: Final = 2
_AT_FDCWD: Final = -100
_SYNC_FILE_RANGE_WRITE: Final = 2
_WRITERS_S_MAX = 0.25
_WRITERS_POLL_S = 0.0002
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY})


class BeingSaved(TargetUnavailable):
    """Somebody has the file open for writing just now, and whoever asks does not wait."""


class Judge(Protocol):
    """Tells files apart by what is in them."""

    def expected(self, path: str) -> bool:
        """Tell whether the file at a path may be replaced; what it holds is remembered, to be reported."""

    def reported(self, path: str) -> bool:
        """Tell whether the file at a path is as `expected` saw it last."""

    def ours(self, path: str) -> bool:
        """Tell whether the file at a path is as the new one was."""

    def appended(self, path: str) -> bool:
        """Tell whether somebody has added something to the new one; then that is what is reported."""


def replace(new: str, path: str, judge: Judge, *, patient: bool) -> bool:
    """Put the file `new` in the place of the one at `path`, unless that is not an expected one.

    Args:
        new: A file in the same folder under a name that nobody uses; it is gone afterwards, whatever happens.
        path: The place.
        judge: Looks at what was replaced.
        patient: Whether to wait for somebody who is saving.

    Returns:
        False where something else was there. It is there again, unless somebody has saved over it meanwhile.

    Raises:
        BeingSaved: Somebody is saving, and there is no waiting; nothing was changed.
        OSError: It cannot be done; FileNotFoundError where nothing is at `path` any more.
    """
    try:
        # From here on `new` names what was at `path`. Say it was v1 as we looked, and an editor has saved v2
        # since: then v2 is in our hands, nobody has read our v3 for longer than a moment, and a second
        # exchange gives v2 its place back. After a plain rename, v2 would be gone for good.
        if not _rename(new, path, _EXCHANGE):
            return _replace_late(new, path, judge)
    except BaseException:
        if judge.ours(new):  # an interrupt may have come right after the exchange
            _drop(new)
        raise
    done = False
    try:
        wait_for_savers(new, patient=patient)
        done = judge.expected(new)
    finally:
        if done:
            _drop(new)
        else:
            put_back(new, path, judge)
    return done


def create(new: str, path: str) -> None:
    """Give the file `new` the name `path`.

    Raises:
        FileExistsError: Something has it.
        OSError: It cannot be done.
    """
    if _rename(new, path, _NOREPLACE):
        return
    try:
        os.link(new, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _UNKNOWN | {errno.EPERM, errno.EMLINK}:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
        os.rename(new, path)
    else:
        os.unlink(new)


def remove(path: str, aside: str, judge: Judge, *, patient: bool) -> bool:
    """Delete the file at `path`, unless it is not an expected one.

    Args:
        path: The place.
        aside: A name in the same folder that nobody uses.
        judge: Looks at what was deleted.
        patient: Whether to wait for somebody who is saving.

    Returns:
        False where something else was there. It is there again, unless somebody has saved there meanwhile.

    Raises:
        BeingSaved: Somebody is saving, and there is no waiting; nothing was changed.
        OSError: It cannot be done; FileNotFoundError where nothing is at `path` any more.
    """
    os.rename(path, aside)
    done = False
    try:
        wait_for_savers(aside, patient=patient)
        done = judge.expected(aside)
    finally:
        if done:
            _drop(aside)
        else:
            try:
                create(aside, path)
            except FileExistsError:  # somebody has saved there: that stays
                _discard(aside, path, judge)
    return done


def write_out(descriptor: int) -> None:
    """Begin to write a new file to the disk, to be called before it is put in the place of another.

    File systems that put off where a file's blocks go do so by themselves when one replaces another, so that
    the new name never stands for an empty file after a power cut (ext4(5), "auto_da_alloc"). They do not when
    two files exchange their names.
    """
    if _sync_file_range is not None:
        _sync_file_range(descriptor, 0, 0, _SYNC_FILE_RANGE_WRITE)


def wait_for_savers(path: str, *, patient: bool) -> None:
    """Wait a moment until nobody has a file open for writing, as far as that can be known.

    It cannot of another owner's file, nor on a file system without leases.

    Args:
        path: The file.
        patient: Whether to wait at all.

    Raises:
        BeingSaved: Somebody has, and there is no waiting.
    """
    deadline = time.monotonic() + _WRITERS_S_MAX
    while _has_writers(path):
        if not patient:
            raise BeingSaved(f"{os.path.basename(path)!r} is being saved by another program", "Try again.")
        if time.monotonic() >= deadline:
            return
        time.sleep(_WRITERS_POLL_S)


def put_back(new: str, path: str, judge: Judge) -> str:
    """Exchange the two files again, and drop the new one; what somebody saved in between stays.

    Args:
        new: The temporary name, under which what was replaced is now.
        path: The place.
        judge: Knows the new one.

    Returns:
        Where something else is now beside the place; empty where nothing is.

    Raises:
        OSError: It cannot be done.
    """
    try:
        if not _rename(new, path, _EXCHANGE):
            return _discard(new, path, judge)
    except FileNotFoundError:  # somebody has deleted the file since: then it is deleted
        return _discard(new, path, judge)
    # Who opened the new one while it was there is waited for in any case: that takes two to save at once.
    wait_for_savers(new, patient=True)
    if judge.ours(new) or judge.appended(new):
        _drop(new)
        return ""
    try:
        _rename(new, path, _EXCHANGE)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            create(new, path)
    return _discard(new, path, judge) if os.path.lexists(new) else ""


def keep(aside: str, path: str) -> str:
    """Give a file a name beside the place where it was saved, for people to see; returns that.

    Raises:
        OSError: It cannot be done.
    """
    kept = f"{path}.saved-{secrets.token_hex(4)}"
    create(aside, kept)
    return kept


def _discard(aside: str, path: str, judge: Judge) -> str:
    """Drop a file that is reported to the caller, or else keep it; returns where."""
    if judge.reported(aside):
        _drop(aside)
        return ""
    return keep(aside, path)


def _drop(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _replace_late(new: str, path: str, judge: Judge) -> bool:
    """Do as `replace` without an exchange: look as late as possible, and once more afterwards."""
    former = f"{new}-former"
    try:
        os.link(path, former, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # no hard links either
        former = ""
    try:
        if not judge.expected(path):
            _drop(new)
            return False
        os.replace(new, path)
        if former and not judge.expected(former):
            os.replace(former, path)
            return False
    finally:
        if former:
            _drop(former)
    return True


def _has_writers(path: str) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Whoever opens the file for writing right now waits until the lease is given back, and the system
        # says so by a signal: one that nobody minds, since the usual one would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)  # gives the lease back
    return False


def _from_libc(name: str, *arguments: type) -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):  # an old C library
        return None
    function.argtypes = list(arguments)
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]


_renameat2 = _from_libc(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
)
_sync_file_range = _from_libc("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def _rename(old: str, new: str, flag: int) -> bool:
    """Rename with a flag; False where the system or the file system does not know it.

    Raises:
        OSError: It fails for another reason.
    """
    if _renameat2 is None:
        return False
    if _renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), old, None, new)
