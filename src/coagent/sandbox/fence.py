"""Bounds a command where there are no namespaces: it writes in some folders only, and does not see one.

`launcher.py` loads it by its path, so it uses the standard library only. What it cannot bound: access rights
and times of files elsewhere (`chmod`, `touch` of what the user owns). Sources: landlock(7), seccomp(2),
PR_SET_CHILD_SUBREAPER(2const).
"""

import ctypes
import os
import signal
import stat
import struct

LANDLOCK_MIN = 3
"""The first version that bounds truncate(2) too."""

_libc = ctypes.CDLL(None, use_errno=True)
_CREATE, _ADD, _RESTRICT, _VERSION = 444, 445, 446, 1
_BENEATH = 1
_WRITE_FILE, _READ_FILE, _TRUNCATE = 1 << 1, 1 << 2, 1 << 14
_WRITES = _WRITE_FILE | sum(1 << bit for bit in range(4, 14)) | _TRUNCATE  # removes, makes, REFER
_SCOPES = 0b11  # abstract sockets and signals, from version 6 on
_PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 38, 36
_ERRNO_ENETUNREACH, _ALLOW = 0x00050000 | 101, 0x7FFF0000
_IO_URING_SETUP, _X32 = 425, 0x40000000
_AF_UNIX, _AF_NETLINK = 1, 16
_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def version() -> int:
    """Return the version of Landlock that the kernel has; 0 where it has none or does not allow it."""
    return max(int(_libc.syscall(_CREATE, None, 0, _VERSION)), 0)


def fence(writable: list[str], readable: list[str], hidden: str, *, network: bool) -> None:
    """Bound this process and all that it begins.

    Args:
        writable: The folders that it may write in.
        readable: Folders that it may read.
        hidden: A folder whose files it may not read, but for those folders.
        network: Whether it may use a network.

    Raises:
        OSError: The kernel does not allow it.
    """
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    scopes = _SCOPES if version() >= 6 else 0
    attributes = struct.pack("=QQQ", _WRITES | _READ_FILE, 0, scopes)
    rules = _made(_libc.syscall(_CREATE, attributes, ctypes.c_size_t(24 if scopes else 8), 0))
    for place in writable:
        _allow(rules, place, _WRITES | _READ_FILE)
    for name in _DEVICES:
        _allow(rules, f"/dev/{name}", _WRITE_FILE | _READ_FILE)
    _allow(rules, "/dev/shm", _WRITES | _READ_FILE)
    for place in (*readable, *_beside(hidden)):
        _allow(rules, place, _READ_FILE)
    _made(_libc.syscall(_RESTRICT, rules, 0))
    os.close(rules)
    if not network:
        _without_sockets()


def _made(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _allow(rules: int, place: str, rights: int) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISDIR(mode):
        rights &= _WRITE_FILE | _READ_FILE | _TRUNCATE
    if not stat.S_ISLNK(mode):
        _made(_libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, descriptor), 0))
    os.close(descriptor)


def _beside(hidden: str) -> list[str]:
    """Return what lies beside a folder, beside the one above it, and so on."""
    found = []
    while hidden != "/":
        above = os.path.dirname(hidden)
        found += [os.path.join(above, name) for name in os.listdir(above) if name != os.path.basename(hidden)]
        hidden = above
    return found


def _without_sockets() -> None:
    """Let no sockets be made but local ones, nor by io_uring or the calls of another architecture."""
    known = _SOCKET.get(os.uname().machine)
    if known is None:
        raise OSError(95, "this processor's system calls are not known")
    architecture, number = known
    steps = (
        (0x20, 0, 0, 4), (0x15, 0, 7, architecture),
        (0x20, 0, 0, 0), (0x35, 5, 0, _X32), (0x15, 4, 0, _IO_URING_SETUP), (0x15, 0, 4, number),
        (0x20, 0, 0, 16), (0x15, 2, 0, _AF_UNIX), (0x15, 1, 0, _AF_NETLINK),
        (0x06, 0, 0, _ERRNO_ENETUNREACH), (0x06, 0, 0, _ALLOW),
    )  # fmt: skip
    held = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(held)))
    if _libc.prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp")


def adopt_descendants() -> None:
    """Become the parent of all that this process's children leave behind; end them when told to end."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def ended(*_: object) -> None:
        end_descendants()
        os._exit(128 + signal.SIGKILL)

    signal.signal(signal.SIGTERM, ended)


def end_descendants() -> None:
    """Kill all children, and those who become ours by that, until none is left."""
    while True:
        for name in os.listdir("/proc"):
            if name.isdecimal() and _parent(name) == os.getpid():
                os.kill(int(name), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _parent(process: str) -> int:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0
