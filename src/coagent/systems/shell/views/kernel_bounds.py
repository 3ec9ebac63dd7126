"""Takes files and sockets from this process and all that it begins, by Landlock and seccomp.

Programs that run outside of the package load it by its path, so it uses the standard library only. Nobody
can give back what is taken here. Sources: landlock(7), seccomp(2), socket(2), address_families(7).
"""

import ctypes
import os
import stat
import struct

EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER, TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14
CHANGES = WRITE_FILE | sum(1 << bit for bit in range(4, 14)) | TRUNCATE
"""Whatever changes files: writes, removes, makes, moves between folders (REFER), truncates."""
_FILE_ONLY = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1}  # by version; from 3 on, all that is named here
_SCOPES = 0b11  # abstract sockets and signals, from version 6 on

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
_CREATE, _ADD, _RESTRICT, _VERSION, _BENEATH = 444, 445, 446, 1, 1
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # audit's number, that of socket()
_IO_URING_SETUP, _X32 = 425, 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOWED, _REFUSED = 0x7FFF0000, 0x00050000
_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the version of Landlock that the kernel has; 0 where it has none or does not allow it."""
    return max(int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))), 0)


def all_rights() -> int:
    """Return all rights that this kernel's Landlock knows of files, as bits."""
    return _RIGHTS.get(version(), (1 << 15) - 1)


def keep_files(allowed: "list[tuple[str, int]]", taken: int, *, scoped: bool, links: bool) -> None:
    """Take rights everywhere but at some places, and below them.

    Args:
        allowed: Paths, and the rights that stay there, as bits; what is not there is passed over.
        taken: The rights that are taken elsewhere.
        scoped: Whether to take signals and abstract sockets of others, too, where the kernel can.
        links: Whether a path that is a link stands for where it leads; else it is passed over.

    Raises:
        OSError: The kernel does not allow it.
    """
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    scopes = _SCOPES if scoped and version() >= 6 else 0
    taken &= all_rights()
    attributes = struct.pack("=QQQ", taken, 0, scopes)
    size = ctypes.c_size_t(24 if scopes else 8)
    rules = _check(_libc.syscall(_CREATE, attributes, size, ctypes.c_uint32(0)))
    for place, rights in allowed:
        _allow(rules, place, rights & taken, 0 if links else os.O_NOFOLLOW)
    _check(_libc.syscall(_RESTRICT, rules, ctypes.c_uint32(0)))
    os.close(rules)


def _allow(rules: int, place: str, rights: int, flags: int) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC | flags)
    except OSError:
        return
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISDIR(mode):
        rights &= _FILE_ONLY
    if not stat.S_ISLNK(mode):
        rule = struct.pack("=Qi", rights, descriptor)
        _check(_libc.syscall(_ADD, rules, ctypes.c_int(_BENEATH), rule, ctypes.c_uint32(0)))
    os.close(descriptor)


def keep_sockets(families: "tuple[int, ...]", error: int) -> None:
    """Let no sockets be made but of some families, nor by io_uring or the calls of another architecture.

    Args:
        families: Those that may be.
        error: The errno that others get.

    Raises:
        OSError: The kernel does not allow it, or the calls of this processor are not known.
    """
    known = _MACHINES.get(os.uname().machine)
    if known is None:
        raise OSError(95, f"system calls of {os.uname().machine} are not known")
    audit, number = known
    count = len(families)
    steps = [
        (_LOAD, 0, 0, 4), (_EQUAL, 0, 5 + count, audit),
        (_LOAD, 0, 0, 0), (_AT_LEAST, 3 + count, 0, _X32), (_EQUAL, 2 + count, 0, _IO_URING_SETUP),
        (_EQUAL, 0, 2 + count, number), (_LOAD, 0, 0, 16),
        *((_EQUAL, count - place, 0, family) for place, family in enumerate(families)),
        (_RETURN, 0, 0, _REFUSED | error), (_RETURN, 0, 0, _ALLOWED),
    ]  # fmt: skip
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    described = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0))


def _check(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(answer)
