"""What the governed shell adds to a command: the same commands in plain bash, coarse and traced."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio

from coagent.bench.samples import machine, percentile
from coagent.builtin.bash import bash_tools
from coagent.errors import CoAgentError
from coagent.runtime.domain import open_domain
from coagent.targets.files import Files

_TIMEOUT_S = 600.0
_IN_FOLDER = 20


@dataclass(frozen=True)
class ShellTimes:
    """Seconds by command and way of running it, and what they depend on.

    Args:
        files: How many files the workspace has; None for a workspace of the user's own.
        samples: Command to way (plain, coarse, traced) to how long each run took.
    """

    files: int | None
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
            "parameters": {"files": self.files, "samples": count},
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
        anyio.run(_measure, place, commands, samples, progress, found)
    return ShellTimes(None if root else files, found)


async def _measure(
    root: Path,
    commands: dict[str, str],
    samples: int,
    progress: Callable[[int], None],
    found: dict[str, dict[str, list[float]]],
) -> None:
    files = Files(root)
    coarse, traced = (bash_tools(files.workspace, trace=trace) for trace in (False, True))
    async with (
        open_domain("memory:", targets=[files], tools=coarse) as one,
        open_domain("memory:", targets=[files], tools=traced) as other,
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
                    start = perf_counter()
                    code = await run(way, command)
                    seconds = perf_counter() - start
                    if code:
                        raise CoAgentError(f"{command!r} ends with {code} ({way})", "Time one that succeeds.")
                    if number:
                        found[name].setdefault(way, []).append(seconds)
            progress(number)


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
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "begin"]):
        who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def _common() -> dict[str, str]:
    python = f"{sys.executable} -B"
    return {
        "git status": "git status --short",
        "a search": "grep -r VALUE . > /dev/null",
        "a test suite": 'for one in package*; do PYTHONPATH="$one" '
        f'{python} -m unittest discover -q -s "$one" || exit 1; done',
        "an archive": "tar c --exclude=.git . | gzip -1 > /dev/null",
        "200 small programs": "for i in $(seq 200); do /bin/true; done",
    }
