"""Bounds a command where there are no namespaces: it writes in some folders only, and does not see one.

`launcher.py` loads it by its path, so it uses the standard library only. What it cannot bound: access rights
and times of files elsewhere (`chmod`, `touch` of what the user owns). Sources: landlock(7), seccomp(2),
PR_SET_CHILD_SUBREAPER(2const).
"""

import ctypes
import os
import signal
import types

LANDLOCK_MIN = 3
"""The first version that bounds truncate(2) too."""

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_CHILD_SUBREAPER = 36
_ENETUNREACH = 101
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def fence(
    bounds: types.ModuleType, writable: list[str], readable: list[str], hidden: str, *, network: bool
) -> None:
    """Bound this process and all that it begins.

    Args:
        bounds: `kernel_bounds.py`, loaded.
        writable: The folders that it may write in.
        readable: Folders that it may read.
        hidden: A folder whose files it may not read, but for those folders.
        network: Whether it may use a network.

    Raises:
        OSError: The kernel does not allow it.
    """
    devices = [(f"/dev/{name}", bounds.WRITE_FILE | bounds.READ_FILE) for name in _DEVICES]
    places = [(place, bounds.CHANGES | bounds.READ_FILE) for place in (*writable, "/dev/shm")]
    seen = [(place, bounds.READ_FILE) for place in (*readable, *_beside(hidden))]
    bounds.keep_files([*places, *devices, *seen], bounds.CHANGES | bounds.READ_FILE, scoped=True, links=False)
    if not network:  # pairs of sockets can be made, but none that reaches one of the machine's by its path
        bounds.keep_sockets((bounds.AF_NETLINK,), _ENETUNREACH)


def _beside(hidden: str) -> list[str]:
    """Return what lies beside a folder, beside the one above it, and so on."""
    found = []
    while hidden != "/":
        above = os.path.dirname(hidden)
        found += [os.path.join(above, name) for name in os.listdir(above) if name != os.path.basename(hidden)]
        hidden = above
    return found


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
