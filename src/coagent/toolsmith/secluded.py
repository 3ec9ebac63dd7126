"""Runs a command of a trial that can read the workspace and the system's programs, and nothing else.

It is a script of its own, run in a view: `python secluded.py BASH ROOT COMMAND`. Landlock takes the rest away
from it and from all that it starts: home folders with their keys, other processes, most of `/etc`. A seccomp
filter takes the sockets of the machine's services, which the absence of a network leaves. Without both,
nothing is run.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

UNAVAILABLE = 126
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # audit's number, that of socket()
_IO_URING_SETUP, _X32 = 425, 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOWED, _REFUSED = 0x7FFF0000, 0x00050000 | 13
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read files, read folders
_FILE_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # what may be said of a file: execute, write, read, truncate
_READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/passwd"),
    *("/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/etc/magic", "/etc/mime.types"),
    *("/dev/zero", "/dev/random", "/dev/urandom"),
)
_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the version of the kernel's Landlock; 0 where it has none."""
    found = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(int(found), 0)


def _restrict(root: str) -> None:
    kinds = {1: 13, 2: 14}.get(version(), 15)
    everything = (1 << kinds) - 1
    attributes = struct.pack("Q", everything)
    rules = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(8), ctypes.c_uint32(0)))
    for place in _READABLE:
        _allow(rules, place, _READ)
    for place in (root, os.environ.get("TMPDIR", "/tmp"), "/dev/null"):
        _allow(rules, place, everything)
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(_libc.syscall(_RESTRICT_SELF, rules, ctypes.c_uint32(0)))
    os.close(rules)


def _without_local_sockets() -> None:
    """Refuse sockets of the family AF_UNIX, io_uring, and calls of other architectures."""
    if os.uname().machine not in _MACHINES:
        raise OSError(f"sockets cannot be taken away on {os.uname().machine}")
    audit, number = _MACHINES[os.uname().machine]
    steps = (
        (_LOAD, 0, 0, 4), (_EQUAL, 0, 7, audit),
        (_LOAD, 0, 0, 0), (_AT_LEAST, 5, 0, _X32), (_EQUAL, 4, 0, _IO_URING_SETUP), (_EQUAL, 0, 2, number),
        (_LOAD, 0, 0, 16), (_EQUAL, 1, 0, 1),
        (_RETURN, 0, 0, _ALLOWED), (_RETURN, 0, 0, _REFUSED),
    )  # fmt: skip
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    described = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    _checked(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0))


def _allow(rules: int, place: str, rights: int) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    allowed = rights if os.path.isdir(place) else rights & _FILE_ONLY
    handled = (1 << {1: 13, 2: 14}.get(version(), 15)) - 1
    rule = struct.pack("=Qi", allowed & handled, descriptor)
    _checked(_libc.syscall(_ADD_RULE, rules, ctypes.c_int(1), rule, ctypes.c_uint32(0)))
    os.close(descriptor)


def _checked(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(answer)


def main() -> None:
    """Restrict this process and become the command."""
    bash, root, command = sys.argv[1:4]
    try:
        if not version():
            raise OSError("the kernel has no Landlock")
        _restrict(root)
        _without_local_sockets()
    except OSError as error:
        print(f"nothing was run: it could not be kept from the rest of the machine: {error}", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    os.execv(bash, ["bash", "-c", command])


if __name__ == "__main__":
    main()
