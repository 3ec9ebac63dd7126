"""Real public MCP servers for tests, installed once into a cache; where that cannot be, tests are skipped."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("COAGENT_TEST_CLIENTS") or Path(__file__).parents[2] / ".cache" / "clients")
FILESYSTEM = "@modelcontextprotocol/server-filesystem@2026.8.31"
GIT = "mcp-server-git==2026.10.19"
_INSTALL_S_MAX = 300


@cache
def filesystem_server() -> list[str]:
    """Return the command of the reference filesystem server, without its folders."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not there to install the filesystem server with")
    folder = CACHE / "server-filesystem"
    _once(folder, ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), FILESYSTEM])
    return [str(folder / "node_modules" / ".bin" / "mcp-server-filesystem")]


@cache
def git_server() -> list[str]:
    """Return the command of the git server, in an environment of its own."""
    folder = CACHE / "server-git"
    install = f"{sys.executable} -m venv {folder} && {folder}/bin/python -m pip install -q {GIT}"
    _once(folder, ["sh", "-c", install])
    return [str(folder / "bin" / "mcp-server-git")]


def _once(folder: Path, install: list[str]) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "complete").exists():
            return
        folder.mkdir(exist_ok=True)
        done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=_INSTALL_S_MAX)
        if done.returncode != 0:
            pytest.skip(f"{folder.name} cannot be installed: {done.stderr[-300:]}")
        (folder / "complete").touch()
