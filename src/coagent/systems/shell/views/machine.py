"""What of the machine itself a command has in a view: few devices, little of root's power, and no settings.

A mount that is read-only keeps nobody from writing to a device, and /proc has the settings of the kernel,
which root may change in whatever namespace. `launcher.py` loads it by its path, so it uses the standard
library only. Sources: capabilities(7), devpts (Linux kernel documentation, "devpts"), proc_sys(5),
open_by_handle_at(2), pid_namespaces(7), PR_SET_NO_NEW_PRIVS(2const).
"""

import contextlib
import ctypes
import os
import resource
import stat
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_KEPT = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 31})
"""CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT,
SETFCAP: what an installation as root needs. DAC_READ_SEARCH is none of them: with it any file of a file
system is opened by its number, past all mounts."""
_CAPABILITIES_MAX = 64
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_BIND, _REC, _ATTR_RDONLY = 0x1000, 0x4000, 1
_PIDS_RESERVED = 300  # numbers below are given once only: Linux, kernel/pid.c, RESERVED_PIDS
_PID_MAX_OWN = (6, 14)  # the first Linux in which each namespace of processes has a kernel.pid_max of its own


def renounce() -> None:
    """Take from this process, once it becomes another program, what undoes a view or changes the machine."""
    for capability in range(_CAPABILITIES_MAX):
        if capability not in _KEPT and _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            break  # there are no more
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def bound(frame: dict) -> None:  # type: ignore[type-arg]
    """Bound what this process, and each that it begins, may use.

    Args:
        frame: What is known of the command (`confined.Frame`), as JSON data.
    """
    limits = frame["limits"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes_max"], limits["file_bytes_max"]))
    if frame["open"]:
        return
    _lower(resource.RLIMIT_NOFILE, limits["open_files_max"])
    if os.geteuid() and not frame["fenced"]:  # counted in its namespace of users; root's are not
        _lower(resource.RLIMIT_NPROC, limits["processes_max"])
    # Where memory is short, no other program shall have to go.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("500")


def _lower(limit: int, most: int) -> None:
    now = resource.getrlimit(limit)
    soft, hard = (most if limit == resource.RLIM_INFINITY else min(limit, most) for limit in now)
    resource.setrlimit(limit, (soft, hard))


def mount_devices(mount: "Callable[..., None]", processes: int, devices: "list[str]") -> None:
    """Put a /dev in the place of the machine's: what all programs need, own terminals, and no sockets.

    Args:
        mounted: Mounts something.
        processes: The folder of processes of the namespace around.
        devices: Further ones of the machine, by their paths below /dev, or folders there.
    """
    wanted = [*(f"/dev/{name}" for name in _DEVICES), *devices]
    held = {path: os.open(path, os.O_PATH) for path in wanted if os.path.exists(path)}
    mount("tmpfs", "/dev", "tmpfs", 0, "mode=755,size=1m")
    for name in ("pts", "shm"):
        os.mkdir(f"/dev/{name}")
    for name, target in _LINKS.items():
        os.symlink(target, f"/dev/{name}")
    mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620")
    os.fchdir(processes)
    for place, descriptor in held.items():
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.makedirs(place, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT, 0o600))
        mount(f"self/fd/{descriptor}", place, None, _BIND | _REC, None)
        os.close(descriptor)


def mount_processes(
    mount: "Callable[..., None]", attributes: "Callable[..., None]", processes_max: int
) -> None:
    """Mount the /proc of the namespace of this process; of root, all but processes in it is read-only.

    For others the kernel's settings are read-only already, and what is covered here could not be mounted
    again by a program that makes namespaces itself.

    Args:
        mounted: Mounts something.
        attributes: Changes the attributes of a mount.
        processes_max: How many processes there may be in it at once, where the kernel can see to that.

    Raises:
        OSError: It may not be mounted here.
    """
    mount("proc", "/proc", "proc", 0, None)
    if bounds_processes():
        with open("/proc/sys/kernel/pid_max", "w", encoding="ascii") as file:
            file.write(str(processes_max + _PIDS_RESERVED))
    if os.geteuid():
        return
    for name in os.listdir("/proc"):
        place = f"/proc/{name}"
        mode = os.lstat(place).st_mode
        if not name.isdecimal() and (stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and mode & 0o222)):
            mount(place, place, None, _BIND | _REC, None)
            attributes(place, 0, _ATTR_RDONLY, recursive=True)


def cover_sockets(mount: "Callable[..., None]", listed: int) -> None:
    """Cover the sockets that are listened on around, wherever they lie: no namespace of networks parts them.

    Args:
        mounted: Mounts something.
        listed: A descriptor of the list of sockets of the network around (proc_net(5), `unix`).
    """
    text = b""
    while more := os.pread(listed, 1 << 20, len(text)):
        text += more
    for line in text.splitlines()[1:]:
        place = b" ".join(line.split(b" ")[7:]).partition(b"/")
        name = os.fsdecode(b"/" + place[2])
        if not place[1] or place[0].strip(b" 0123456789"):  # it has none, or an abstract one
            continue
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.stat(name).st_mode):
                mount("/dev/null", name, None, _BIND, None)


def bounds_processes() -> bool:
    """Tell whether the kernel bounds the processes of one namespace, whoever's they are."""
    release = os.uname().release.split(".")
    return (int(release[0]), int(release[1].partition("-")[0])) >= _PID_MAX_OWN
