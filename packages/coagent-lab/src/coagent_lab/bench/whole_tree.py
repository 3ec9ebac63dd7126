"""What the governed shell adds to commands that look at a whole tree, and to edits.

Each is run by turns in plain bash, in a copy of the tree, and by an agent: first by one at work alone, then
by one that comes before another in the order, whose work is hidden from it.
"""

from __future__ import annotations

import os
import subprocess
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
from coagent.runtime.session import AgentSession
from coagent.systems.files.target import Files
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.shell.commands import CommandRunner
from coagent.systems.shell.tools import bash_tool
from coagent_lab.bench.samples import machine, percentile

_TIMEOUT_S = 600.0
_IN_FOLDER = 100
_WAYS = ("alone, first", "alone, later", "before another, first", "before another, later")
_WHO = {"GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@example.com"}
_ENVIRONMENT = _WHO | {one.replace("AUTHOR", "COMMITTER"): value for one, value in _WHO.items()}
_COMMANDS = {
    "true": "true",
    "git status": "git status --short",
    "git grep": "git grep -n 'VALUE = 9 ' | wc -l",
    "grep -rn": "grep -rn 'VALUE = 8 ' . | wc -l",
    "git add -A && git commit": "echo {n} >> package1/part101.py; git add -A && git commit -qm 'one {n}'",
    "git commit -a": "echo {n} >> package1/part102.py; git commit -qam 'two {n}'",
}


@dataclass(frozen=True)
class WholeTreeTimes:
    """Seconds by command and way of running it, and what they depend on.

    Args:
        files: How many files the tree has.
        plain: Command to how long each run took in plain bash.
        governed: Command to way (alone or before another, first or later) to how long each run took.
        edits: Way to how long each edit of a file took.
    """

    files: int
    plain: dict[str, list[float]]
    governed: dict[str, dict[str, list[float]]]
    edits: dict[str, list[float]]

    def as_data(self) -> dict[str, Any]:
        """Return medians, and ratios to plain bash, as JSON data."""
        commands: dict[str, Any] = {}
        for name, ways in self.governed.items():
            plain = percentile(self.plain[name], 0.5)
            medians = {way: percentile(found, 0.5) for way, found in ways.items()}
            commands[name] = {
                "plain_s": round(plain, 4),
                "governed_s": {way: round(one, 4) for way, one in medians.items()},
                "ratios": {way: round(one / plain, 2) for way, one in medians.items()},
            }
        edits = {way: round(percentile(found, 0.5), 4) for way, found in self.edits.items()}
        return {
            "parameters": {"files": self.files},
            "machine": machine(),
            "commands": commands,
            "edit_s": edits,
        }


def measure(files: int, samples: int, progress: Callable[[int], None]) -> WholeTreeTimes:
    """Run the commands in a scratch tree.

    Args:
        files: How many files it has.
        samples: How often each later command is timed.
        progress: Called with the number of commands done.

    Raises:
        CoAgentError: A command fails.
    """
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as scratch:
        root, copy = Path(scratch).resolve() / "tree", Path(scratch).resolve() / "plain"
        root.mkdir()
        _make(root, files)
        subprocess.run(["cp", "-a", str(root), str(copy)], check=True)
        _plainly("git update-index -q --refresh", copy)
        found = WholeTreeTimes(files, {}, {name: {} for name in _COMMANDS}, {})
        anyio.run(_measure, root, copy, samples, progress, found)
    return found


async def _measure(
    root: Path, copy: Path, samples: int, progress: Callable[[int], None], found: WholeTreeTimes
) -> None:
    files = Files(root)
    tools = [FILE_TOOLS, bash_tool(CommandRunner(files.workspace))]
    done = 0

    async def run(agent: AgentSession, way: str) -> None:
        nonlocal done
        for name, text in _COMMANDS.items():
            for number in range(samples + 1):
                command = text.replace("{n}", f"{way} {number}")
                found.plain.setdefault(name, []).append(_plainly(command, copy))
                start = perf_counter()
                outcome = await agent.call("bash", command=command, timeout_s=_TIMEOUT_S)
                seconds = perf_counter() - start
                if outcome.value["exit_code"]:
                    raise CoAgentError(f"{command!r} fails: {outcome.value['output']}", "Look why.")
                found.governed[name].setdefault(f"{way}, {'later' if number else 'first'}", []).append(
                    seconds
                )
                progress(done := done + 1)

    async def edit(agent: AgentSession, way: str, path: str) -> None:
        for number in range(samples + 2):
            start = perf_counter()
            await agent.call("write_file", path=path, content=f"VALUE = 'of {way}, {number}'\n")
            if number:  # the first one waits for others' calls that it has run again
                found.edits.setdefault(way, []).append(perf_counter() - start)

    async with open_domain("memory:", targets=[files], tools=tools) as domain:
        earlier, later = await domain.join("A"), await domain.join("B")
        await edit(later, "alone", "package2/part203.py")
        await run(later, "alone")
        await edit(earlier, "before another", "package2/part204.py")
        await run(earlier, "before another")


def _plainly(command: str, root: Path) -> float:
    start = perf_counter()
    environment = {**os.environ, **_ENVIRONMENT}
    done = subprocess.run(
        ["bash", "-c", command], cwd=root, capture_output=True, check=False, env=environment
    )
    seconds = perf_counter() - start
    if done.returncode:
        raise CoAgentError(f"{command!r} ends with {done.returncode} (plain)", done.stderr.decode())
    return seconds


def _make(root: Path, files: int) -> None:
    """Make a repository of small files, an hour old, in folders of a hundred."""
    then = time.time() - 3600
    for number in range(files):
        folder = root / f"package{number // _IN_FOLDER}"
        if not number % _IN_FOLDER:
            folder.mkdir()
        place = folder / f"part{number}.py"
        place.write_text(f"VALUE = {number} \n")
        os.utime(place, (then, then))
    _plainly("git init -q && git config gc.auto 0 && git add -A && git commit -qm begin", root)


def ways() -> tuple[str, ...]:
    """Return the ways in which an agent runs each command, in the order of a table."""
    return _WAYS
