"""What the governed shell adds to a command: the same commands in plain bash, coarse and traced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio

from coagent.errors import CoAgentError
from coagent.runtime.domain import open_domain
from coagent.systems.files.target import Files
from coagent.systems.shell.commands import CommandRunner
from coagent.systems.shell.tools import bash_tool
from coagent_lab.bench.samples import machine, percentile

_TIMEOUT_S = 600.0
_PAUSE_S = 0.05
"""Before each command, however it is run, as agents think between commands."""
_IN_FOLDER = 20
_SOURCES = 40


@dataclass(frozen=True)
class ShellTimes:
    """Seconds by command and way of running it, and what they depend on.

    Args:
        files: How many files the workspace has; None for a workspace of the user's own.
        tracer: What followed look-ups: "c" or "python".
        samples: Command to way (plain, coarse, traced) to how long each run took.
    """

    files: int | None
    tracer: str
    samples: dict[str, dict[str, list[float]]]

    def as_data(self) -> dict[str, Any]:
        """Return medians, and ratios to plain bash, as JSON data."""
        commands: dict[str, Any] = {}
        for name, ways in self.samples.items():
            medians = {way: percentile(found, 0.5) for way, found in ways.items()}
            commands[name] = {
                "plain_s": round(medians["plain"], 4),
                "coarse_s": round(medians["coarse"], 4),
                "traced_s": round(medians["traced"], 4),
                "coarse_ratio": round(medians["coarse"] / medians["plain"], 3),
                "traced_ratio": round(medians["traced"] / medians["plain"], 3),
            }
        count = len(next(iter(self.samples.values()))["plain"])
        return {
            "parameters": {"files": self.files, "samples": count, "tracer": self.tracer},
            "machine": machine(),
            "commands": commands,
        }


def measure(
    files: int,
    samples: int,
    progress: Callable[[int], None],
    *,
    root: Path | None = None,
    command: str | None = None,
) -> ShellTimes:
    """Run commands in each way, by turns, in a scratch workspace or in one of the user's own.

    Args:
        files: How many files the scratch workspace has.
        samples: How often each command is timed in each way, after one run that is not.
        progress: Called with the number of rounds done.
        root: A workspace of the user's own; the command must leave it as it is.
        command: The command to time; by default some that are common.

    Raises:
        CoAgentError: A command fails.
    """
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as scratch:
        place = root or Path(scratch).resolve()
        if root is None:
            _make(place, files)
        commands = {command: command} if command else _common()
        found: dict[str, dict[str, list[float]]] = {name: {} for name in commands}
        tracer = anyio.run(_measure, place, commands, samples, progress, found)
    return ShellTimes(None if root else files, tracer, found)


async def _measure(
    root: Path,
    commands: dict[str, str],
    samples: int,
    progress: Callable[[int], None],
    found: dict[str, dict[str, list[float]]],
) -> str:
    files = Files(root)
    coarse, traced = (CommandRunner(files.workspace, trace=trace) for trace in (False, True))
    async with (
        open_domain("memory:", targets=[files], tools=[bash_tool(coarse)]) as one,
        open_domain("memory:", targets=[files], tools=[bash_tool(traced)]) as other,
    ):
        agents = {"coarse": await one.join("A"), "traced": await other.join("A")}

        async def run(way: str, command: str) -> int:
            if way == "plain":
                done = subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, check=False)
                return done.returncode
            outcome = await agents[way].call("bash", command=command, timeout_s=_TIMEOUT_S)
            return int(outcome.value["exit_code"])

        for number in range(samples + 1):
            for name, command in commands.items():
                for way in ("plain", "coarse", "traced"):
                    time.sleep(_PAUSE_S)
                    start = perf_counter()
                    code = await run(way, command)
                    seconds = perf_counter() - start
                    if code:
                        raise CoAgentError(f"{command!r} ends with {code} ({way})", "Time one that succeeds.")
                    if number:
                        found[name].setdefault(way, []).append(seconds)
            progress(number)
    return traced.tracer


def _make(root: Path, files: int) -> None:
    for number in range(files):
        folder = root / f"package{number // _IN_FOLDER}"
        folder.mkdir(exist_ok=True)
        name = f"test_part{number}.py" if number % 2 else f"part{number}.py"
        text = f"VALUE = {number}\n" * 20
        if number % 2:
            text = (
                f"import unittest\nfrom part{number - 1} import VALUE\n\n\n"
                "class Test(unittest.TestCase):\n"
                f"    def test(self):\n        self.assertEqual(VALUE + 0 * sum(range(9**5)), {number - 1})\n"
            )
        (folder / name).write_text(text)
    _make_sources(root / "native")
    _set_back(root)
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "begin"]):
        who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def _set_back(root: Path) -> None:
    """Make the files an hour old: git reads again what is as young as its index, and few trees are."""
    then = time.time() - 3600
    for place in root.rglob("*"):
        os.utime(place, (then, then))


def _make_sources(folder: Path) -> None:
    """Make a small C program of many files, built elsewhere so that the workspace stays as it is."""
    folder.mkdir()
    (folder / "all.h").write_text("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
    for number in range(_SOURCES):
        text = f'#include "all.h"\nint part{number}(char *text) {{ return strlen(text) + {number}; }}\n'
        (folder / f"part{number}.c").write_text(text)
    (folder / "Makefile").write_text(
        "OUT ?= .\nall: $(patsubst %.c,$(OUT)/%.o,$(wildcard *.c))\n"
        "$(OUT)/%.o: %.c all.h\n\t$(CC) -O1 -c $< -o $@\n"
    )


def _build() -> str:
    if shutil.which("cc") and shutil.which("make"):
        return 'out=$(mktemp -d) && make -s -C native OUT="$out" && rm -r "$out"'
    return (
        f'out=$(mktemp -d) && PYTHONPYCACHEPREFIX="$out" {sys.executable} -m compileall -q . && rm -r "$out"'
    )


def _common() -> dict[str, str]:
    python = f"{sys.executable} -B"
    return {
        "git status": "git status --short",
        "a search": "grep -r VALUE . > /dev/null",
        "a test suite": 'for one in package*; do PYTHONPATH="$one" '
        f'{python} -m unittest discover -q -s "$one" || exit 1; done',
        "a build": _build(),
        "an archive": "tar c --exclude=.git . | gzip -1 > /dev/null",
        "200 small programs": "for i in $(seq 200); do /bin/true; done",
    }
