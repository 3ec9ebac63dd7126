"""Runs the command line as a process of its own, as users do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SRC = str(Path(__file__).parents[2] / "src")


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the command is found and nothing asks for colour."""
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    return {**plain, "PYTHONPATH": SRC, "COLUMNS": "80", **more}


def coagent(*arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m coagent` with arguments; keywords are environment variables."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "coagent", *arguments],
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
