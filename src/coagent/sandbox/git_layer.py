"""What a command has done to the git folder of its private view, and whether that may be lost.

The view's git folder goes with it. That git has refreshed what it knows of files is no loss; a commit or a
stash would be.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

_HARMLESS = ("index", "COMMIT_EDITMSG", "FETCH_HEAD", "gc.log", "ORIG_HEAD")
_GIT_S_MAX = 60


class GitChange(NamedTuple):
    """What a command has done to the git folder of its view.

    Args:
        serious: The files of the git folder that it changed and that must not be lost.
        staged: Whether it staged something.
    """

    serious: list[str]
    staged: bool


def git_change(layer: Path, git: Path) -> GitChange:
    """Return what a command has changed in the git folder.

    Args:
        layer: What it has written there (the upper layer of an overlay).
        git: The real git folder.
    """
    if not layer.is_dir():
        return GitChange([], False)
    changed = []
    for at, folders, names in os.walk(layer):
        if Path(at) == layer:
            folders[:] = [name for name in folders if name not in ("objects", "logs")]
        changed += [os.path.relpath(os.path.join(at, name), layer) for name in names]
    serious = sorted(name for name in changed if name not in _HARMLESS and not name.endswith(".lock"))
    staged = "index" in changed and _staged(layer / "index", git) != _staged(git / "index", git)
    return GitChange(serious, staged)


def _staged(index: Path, git: Path) -> bytes:
    environment = {**os.environ, "GIT_INDEX_FILE": str(index), "GIT_DIR": str(git)}
    listing = ["git", "ls-files", "--stage", "-z"]
    return subprocess.run(
        listing, env=environment, capture_output=True, check=False, timeout=_GIT_S_MAX
    ).stdout
