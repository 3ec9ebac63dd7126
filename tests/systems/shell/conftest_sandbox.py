"""A workspace with a governed shell."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import coagent
from coagent.systems.files.target import Files
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.shell.tools import bash_tools
from coagent.systems.shell.views.overlay import available

Shells = Callable[..., AbstractAsyncContextManager[coagent.Domain]]

SOURCES = [
    str(Path(__file__).parent),
    str(Path(coagent.__file__).parents[1]),
    *(one for one in sys.path if one.endswith("site-packages")),
]
"""Where a program finds this package, and what the tests need."""

IN_COPIES = os.environ.get("COAGENT_TEST_VIEW") == "copy"

needs_views = pytest.mark.skipif(bool(available()), reason=available() or "private views can be had")


@asynccontextmanager
async def shells(root: Path, *, url: str = "memory:", **options: Any) -> AsyncIterator[coagent.Domain]:
    """Open a domain over a folder whose agents have files and a shell.

    The variable COAGENT_TEST_VIEW has all tests run in views of one kind.
    """
    options.setdefault("view", os.environ.get("COAGENT_TEST_VIEW", "auto"))
    files = Files(root)
    tools = [FILE_TOOLS, bash_tools(files.workspace, **options)]
    async with coagent.open_domain(url, targets=[files], tools=tools) as domain:
        yield domain


def tree(root: Path) -> dict[str, tuple[bytes, str]]:
    """Return the files, links and empty folders of a folder: what they hold, and their rights or kind."""
    found = {}
    for at, folders, names in os.walk(root):
        if Path(at) == root:
            folders[:] = [name for name in folders if name not in (".git", ".coagent")]
        elif not folders and not names:
            found[Path(at).relative_to(root).as_posix()] = (b"", "folder")
        for path in (Path(at) / name for name in (*names, *folders)):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                found[name] = (os.fsencode(path.readlink()), "link")
            elif path.is_file():
                found[name] = (path.read_bytes(), f"{stat.S_IMODE(path.stat().st_mode):04o}")
    return found


def ordinary_python() -> str:
    """Return a Python of this version that every user may run; skips the test where there is none."""
    for name in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        real = Path(name).resolve()
        if real.is_file() and all(one.stat().st_mode & 0o001 for one in (real, *real.parents)):
            return name
    pytest.skip("there is no Python of this version that others may run")


def give_away(folder: Path) -> None:
    """Make a folder in the temporary one nobody's, who may then come to it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)
    for path in folder.parents:
        if path.is_relative_to(tempfile.gettempdir()) and path != Path(tempfile.gettempdir()):
            path.chmod(0o755)


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says."""
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    done = subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A small repository."""
    root = tmp_path / "work"
    (root / "src").mkdir(parents=True)
    (root / "a.txt").write_text("one\n")
    (root / "b.txt").write_text("two\n")
    (root / "src/run.sh").write_text("#!/bin/sh\necho ran\n")
    (root / "src/run.sh").chmod(0o755)
    (root / "data.bin").write_bytes(bytes(range(256)))
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "begin")
    return root
