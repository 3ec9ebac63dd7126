"""Sessions in a workspace that are not governed: Claude Code reads hooks from the folder in which it starts.

One that was started in a folder below, or before `coagent init`, says nothing of itself. On Linux its process
can be seen (proc(5)); elsewhere nobody is found.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

from coagent.gateways.claude.hook import WORKTREES, find_root

_PROGRAMS = ("claude", "claude.exe")


class Elsewhere(NamedTuple):
    """A session of which no hook has told.

    Args:
        pid: Its process.
        folder: Where it works.
    """

    pid: int
    folder: str


def sessions_elsewhere(root: str, known: Collection[int]) -> Iterator[Elsewhere]:
    """Yield the user's sessions in a workspace that are not governed.

    Args:
        root: The workspace.
        known: The processes of sessions that are.
    """
    try:
        entries = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return
    found = {pid: folder for pid in entries if (folder := _folder(pid)) is not None}
    for pid, folder in sorted(found.items()):
        within = f"{folder}/".startswith(f"{root}/") and not f"{folder}/".startswith(f"{root}{WORKTREES}")
        child = _parent(pid) in found or pid in known or _parent(pid) in known
        if within and not child and find_root(folder) == root:
            yield Elsewhere(pid, folder)


def _folder(pid: int) -> str | None:
    """Return where a process of Claude Code works; None for another one, or another user's."""
    try:
        with open(f"/proc/{pid}/comm") as comm:
            if comm.read().strip() not in _PROGRAMS:
                return None
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as status:
            return int(status.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
