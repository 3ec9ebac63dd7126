"""What one command may use of the machine, and the words for it where that was not enough.

The kernel refuses a command files, processes and sizes beyond its limits, and the command says so in its own
words, or not. Of memory and disks the kernel bounds single processes only, and not in a way that all programs
bear (RLIMIT_AS and RLIMIT_DATA count what is reserved and never used, of which runtimes and sanitizers have
much), so a whole command is watched (`watch.py`). Sources: getrlimit(2), kernel.pid_max in
pid_namespaces(7), proc_pid_statm(5), statvfs(3).
"""

from __future__ import annotations

import os
from typing import NamedTuple

TABLE = "[tools.bash.limits]"
"""Where a configuration has them."""
_MIB = 1024**2
_MEMORY_SHARE = 0.75
_REFUSED = (
    ("Resource temporarily unavailable", "processes_max", "{} processes and threads at once"),
    ("Cannot fork", "processes_max", "{} processes and threads at once"),
    ("can't start new thread", "processes_max", "{} processes and threads at once"),
    ("File size limit exceeded", "file_mib_max", "files of {} MiB each"),
    ("File too large", "file_mib_max", "files of {} MiB each"),
    ("Too many open files", "open_files_max", "{} open files in each process"),
)
_EXCEEDED = 128 + 25
"""How a command exits that SIGXFSZ has ended."""


class Limits(NamedTuple):
    """What one command may use, with all that it begins.

    Args:
        processes_max: How many processes and threads it may have at once.
        memory_mib_max: How much memory all of it may use, in MiB; 0 for three quarters of the machine's.
        file_mib_max: How large a file may be that it writes, in MiB.
        open_files_max: How many files each of its processes may have open.
        disk_free_mib_min: What it must leave free of the disk that it writes on, in MiB.
        timeout_s_max: How long it may take at most, whatever its call asks for, in seconds.
    """

    processes_max: int = 4096
    memory_mib_max: int = 0
    file_mib_max: int = 1024**2
    open_files_max: int = 65536
    disk_free_mib_min: int = 512
    timeout_s_max: float = 3600.0

    @property
    def memory_bytes_max(self) -> int:
        """How much memory all of it may use, in bytes."""
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return self.memory_mib_max * _MIB or int(machine * _MEMORY_SHARE)

    def data(self) -> dict[str, int]:
        """Return what `launcher.py` has the kernel see to, as JSON data."""
        return {
            "processes_max": self.processes_max,
            "file_bytes_max": self.file_mib_max * _MIB,
            "open_files_max": self.open_files_max,
            "shared_bytes_max": self.memory_bytes_max // 2,
        }

    def explain_failure(self, code: int, output: str) -> str:
        """Return what may have stood in the way of a command that has failed; empty where nothing tells.

        Args:
            code: How it has exited.
            output: What it has printed.
        """
        if not code:
            return ""
        text = f"{output}\n{_REFUSED[3][0]}" if code == _EXCEEDED else output
        for words, name, what in _REFUSED:
            if words in text:
                allowed = what.format(getattr(self, name))
                return f"Commands may have {allowed} ({name} in {TABLE}); it may have met that."
        return ""
