"""What the tests of runs share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "agents"))  # for `endpoint`, the model server of tests


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one commit and an uncommitted change."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / "lib.py").write_text("def fetch(url):\n    return url\n")
    (root / "app.py").write_text("import lib\n\nprint(lib.fetch('a'))\n")
    (root / "notes.txt").write_text("first\n")
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "start"],
    ):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    (root / "notes.txt").write_text("first\nnot committed\n")
    return root
