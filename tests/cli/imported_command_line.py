"""Starts the process that imports what commands need, once for a test worker."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def started(modules: Sequence[str], environment: Mapping[str, str], *options: str) -> str:
    """Start a process that imports modules, with options of Python; it ends with this one.

    To import them takes longer than most commands do.

    Returns:
        The socket by which commands are asked for.
    """
    place = str(Path(tempfile.mkdtemp(prefix="coagent-imported-")) / "socket")
    program = str(Path(__file__).with_name("command_line_process.py"))
    process = subprocess.Popen(
        [sys.executable, *options, program, place, *modules],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    _held.append(process)
    return place


_held: list[subprocess.Popen[str]] = []
"""They end when their input is closed, and this process holds it."""
