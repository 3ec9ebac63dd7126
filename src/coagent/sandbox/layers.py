"""What the layers of an overlay say by signs: that something is gone, and that a folder begins anew.

Source: Linux kernel documentation, "Overlay Filesystem", "whiteouts and opaque directories".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path


def put_whiteout(place: Path) -> None:
    """Say of a path that what lower layers have there is gone."""
    os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(0, 0))


def is_whiteout(place: Path) -> bool:
    """Tell whether a path of a layer says that nothing is there."""
    status = place.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(folder: str) -> bool:
    """Tell whether a folder of a layer hides what lower layers have in it."""
    for name in ("user.overlay.opaque", "trusted.overlay.opaque"):
        with contextlib.suppress(OSError):
            return os.getxattr(folder, name) in (b"y", b"x")
    return False


def set_opaque(folder: Path) -> None:
    """Say of a folder of a layer that it hides what lower layers have in it."""
    kind = "trusted" if os.geteuid() == 0 else "user"
    os.setxattr(folder, f"{kind}.overlay.opaque", b"y")


def make_way(place: Path) -> None:
    """Remove whatever is at a path, so that something else can be put there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
