"""Runs the command line in processes of their own, as users do.

Each forks from one process for a test worker that has imported the command line already. `test_cli_main.py`
has commands that start from nothing.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from forked_command import ForkedCommand
from imported_command_line import started

SRC = str(Path(__file__).parents[2] / "src")
_IMPORTED = (
    "coagent.audit.audit",
    "coagent_lab.bench.contended.ten",
    "coagent.systems.documents.tools",
    "coagent.systems.files.tools",
    "coagent.systems.kubernetes.tools",
    "coagent.systems.sql.tools",
    "coagent_lab.cli.bench",
    "coagent_lab.cli.bench_bash",
    "coagent_lab.cli.bench_contended",
    "coagent.cli.accept",
    "coagent.cli.check",
    "coagent.cli.demo",
    "coagent.cli.doctor.command",
    "coagent.cli.init",
    "coagent.cli.log",
    "coagent.cli.main",
    "coagent.cli.resolve",
    "coagent.cli.restore",
    "coagent.cli.run",
    "coagent.cli.serve",
    "coagent.cli.status",
    "coagent.cli.tools",
    "coagent.cli.undo",
    "coagent.config.domain_file",
    "coagent_lab.demos.canary",
    "coagent.demos.repo",
    "coagent.log.postgres",
    "coagent.log.sqlite",
    "coagent.systems.documents.target",
    "coagent.systems.files.target",
    "coagent.systems.kubernetes.target",
    "coagent.systems.sql.target",
    "rich.table",
)


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which the command is found and nothing asks for colour."""
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    return {**plain, "PYTHONPATH": SRC, "COLUMNS": "80", **more}


@cache
def imported() -> str:
    """Return the socket of the process that has imported the command line."""
    return started(_IMPORTED, environment(), "-W", "error")


def coagent(*arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `coagent` with arguments; keywords are environment variables."""
    with (
        open(os.devnull) as nothing,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        streams = [one.fileno() for one in (nothing, output, errors)]
        command = ForkedCommand(imported(), arguments, streams, str(cwd or Path.cwd()), environment(**more))
        exit_code = command.wait()
        for one in (output, errors):
            one.seek(0)
        return subprocess.CompletedProcess(["coagent", *arguments], exit_code, output.read(), errors.read())
