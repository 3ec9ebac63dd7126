"""Failures of the operating system as errors: which pass by themselves or with some help, and what helps.

A failure passes when the same request may succeed later, whoever has to do something for it meanwhile: free
disk space, mount the folder again, end the program that holds a lock. Sources: errno(3), and the section
"ERRORS" of open(2), rename(2), write(2) and flock(2).
"""

from __future__ import annotations

import errno

from coagent.errors import TargetError, TargetUnavailable

_PASSING = {
    errno.ENOSPC: "Free some disk space; the old content is still there.",
    errno.EDQUOT: "Free some of your quota; the old content is still there.",
    errno.EROFS: "The file system is read-only; mount it writable.",
    errno.EIO: "Look at the disk or the network under it (dmesg).",
    errno.ESTALE: "Its server has lost track of it; mount the folder again.",
    errno.ETXTBSY: "A program runs from it; wait until that has ended.",
    errno.ENOENT: "Somebody removes folders at the same time; try again.",
    errno.EEXIST: "Somebody makes it at the same time; try again.",
    errno.EMFILE: "This process has too many files open; raise its limit (ulimit -n).",
    errno.ENFILE: "The system has too many files open; end some programs.",
    errno.ENOMEM: "The memory is used up; end some programs.",
    errno.ENOLCK: "The system cannot give any more locks; look at its file server.",
    errno.EAGAIN: "Try again.",
    errno.EINTR: "Try again.",
    errno.ENODEV: "The device under it is gone; connect it again.",
    errno.ENXIO: "The device under it is gone; connect it again.",
    errno.ENOTCONN: "The file system's server is away; mount it again.",
    errno.ETIMEDOUT: "The file system's server does not answer; look at the network.",
    errno.EHOSTDOWN: "The file system's server is away; look at the network.",
    errno.EHOSTUNREACH: "The file system's server is away; look at the network.",
    errno.ENETUNREACH: "The file system's server is away; look at the network.",
    errno.ECONNABORTED: "The file system's server is away; mount it again.",
    getattr(errno, "EREMOTEIO", -1): "The file system's server is in trouble; look at it.",
}
_WITH_HELP = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV, errno.ENXIO)
"""Those that pass only when somebody does something about them."""
_LASTING = {
    errno.EACCES: "Check the permissions of the file and its folder.",
    errno.EPERM: "Check the permissions and attributes of the file and its folder.",
    errno.ENOTDIR: "A file is in the way where a folder is needed; delete or move it first.",
    errno.EISDIR: "A folder is in the way where a file is needed; choose another name.",
    errno.ENOTEMPTY: "A folder is in the way where a file is needed; choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "It is a symbolic link by now; remove the link, or name its target.",
    errno.EBUSY: "Something is mounted there; change it where that comes from.",
    errno.EFBIG: "The system bounds the size of files; the old content is still there.",
}


def passes(error: OSError) -> bool:
    """Tell whether the same request may succeed later."""
    return error.errno in _PASSING


def os_failure(cause: str, error: OSError) -> TargetError:
    """Return the error that stands for a failure: `TargetUnavailable` where it passes.

    Args:
        cause: What could not be done.
        error: What the system said.
    """
    number = error.errno or 0
    said = f"{cause}: {error.strerror or error}"
    if passes(error):
        return TargetUnavailable(said, _PASSING[number], by_itself=number not in _WITH_HELP)
    return TargetError(said, _LASTING.get(number, ""))
