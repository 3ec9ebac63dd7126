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


def put_over(upper: Path, layer: Path, *, lowest: Path | None = None, without: str = "") -> None:
    """Lay a layer over another one, into which it goes; files are the same ones in both, so write in neither.

    Args:
        upper: The layer above.
        layer: The one below.
        lowest: What is below both in the end, where that is known: what is not there need not be hidden.
        without: The name of folders of which the content is left out.
    """
    for entry in os.scandir(upper):
        place = layer / entry.name
        under = None if lowest is None else lowest / entry.name
        if entry.is_dir(follow_symlinks=False):
            if _make_folder(entry, place):
                set_opaque(place)
            if entry.name != without:
                put_over(Path(entry.path), place, lowest=under, without=without)
        elif is_whiteout(Path(entry.path)):
            make_way(place)
            if under is None or os.path.lexists(under):
                put_whiteout(place)
        elif entry.is_symlink() or entry.is_file():
            make_way(place)
            try:
                os.link(entry.path, place, follow_symlinks=False)
            except OSError:  # another file system, or too many
                shutil.copy2(entry.path, place, follow_symlinks=False)


def put_into(upper: Path, folder: Path) -> None:
    """Put what a layer has into a plain folder, as an overlay would show both."""
    for entry in os.scandir(upper):
        place = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            _make_folder(entry, place)
            put_into(Path(entry.path), place)
            continue
        make_way(place)
        if entry.is_symlink() or entry.is_file():
            shutil.copy2(entry.path, place, follow_symlinks=False)


def _make_folder(entry: os.DirEntry[str], place: Path) -> bool:
    """Make a folder as one of an upper layer is; return whether it hides what is in it further below."""
    hides = is_opaque(entry.path)
    if hides or place.is_symlink() or not place.is_dir():
        hides = hides or os.path.lexists(place)
        make_way(place)
        place.mkdir()
    shutil.copymode(entry.path, place)
    return hides
