"""The system calls that look up a path, and the filter by which a process asks before each of them.

`launcher.py` loads it by its path, so it uses the standard library only. Sources: seccomp(2),
seccomp_unotify(2), syscalls(2).
"""

import contextlib
import ctypes
import fcntl
import functools
import os
import platform
import struct
import types
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_ALLOW, _NOTIFY, _ERRNO_ENOSYS = 0x7FFF0000, 0x7FC00000, 0x00050000 | 38
_NEW_LISTENER, _WAIT_KILLABLE = 8, 32
_SET_FLAGS = 0x40082104
_AT_EMPTY_PATH = 0x1000
_IO_URING_SETUP, _OPENAT2 = 425, 437
# Where a system call has its path: (argument of the folder's descriptor or -1, argument of the path) pairs.
# "open" marks those whose flags follow the path, "link" those that may put a symbolic link somewhere, "move"
# those that may also move a folder, "meddles" those that write to another process' memory, paths among it.
_AT = (((0, 1),), "")
_PLAIN = (((-1, 0),), "")
_MEDDLES = ((), "meddles")
_TWO, _TWO_AT = ((-1, 0), (-1, 1)), ((0, 1), (2, 3))
_ARCHITECTURES = {
    "x86_64": (
        0xC000003E, 317, (262, 332),
        {
            2: (((-1, 0),), "open"), 257: (((0, 1),), "open"), 437: (((0, 1),), "open2"),
            4: _PLAIN, 6: _PLAIN, 21: _PLAIN, 59: _PLAIN, 76: _PLAIN, 80: _PLAIN, 83: _PLAIN, 84: _PLAIN,
            85: _PLAIN, 87: _PLAIN, 89: _PLAIN, 90: _PLAIN, 133: _PLAIN,
            82: (_TWO, "move"), 86: (_TWO, "link"),
            88: (((-1, 1),), "link"), 258: _AT, 259: _AT, 262: _AT, 263: _AT, 267: _AT, 268: _AT, 269: _AT,
            322: _AT, 332: _AT, 439: _AT, 452: _AT, 264: (_TWO_AT, "move"), 265: (_TWO_AT, "link"),
            316: (_TWO_AT, "move2"), 266: (((1, 2),), "link"), 101: _MEDDLES, 311: _MEDDLES,
        },
    ),
    "aarch64": (
        0xC00000B7, 277, (79, 291),
        {
            56: (((0, 1),), "open"), 437: (((0, 1),), "open2"), 33: _AT, 34: _AT, 35: _AT, 45: _PLAIN,
            48: _AT, 53: _AT, 78: _AT, 79: _AT, 221: _PLAIN, 281: _AT, 291: _AT, 439: _AT, 452: _AT,
            36: (((1, 2),), "link"), 37: (_TWO_AT, "link"), 38: (_TWO_AT, "move"), 276: (_TWO_AT, "move2"),
            117: _MEDDLES, 271: _MEDDLES,
        },
    ),
}  # fmt: skip
_SHARING = {"x86_64": (56, 9, 30), "aarch64": (220, 222, 196)}  # clone, mmap, shmat
_CLONE3, _CLONE_VM, _CLONE_VFORK, _MAP_SHARED, _PROT_WRITE = 435, 0x100, 0x4000, 1, 2
_CALL_KINDS = ("", "open", "open2", "link", "move", "move2", "meddles")
_MOVE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p)


def known() -> bool:
    """Return whether the calls of this machine are known."""
    return platform.machine() in _ARCHITECTURES


def install(*, moves_only: bool, strict: bool = False) -> int:
    """Have this process and all that it begins ask before each call.

    Args:
        moves_only: Whether only before those that may move a folder.
        strict: Whether also before memory is shared in which paths may be: by threads, or in other ways.

    Returns:
        The descriptor that hears of the calls, -1 where the kernel has none.
    """
    count, held = program(moves_only=moves_only, strict=strict)
    given = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", count, ctypes.addressof(held)))
    seccomp = ctypes.c_long(_ARCHITECTURES[platform.machine()][1])
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        listener = int(_libc.syscall(seccomp, ctypes.c_uint(1), ctypes.c_uint(flags), given))
        if listener >= 0:
            return listener
    return -1


@functools.cache
def program(*, moves_only: bool, strict: bool = False) -> "tuple[int, ctypes.Array]":  # type: ignore[type-arg]
    """Return the filter, and how many steps it has."""
    architecture, _, with_empty, calls = _ARCHITECTURES[platform.machine()]
    if moves_only:
        steps = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), (0x06, 0, 0, _ALLOW), (0x20, 0, 0, 0)]
        for number in sorted(number for number, (_, kind) in calls.items() if kind in ("move", "move2")):
            steps += [(0x15, 0, 1, number), (0x06, 0, 0, _NOTIFY)]
        return _filter_of(steps)
    steps = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), (0x06, 0, 0, _NOTIFY), (0x20, 0, 0, 0)]
    steps += [(0x35, 0, 1, 0x40000000), (0x06, 0, 0, _NOTIFY)]  # x32
    steps += [(0x15, 0, 1, _IO_URING_SETUP), (0x06, 0, 0, _ERRNO_ENOSYS)]
    newfstatat, statx = with_empty
    for number, argument in ((newfstatat, 3), (statx, 2)):  # fstat in disguise names no file
        steps += [
            (0x15, 0, 4, number), (0x20, 0, 0, 16 + 8 * argument), (0x45, 0, 1, _AT_EMPTY_PATH),
            (0x06, 0, 0, _ALLOW), (0x06, 0, 0, _NOTIFY),
        ]  # fmt: skip
    for number in sorted(calls.keys() - set(with_empty)):
        steps += [(0x15, 0, 1, number), (0x06, 0, 0, _NOTIFY)]
    return _filter_of([*steps, *_sharing()] if strict else steps)


def _sharing() -> "list[tuple[int, int, int, int]]":
    """Return the steps that ask before memory is shared; flags are looked at, so clone3 is not there."""
    clone, mmap, shmat = _SHARING[platform.machine()]
    return [
        (0x15, 0, 1, _CLONE3), (0x06, 0, 0, _ERRNO_ENOSYS),
        (0x15, 0, 1, shmat), (0x06, 0, 0, _NOTIFY),
        # While a process waits for what it has forked by vfork, nobody else is there to write.
        (0x15, 0, 5, clone), (0x20, 0, 0, 16), (0x45, 2, 0, _CLONE_VFORK), (0x45, 0, 1, _CLONE_VM),
        (0x06, 0, 0, _NOTIFY), (0x06, 0, 0, _ALLOW),
        (0x15, 0, 5, mmap), (0x20, 0, 0, 16 + 8 * 3), (0x45, 0, 3, _MAP_SHARED), (0x20, 0, 0, 16 + 8 * 2),
        (0x45, 0, 1, _PROT_WRITE), (0x06, 0, 0, _NOTIFY),
    ]  # fmt: skip


def _filter_of(steps: "list[tuple[int, int, int, int]]") -> "tuple[int, ctypes.Array]":  # type: ignore[type-arg]
    """Return a filter that allows what none of its steps is about."""
    steps = [*steps, (0x06, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    return len(steps), ctypes.create_string_buffer(code)


def follow_command(
    listener: int,
    folders: "tuple[str, str, list[str]]",
    processes: int,
    library: "ctypes.CDLL | None",
    python: types.ModuleType | None,
    begins: "Callable[[str, str], None]",
) -> "dict[str, int] | None":
    """Return what a command looks up until it ends, None where that is not known.

    Args:
        listener: What `install` has returned.
        folders: The tree; the folder that it is in, if it is in a temporary one; and the temporary ones, of
            which is only told that something in them was looked up.
        processes: The folder of processes.
        library: The tracer in C.
        python: That in Python, where there is none in C.
        begins: Called before a folder is moved, with the paths that it has and will have.
    """
    calls = _ARCHITECTURES[platform.machine()][3]
    with contextlib.suppress(OSError):  # Linux 6.6: wake the other side on this processor, which is faster
        fcntl.ioctl(listener, _SET_FLAGS, 1)
    if library is None:
        assert python is not None
        trace = python.Trace(*folders, processes, calls, begins)
        trace.follow(listener)
        return trace.seen if trace.complete else None
    count = max(calls) + 1
    table = (ctypes.c_int * (6 * count))()  # struct call of trace.c
    for number, (pairs, kind) in calls.items():
        pairs = (*pairs, (0, 0), (0, 0))[:2]
        used = len(calls[number][0])
        table[6 * number : 6 * number + 6] = [
            1 + _CALL_KINDS.index(kind), used, *(folder for folder, _ in pairs), *(path for _, path in pairs)
        ]  # fmt: skip
    root, apart, temporary = folders
    given = (
        os.fsencode(root),
        os.fsencode(apart),
        b"".join(os.fsencode(folder) + b"\0" for folder in temporary),
    )
    called = _MOVE(lambda source, target: begins(os.fsdecode(source), os.fsdecode(target)))
    with open(os.memfd_create("seen"), "w+b") as file:
        complete = library.follow(listener, processes, *given, table, count, called, file.fileno())
        os.close(listener)
        file.seek(0)
        found = file.read().split(b"\0")[:-1]
    return {os.fsdecode(line[1:]): line[0] - ord("0") for line in found} if complete else None
