"""Trees that tasks work on: made by a script, copied, and compared."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TypeAlias

from coagent.errors import CoAgentError
from coagent.toolsmith.parts import parts_of

Tree: TypeAlias = dict[str, tuple[str, int, bytes]]
"""Relative path to kind ("file", "folder", "link"), permission bits, and contents or where it leads."""

_TIMEOUT_S = 60.0


def run_bash(command: str, root: Path, **variables: str) -> tuple[int, str]:
    """Run a command in plain bash and return its exit code and its output, both streams together."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=root,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


def build(setup: str, root: Path) -> Path:
    """Make the tree of a task file in a new folder.

    Raises:
        CoAgentError: The script fails.
    """
    root.mkdir()
    code, output = run_bash(setup, root)
    if code:
        raise CoAgentError(
            f"the setup of the tasks ends with {code}: {output.strip()}", "Correct the task file."
        )
    return root


def fresh_copy(template: Path, root: Path) -> Path:
    """Copy a tree, times included but without what CoAgent keeps in it, to a folder that is made anew."""
    if root.exists():
        shutil.rmtree(root)

    def kept(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name == ".coagent" and Path(folder) == template]

    shutil.copytree(template, root, symlinks=True, ignore=kept)
    return root


def tree_of(root: Path) -> Tree:
    """Return all names, modes and contents of a tree, but for what CoAgent keeps in it."""
    found: Tree = {}
    for folder, folders, names in os.walk(root):
        if Path(folder) == root and ".coagent" in folders:
            folders.remove(".coagent")
        for name in (*folders, *names):
            path = Path(folder) / name
            mode = path.lstat().st_mode
            relative = path.relative_to(root).as_posix()
            if stat.S_ISLNK(mode):
                found[relative] = ("link", 0, os.readlink(path).encode())
            elif stat.S_ISDIR(mode):
                found[relative] = ("folder", stat.S_IMODE(mode), b"")
            else:
                found[relative] = ("file", stat.S_IMODE(mode), path.read_bytes())
    return found


def differing(left: Tree, right: Tree) -> list[str]:
    """Return the paths at which two trees differ.

    Databases are compared by what is in them: which page holds what depends on how they came about.
    """
    return sorted(path for path in left.keys() | right.keys() if not _same(path, left, right))


def _same(path: str, left: Tree, right: Tree) -> bool:
    one, other = left.get(path), right.get(path)
    if one == other or one is None or other is None or one[:2] != other[:2]:
        return one == other
    if path.endswith(".db"):
        parts = parts_of(path, one[2])
        return parts is not None and parts == parts_of(path, other[2])
    return False
