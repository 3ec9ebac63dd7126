"""Processes, told apart for ever: by the place where their numbers mean something, and by when they began.

A process number is given again and again, on every host and in every container; together with the boot of the
host, its namespace and the start of the process it is not. Sources: proc(5), pid_namespaces(7).
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PS_S_MAX = 5.0


class Process(NamedTuple):
    """A process.

    Args:
        host: What people call the host.
        place: Where its number means something: one boot of one host, one namespace. Of two processes whose
            places differ neither can tell whether the other one lives.
        pid: Its number there.
        started: When it began, as the system tells it; empty where it does not.
    """

    host: str
    place: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Process:
    """Return the process that asks."""
    pid = os.getpid()
    return Process(socket.gethostname(), this_place(), pid, _started(pid) or "")


def has_died(process: Process) -> bool:
    """Tell whether a process is known to have ended; False where it lives, or where that cannot be told."""
    if process.place != this_place():
        return False
    started = _started(process.pid)
    return started is None or bool(process.started and started and started != process.started)


def label() -> str:
    """Return what tells the process that asks from all others, in letters that any file name may have."""
    return _label_of(os.getpid())


def lives(label: str) -> bool | None:
    """Tell of a process by its label whether it lives; None where that cannot be told from here."""
    place, pid, started = label.split(".")
    if place != _short(this_place()):
        return None
    now = _started(int(pid))
    if now is None:
        return False
    return None if not now or not started else started == _short(now)


@cache
def _label_of(pid: int) -> str:
    started = _started(pid)
    return f"{_short(this_place())}.{pid}.{_short(started) if started else ''}"


def _short(text: str) -> str:
    return blake2b(text.encode(), digest_size=4).hexdigest()


@cache
def this_place() -> str:
    """Return where this process' number means something."""
    try:
        return f"{boot()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/{boot()}"


@cache
def boot() -> str:
    """Return what names the time since this host was started; empty where the system has no name for it."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return _said("sysctl", "-n", "kern.boottime")


def _started(pid: int) -> str | None:
    """Return when a process began; None where there is none, or nothing but what is left of one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        return ""
    else:
        # The name in brackets may hold anything; behind it come the state and, as the 20th, the start.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return re.sub(r"\s+", " ", _said("ps", "-p", str(pid), "-o", "lstart="))


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PS_S_MAX, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
