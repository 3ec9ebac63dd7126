"""What a long log costs those who come later: opening it, and looking at it with the command line.

The log is made in this process. Everything else is done in processes of its own, as users do it, so that
times hold what starting Python holds too, and memory is that of nobody else.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from coagent.errors import CoAgentError
from coagent_lab.bench.growth import make_history
from coagent_lab.bench.subject import open_log

_OPEN = """
import asyncio, sys
from coagent_lab.bench.reopening import report_opening
asyncio.run(report_opening(*sys.argv[1:]))
"""


class Aim(NamedTuple):
    """What something is to stay under, and in which unit."""

    limit: float
    unit: str


AIMS = {
    "open": Aim(0.2, "s"),
    "peak memory": Aim(100.0, "MB"),
    "coagent status": Aim(0.5, "s"),
    "coagent log --tail 20": Aim(0.5, "s"),
}


@dataclass(frozen=True)
class Reopening:
    """What one thing costs on a log of so many committed calls: the median of several tries."""

    calls: int
    what: str
    found: float

    @property
    def aim(self) -> Aim:
        """What it is to stay under."""
        return AIMS[self.what]

    @property
    def met(self) -> bool:
        """Whether it does."""
        return self.found < self.aim.limit


async def measure_reopening(
    calls: int, tries: int, place: Path, progress: Callable[[str], None]
) -> list[Reopening]:
    """Make a log of committed calls, and measure what it costs to come back to it.

    Args:
        calls: How many calls it holds.
        tries: How often each thing is done.
        place: An empty folder.
        progress: Told what is being done.

    Raises:
        CoAgentError: Something of it failed.
    """
    progress(f"reopening: a log of {calls:,} calls")
    url = f"sqlite:{place}/long.db"
    async with open_log(url) as domain:
        await make_history(domain, calls, commit=True)
    samples: dict[str, list[float]] = {what: [] for what in AIMS}
    for number in range(tries):
        progress(f"reopening, {number + 1} of {tries}")
        opened = _run(sys.executable, "-c", _OPEN, url, f"opener {number}")[0]
        seconds, megabytes = json.loads(opened)
        samples["open"].append(seconds)
        samples["peak memory"].append(megabytes)
        for what in ("coagent status", "coagent log --tail 20"):
            command = what.split()[1:]
            _, seconds = _run(sys.executable, "-m", "coagent", *command, "--domain", url)
            samples[what].append(seconds)
    return [Reopening(calls, what, round(median(found), 3)) for what, found in samples.items()]


async def report_opening(url: str, agent: str) -> None:
    """Open a log, make a call, and print the seconds that opening took and the megabytes of this process."""
    began = perf_counter()
    async with open_log(url) as domain:
        opened = perf_counter() - began
        await (await domain.join(agent)).call("get", key="kv:0")
        print(json.dumps([opened, _peak_mb()]))


def _peak_mb() -> float:
    """Return the most memory that this process has had; `ru_maxrss` holds that of its parent as well."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def _run(*command: str) -> tuple[str, float]:
    """Return what a command prints, and how long it takes in seconds."""
    began = perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = perf_counter() - began
    if done.returncode:
        raise CoAgentError(f"{' '.join(command[1:3])} has failed: {done.stderr.strip()[-500:]}")
    return done.stdout, seconds
