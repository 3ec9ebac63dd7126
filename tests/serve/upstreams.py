"""Real public MCP servers for tests, installed once into a cache; where that cannot be, tests are skipped.

Those that need what the development environment has are in it. The others are pinned here and in `servers/`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("COAGENT_TEST_CLIENTS") or Path(__file__).parents[2] / ".cache" / "clients")
DOCUMENT = Path(__file__).parents[2] / "docs" / "upstream.md"
LOCK = Path(__file__).parent / "servers" / "package-lock.json"
SQLITE = ["mcp-server-sqlite==2025.4.25", "mcp==1.30.0"]
"""It needs a library of another version than ours, so it is in a folder of its own."""
_INSTALL_S_MAX = 300


@cache
def npm_server(name: str) -> list[str]:
    """Return the command of a server from npm: "mcp-server-filesystem" or "mcp-server-memory"."""
    if shutil.which("npm") is None:
        pytest.skip(f"npm is not there to install {name} with")
    folder = CACHE / f"npm-servers-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    copy = f"cp {LOCK.parent}/package.json {LOCK} {folder}"
    _once(folder, ["sh", "-c", f"{copy} && npm ci --silent --no-audit --no-fund --prefix {folder}"])
    return [str(folder / "node_modules" / ".bin" / name)]


def python_server(name: str) -> list[str]:
    """Return the command of a server that is in the development environment: "mcp-server-git", "…-time"."""
    return [str(Path(sys.executable).parent / name)]


@cache
def sqlite_server() -> list[str]:
    """Return the command of the SQLite server, without its options."""
    folder = CACHE / f"server-sqlite-{sys.version_info.major}.{sys.version_info.minor}"
    _once(folder, [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), *SQLITE])
    begin = f"import sys; sys.path.insert(0, {str(folder)!r}); from mcp_server_sqlite import main; main()"
    return [sys.executable, "-c", begin]


def documented(name: str, **replaced: str | list[str]) -> str:
    """Return the declarations of a server as docs/upstream.md has them.

    Args:
        name: The server's, in its table.
        replaced: What stands for the command ("command") and for paths (`srv_data` for "/srv/data").
    """
    blocks = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.S)
    block = next(one for one in blocks if f'name = "{name}"' in one)
    for place, real in replaced.items():
        if isinstance(real, list):
            words = json.dumps(real)[1:-1]
            block = re.sub(r'command = \["[^"]*"', f"command = [{words}".replace("\\", r"\\"), block)
        else:
            block = block.replace("/" + place.replace("_", "/"), real)
    return block


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
