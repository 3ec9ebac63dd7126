"""Watches what one command uses with all that it has begun: the kernel bounds single processes only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from coagent.systems.shell.limits import Limits

PERIOD_S = 0.25
"""How often it is looked at; shorter commands never are."""
_MIB = 1024**2
_PAGE = os.sysconf("SC_PAGE_SIZE")
_WRITTEN_MIN = 64 * _MIB
"""What must have gone from the disk since the command began: somebody else may have filled it."""


class LimitExceeded(Exception):
    """A command has used more than it may.

    Args:
        what: Of what, and how much it may; goes on from "the command".
        name: The name of the limit in a configuration.
    """

    def __init__(self, what: str, name: str) -> None:
        super().__init__(what)
        self.what = what
        self.name = name


class ResourceMonitor:
    """What one command uses.

    Args:
        process: The process above all of its own.
        scratch: The folder in which it writes.
        limits: What it may use.
    """

    def __init__(self, process: int, scratch: Path, limits: Limits) -> None:
        self._process = process
        self._scratch = scratch
        self._limits = limits
        self._free_at_first = self._free()

    def check(self) -> None:
        """Raise LimitExceeded where it uses more than it may."""
        limits = self._limits
        found = list(_family(self._process))
        if sum(threads for _, threads in found) > limits.processes_max + 8:  # some of them are ours
            raise LimitExceeded(f"has begun more than {limits.processes_max} processes", "processes_max")
        used = sum(_private(process) for process, _ in found)
        if used > limits.memory_bytes_max:  # what processes share is counted for each: look closer
            used = sum(_proportional(process) for process, _ in found)
        if used > limits.memory_bytes_max:
            allowed = limits.memory_bytes_max // _MIB
            raise LimitExceeded(f"uses more than {allowed} MiB of memory", "memory_mib_max")
        free = self._free()
        if free < limits.disk_free_mib_min * _MIB and free < self._free_at_first - _WRITTEN_MIN:
            raise LimitExceeded(
                f"leaves less than {limits.disk_free_mib_min} MiB free on the disk", "disk_free_mib_min"
            )

    def _free(self) -> int:
        try:
            status = os.statvfs(self._scratch)
        except OSError:
            return 0
        return status.f_bavail * status.f_frsize


def _family(process: int) -> Iterator[tuple[int, int]]:
    """Yield a process and all that it has begun, with how many threads each has."""
    waiting = [process]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError):  # it has ended
            threads = os.listdir(f"/proc/{one}/task")
            yield one, len(threads)
            for thread in threads:
                with contextlib.suppress(OSError):
                    children = Path(f"/proc/{one}/task/{thread}/children").read_text("ascii")
                    waiting += map(int, children.split())


def _private(process: int) -> int:
    """Return how many bytes a process has for itself, or shares with others since they were forked."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{process}/statm").read_text("ascii").split()
        return (int(fields[1]) - int(fields[2])) * _PAGE
    return 0


def _proportional(process: int) -> int:
    """Return the same with its share only of what it has in common with others."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return _private(process)
