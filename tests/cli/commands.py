"""Runs the command line in processes of their own, as users do.

Each forks from one process for a test worker that has imported the command line already: to import it takes
longer than most commands do. `test_cli_main.py` has commands that start from nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SRC = str(Path(__file__).parents[2] / "src")


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the command is found and nothing asks for colour."""
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    return {**plain, "PYTHONPATH": SRC, "COLUMNS": "80", **more}


@cache
def imported() -> subprocess.Popen[str]:
    """Return the process that has imported the command line; it ends with this one, which holds its input."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("command_line_process.py"))],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def coagent(*arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `coagent` with arguments; keywords are environment variables."""
    process = imported()
    assert process.stdin is not None
    assert process.stdout is not None
    with tempfile.TemporaryDirectory(prefix="coagent-output-") as folder:
        outputs = [Path(folder) / "stdout", Path(folder) / "stderr"]
        for output in outputs:
            output.touch()
        asked = {
            "arguments": arguments,
            "cwd": str(cwd or Path.cwd()),
            "environment": environment(**more),
            "outputs": [str(output) for output in outputs],
        }
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        exit_code = int(process.stdout.readline())
        stdout, stderr = (output.read_text() for output in outputs)
    return subprocess.CompletedProcess(["coagent", *arguments], exit_code, stdout, stderr)
