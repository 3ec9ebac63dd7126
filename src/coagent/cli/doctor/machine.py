"""The file system below the workspace: whether it is of this machine, and has room."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place

FREE_MIB_MIN = 100
"""Below that much, something is about to fail."""
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|ncpfs|afs|ceph|9p|virtiofs|lustre|gpfs|glusterfs|ocfs2|davfs|"
    r"fuse\.(sshfs|glusterfs|ceph.*|s3fs|rclone|gcsfuse|davfs\d?|smbnetfs|juicefs|goofys))\Z"
)


def network_file_system(place: Place) -> Iterator[Finding]:
    """Yield whether others than this machine may write to the workspace, or to its log."""
    from coagent.log.urls import path_of

    paths = {"the workspace": place.root}
    if place.log.startswith("sqlite:"):
        paths["the log"] = path_of(place.log)
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        yield Finding("file system", "note", "this system does not say what is mounted where")
        return
    found = {what: type_at(mounts, path) for what, path in paths.items()}
    remote = {what: kind for what, kind in found.items() if _NETWORK.match(kind)}
    for what, kind in remote.items():
        text = f"{what} is on a {kind} file system, shared with another machine: " + (
            "locks and the log may fail there"
            if what == "the log"
            else "what is changed elsewhere is seen late"
        )
        cure = 'Set log = "sqlite:PATH" with a path on a disk of this machine.' if what == "the log" else ""
        yield Finding("file system", "warning", text, cure)
    if not remote:
        yield Finding("file system", "ok", f"{' and '.join(sorted(set(found.values())))}, of this machine")


def type_at(mounts: str, path: Path) -> str:
    """Return the type of the file system that holds a path.

    Args:
        mounts: What `/proc/self/mountinfo` says (proc_pid_mountinfo(5)).
        path: The path.
    """
    whole, best, kind = os.path.realpath(path), "", "unknown"
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
        below = whole == point or whole.startswith(point.rstrip("/") + "/")
        if below and len(point) >= len(best):  # of two at one place the later one covers the other
            best, kind = point, after.split(" ")[0]
    return kind


def disk(place: Place) -> Iterator[Finding]:
    """Yield how much room there is for the log, and for the views of commands."""
    from coagent.scratch import process_folder

    places = {"the workspace": place.root, "temporary files": process_folder()}
    yield from room(places)


def room(places: dict[str, Path]) -> Iterable[Finding]:
    """Yield how much room there is in some folders, one finding for each file system.

    Args:
        places: What each is for, and the folder.
    """
    seen: dict[int, list[str]] = {}
    free: dict[int, os.statvfs_result] = {}
    for what, folder in places.items():
        device = os.stat(folder).st_dev
        seen.setdefault(device, []).append(what)
        free[device] = os.statvfs(folder)
    for device, names in seen.items():
        status, named = free[device], " and ".join(names)
        mib = status.f_bavail * status.f_frsize // 1024**2
        if mib < FREE_MIB_MIN:
            text = f"{mib} MiB free for {named}: what agents write is about to be refused"
            yield Finding("disk", "warning", text, f"df -h '{places[names[0]]}'")
        elif status.f_files and not status.f_favail:
            yield Finding("disk", "warning", f"no file can be made any more for {named} (no inodes)",
                          f"df -i '{places[names[0]]}'")  # fmt: skip
        else:
            size = f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib} MiB"
            yield Finding("disk", "ok", f"{size} free for {named}")
