"""The git folder of a private view: a layer over the real one, seeded before a command and read after it.

The real folder stays as it is under the layer. What the layer holds or hides before the command is what its
agent has there; what differs afterwards is what the command has done.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import stat
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from coagent.errors import TargetError, ToolFailed
from coagent.overlay_layers import is_opaque, put_whiteout

# Not an agent's own: kept elsewhere, made anew by git, or of no use to anybody.
_ELSEWHERE = re.compile(
    r"HEAD|packed-refs|index|COMMIT_EDITMSG|FETCH_HEAD|gc\.log|objects/.*|sharedindex\..*|refs/heads/.*|"
    r"(.*/)?\.nfs[^/]*|.*\.lock"
)
_REFS_OWN = re.compile(r"refs/(stash|bisect/.*|worktree/.*|rewritten/.*)")
OBJECTS = "objects"
"""What is in this folder is kept from where it was made, so layers need not have it."""
_OBJECT = re.compile(r"[0-9a-f]{2}/(?:[0-9a-f]{38}|[0-9a-f]{62})")
_OWN_BYTES_MAX = 4 * 1024 * 1024


class Own(NamedTuple):
    """A file of the git folder that is an agent's own."""

    data: bytes
    executable: bool


def write_layer(layer: Path, git: Path, own: Mapping[str, Own | None]) -> None:
    """Put an agent's own files over a git folder, and hide all references and logs that are not among them.

    Args:
        layer: Where they are put: the upper layer of an overlay.
        git: The real git folder.
        own: Relative paths to files; None where the real file is not there for the agent.

    Raises:
        TargetError: The layer cannot be written.
    """
    try:
        layer.mkdir(parents=True, exist_ok=True)
        for path, file in own.items():
            place = layer / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if file is None:
                if os.path.lexists(git / path):
                    _hide(place)
                continue
            place.write_bytes(file.data)
            place.chmod(0o755 if file.executable else 0o644)
        (layer / "refs").mkdir(exist_ok=True)
        _cover(layer / "refs", git / "refs")
        if (layer / "logs").is_dir():
            _cover(layer / "logs", git / "logs")
        elif os.path.lexists(git / "logs"):
            _hide(layer / "logs")
    except OSError as error:
        raise TargetError(
            f"the git folder of the view in {str(layer)!r} cannot be made: {error.strerror}",
            "Free some space there.",
        ) from error


def to_hide(git: Path) -> tuple[str, ...]:
    """Return the names in a git folder of which `write_layer` hides those that are not the agent's own."""
    found: list[str] = []
    _list_below(f"{git}/refs", found)
    _list_below(f"{git}/logs", found)
    return tuple(found)


def _list_below(folder: str, found: list[str]) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            found.append(entry.path)
            if entry.is_dir(follow_symlinks=False):
                _list_below(entry.path, found)


def _cover(layer: Path, real: Path) -> None:
    """Hide what a real folder has and the layer has not."""
    if not real.is_dir():
        return
    for name in os.listdir(real):
        if not os.path.lexists(layer / name):
            _hide(layer / name)
        elif (layer / name).is_dir():
            _cover(layer / name, real / name)


def _hide(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    put_whiteout(place)


def is_untouched(upper: Path) -> bool:
    """Tell whether a command has left nothing in the layer that it wrote to, but folders that were there."""
    if not upper.is_dir():
        return True
    return not any(names or is_opaque(at) for at, _, names in os.walk(upper))


def own_files(layer: Path, git: Path) -> dict[str, Own | None]:
    """Return what is an agent's own in a layer, after a command as before it.

    Raises:
        ToolFailed: It is too much to be kept.
    """
    found: dict[str, Own | None] = {}
    size = 0
    for at, folders, names in os.walk(layer):
        here = os.path.relpath(at, layer)
        if here == ".":
            folders[:] = [name for name in folders if name != "objects"]
        for name in names:
            path = os.path.normpath(os.path.join(here, name))
            place = Path(at) / name
            status = place.lstat()
            if _ELSEWHERE.fullmatch(path) or (path.startswith("refs/") and not _REFS_OWN.fullmatch(path)):
                continue
            if stat.S_ISCHR(status.st_mode):
                if path != "logs" and not path.startswith(("logs/", "refs/")) and os.path.lexists(git / path):
                    found[path] = None
            elif stat.S_ISREG(status.st_mode):
                size += status.st_size
                if size > _OWN_BYTES_MAX:
                    raise ToolFailed(
                        f"the command leaves more than {_OWN_BYTES_MAX} bytes in the git folder beside "
                        f"objects ({path})",
                        "Nothing that it did was kept. Leave such settings to a person.",
                    )
                found[path] = Own(place.read_bytes(), bool(status.st_mode & 0o100))
    return found


def keep_objects(layer: Path, git: Path, unpack: Callable[[bytes], None]) -> None:
    """Put the objects that a command has made among those of the real repository.

    They are named by their content, so they can do no harm there; a name that belies its content is passed
    over.

    Args:
        layer: The layer.
        git: The real git folder.
        unpack: Takes a pack, checks it and keeps it.
    """
    made = layer / "objects"
    if not made.is_dir():
        return
    for folder in os.scandir(made):
        if not folder.is_dir(follow_symlinks=False) or len(folder.name) != 2:
            continue
        for entry in os.scandir(folder.path):
            name = f"{folder.name}/{entry.name}"
            place = git / "objects" / name
            if _OBJECT.fullmatch(name) and entry.is_file(follow_symlinks=False) and not place.exists():
                _keep_object(Path(entry.path), place, name.replace("/", ""))
    if (made / "pack").is_dir():
        for pack in sorted((made / "pack").glob("*.pack")):
            if pack.is_file() and not pack.is_symlink() and not (git / "objects/pack" / pack.name).exists():
                unpack(pack.read_bytes())


def _keep_object(made: Path, place: Path, name: str) -> None:
    data = made.read_bytes()
    make = hashlib.sha1 if len(name) == 40 else hashlib.sha256
    try:
        if make(zlib.decompress(data)).hexdigest() != name:
            return
    except zlib.error:
        return
    place.parent.mkdir(exist_ok=True)
    temporary = place.with_name(f"tmp_obj_{secrets.token_hex(8)}")
    try:
        temporary.write_bytes(data)
        temporary.chmod(0o444)
        shutil.move(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
