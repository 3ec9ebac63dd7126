"""What one command has left in temporary folders, made fit to be kept: one layer, named by its content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from coagent.overlay_layers import is_opaque, is_whiteout, make_way, put_over
from coagent.scratch import PREFIX

TEMPORARY = "of-this-command"
"""What a command has for $TMPDIR in /tmp, where overlays can be had."""
_ENTRY_BYTES = 512


def has_left(upper: Path) -> bool:
    """Tell whether there is anything in a folder that a command wrote to, but for what it found there."""
    try:
        names = os.listdir(upper)
    except OSError:
        return False
    if names == [TEMPORARY]:
        place = upper / TEMPORARY
        return not stat.S_ISDIR(place.lstat().st_mode) or bool(os.listdir(place))
    return bool(names)


def tidy(upper: Path, real: Path | None) -> None:
    """Remove what is not kept: pipes, sockets, and what concerns the sandbox's own folders.

    What its owner could not look into is opened to him: who is not root could not keep it.

    Args:
        upper: Where a command has written.
        real: The folder that was below that in the end, if there was one.
    """
    upper.chmod(0o1777)
    for name in os.listdir(upper):
        place = upper / name
        mine = name.startswith(PREFIX) and real is not None
        mine = mine and (is_whiteout(place) or os.path.lexists(f"{real}/{name}"))
        empty = name == TEMPORARY and stat.S_ISDIR(place.lstat().st_mode) and not os.listdir(place)
        if mine or empty:
            make_way(place)
    for at, _, names in _walk_opened(upper):
        for name in names:
            place = Path(at) / name
            mode = place.lstat().st_mode
            if stat.S_ISREG(mode):
                if not mode & stat.S_IRUSR:
                    place.chmod(stat.S_IMODE(mode) | stat.S_IRUSR)
            elif not stat.S_ISLNK(mode) and not is_whiteout(place):
                place.unlink()


def _walk_opened(upper: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder in order, and open what its owner may not look into."""
    for at, folders, names in os.walk(upper):
        folders.sort()
        for name in folders:
            place = Path(at) / name
            mode = place.lstat().st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
                place.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
        links = [name for name in folders if (Path(at) / name).is_symlink()]
        yield at, folders, [*names, *links]


def prune(upper: Path, below: Sequence[Path]) -> None:
    """Remove folders in which nothing has changed: something came there and went again.

    Args:
        upper: Where a command has written.
        below: What it saw below that, the highest first.
    """
    for at, _, _ in os.walk(upper, topdown=False):
        path = os.path.relpath(at, upper)
        if path == "." or os.listdir(at) or is_opaque(at):
            continue
        before = _below(path, upper, below)
        if before is not None and before.st_mode == os.lstat(at).st_mode:
            os.rmdir(at)


def _below(path: str, upper: Path, below: Sequence[Path]) -> os.stat_result | None:
    """Return what the layers below have at a path, the highest first; None where nothing of it is seen."""
    parts = path.split("/")
    above = ["/".join(parts[:length]) for length in range(1, len(parts))]
    if any(is_opaque(f"{upper}/{folder}") for folder in above):
        return None
    for layer in below:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.lstat(layer / path)
        for place in (f"{layer}/{folder}" for folder in above):
            if os.path.lexists(place) and (
                os.path.islink(place) or not os.path.isdir(place) or is_opaque(place)
            ):
                return None
    return None


def move(upper: Path, place: Path) -> None:
    """Move what is in a folder to a new one: the folder itself may still be mounted somewhere."""
    place.mkdir()
    for name in os.listdir(upper):
        try:
            (upper / name).rename(place / name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            put_over(upper, place)
            return


def name_and_size(layer: Path) -> tuple[str, int]:
    """Return a name for the content of a layer, and its size in bytes."""
    found = hashlib.blake2b(digest_size=16)
    size = 0
    for at, folders, names in os.walk(layer):
        folders.sort()
        here = os.path.relpath(at, layer)
        kept = [name for name in folders if os.path.islink(f"{at}/{name}")]
        mode = stat.S_IMODE(os.lstat(at).st_mode) if "/" in here else 0
        found.update(_record("o" if is_opaque(at) else "d", here, f"{mode:o}"))
        for name in sorted((*names, *kept)):
            path, place = f"{here}/{name}", f"{at}/{name}"
            status = os.lstat(place)
            size += _ENTRY_BYTES + status.st_blocks * 512
            if stat.S_ISLNK(status.st_mode):
                found.update(_record("l", path, os.readlink(place)))
            elif stat.S_ISREG(status.st_mode):
                with open(place, "rb") as file:
                    content = hashlib.file_digest(file, "blake2b").hexdigest()
                found.update(_record("f", path, f"{stat.S_IMODE(status.st_mode):o} {content}"))
            else:
                found.update(_record("w", path, ""))
        size += _ENTRY_BYTES * (1 + len(folders))
    return found.hexdigest(), size


def _record(kind: str, path: str, more: str) -> bytes:
    return os.fsencode(f"{kind}\0{path}\0{more}\0")
