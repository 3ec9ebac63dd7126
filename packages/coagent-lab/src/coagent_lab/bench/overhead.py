"""What a governed call costs beside the bare function, and how that grows with history and agents.

Every block of samples starts with a fresh domain; the blocks of all subjects take turns, round after round,
so that whatever else the machine does falls on all alike. The garbage collector stays on, as it is in use.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coagent.runtime.domain import Domain
from coagent_lab.bench.growth import Growth, Plan, measure_growth
from coagent_lab.bench.reopening import Reopening, measure_reopening
from coagent_lab.bench.samples import collections, machine, mean_of_rounds, median_of_rounds, timed
from coagent_lab.bench.subject import KEYS, initial, open_log

WARM_UP = 100
AIMS_US = {
    ("memory", "read"): 10.0,
    ("memory", "write"): 20.0,
    ("sqlite", "read"): 10.0,
    ("sqlite", "write"): 75.0,
}
"""What was set out to be reached, in microseconds."""

_LATE = 1_000_000
OPERATIONS = ("read", "write", "contended write", "contended rmw")
SUBJECTS = ("memory", "sqlite")


@dataclass(frozen=True)
class Parameters:
    """How much is measured.

    Args:
        quick: Whether it is the short form.
        rounds: How often each block is measured.
        samples: Samples a block, by subject.
    """

    quick: bool
    rounds: int
    samples: dict[str, int]


@dataclass(frozen=True)
class Row:
    """The cost of one operation, in microseconds.

    Args:
        subject: The bare function, or the log of the domain.
        operation: What is timed.
        median_us: Of single calls.
        mean_us: Of whole rounds, with what is put off from one call to a later one.
        p99_us: Of single calls.
        aim_us: What the median was set out to reach, if anything.
    """

    subject: str
    operation: str
    median_us: float
    mean_us: float
    p99_us: float
    aim_us: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        return None if self.aim_us is None else self.median_us <= self.aim_us


@dataclass(frozen=True)
class Overhead:
    """All that was measured."""

    parameters: dict[str, Any]
    rows: list[Row]
    growth: list[Growth]
    reopening: list[Reopening]

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "parameters": self.parameters,
            "overhead": [{**asdict(row), "met": row.met} for row in self.rows],
            "growth": [
                {**asdict(one), "aim_ratio": one.aim_ratio, "ratio": one.ratio, "met": one.met}
                for one in self.growth
            ],
            "reopening": [
                {**asdict(one), "unit": one.aim.unit, "aim": one.aim.limit, "met": one.met}
                for one in self.reopening
            ],
        }


async def measure(*, quick: bool, progress: Callable[[str], None] = lambda text: None) -> Overhead:
    """Measure overhead and growth.

    Args:
        quick: Fewer samples and smaller sizes, in less than 30 s; otherwise some minutes.
        progress: Told what is being measured.
    """
    chosen = (
        Parameters(True, 3, {"function": 1000, "memory": 1000, "sqlite": 300})
        if quick
        else Parameters(False, 7, {"function": 3000, "memory": 3000, "sqlite": 1000})
    )
    before = collections()
    with _folder() as folder:
        rows = await _overhead(chosen, folder, progress)
        growth = await measure_growth(Plan.of(quick), lambda url: _open(url, folder), progress)
        reopening = await measure_reopening(10**4 if quick else 10**6, 3, folder, progress)
    after = collections()
    parameters = {
        **asdict(chosen),
        "keys": KEYS,
        "gc": {
            "enabled": gc.isenabled(),
            "threshold": gc.get_threshold(),
            "collections": [late - early for early, late in zip(before, after, strict=True)],
            "collected_before_each_block": True,
        },
        "machine": machine(),
    }
    return Overhead(parameters, rows, growth, reopening)


async def _overhead(chosen: Parameters, folder: Path, progress: Callable[[str], None]) -> list[Row]:
    blocks = [("function", operation) for operation in ("read", "write")]
    blocks += [(subject, operation) for operation in OPERATIONS for subject in SUBJECTS]
    found: dict[tuple[str, str], list[list[float]]] = {block: [] for block in blocks}
    for number in range(chosen.rounds):
        for subject, operation in blocks:
            progress(f"overhead, round {number + 1} of {chosen.rounds}: {subject}, {operation}")
            gc.collect()
            count = chosen.samples[subject]
            if subject == "function":
                samples = await _bare(operation, count)
            else:
                samples = await _governed(subject, operation, count, folder)
            found[subject, operation].append(samples)
    return [
        Row(
            subject,
            operation,
            round(median_of_rounds(rounds, 0.5), 2),
            round(mean_of_rounds(rounds), 2),
            round(median_of_rounds(rounds, 0.99), 2),
            AIMS_US.get((subject, operation)),
        )
        for (subject, operation), rounds in found.items()
    ]


async def _bare(operation: str, count: int) -> list[float]:
    objects = initial()

    async def read(key: str) -> int:
        return objects[key]

    async def write(key: str, value: int) -> None:
        objects[key] = value

    names = list(objects)

    def act(number: int) -> Awaitable[Any]:
        name = names[number % KEYS]
        return read(name) if operation == "read" else write(name, number)

    await timed(WARM_UP, act)
    return await timed(count, act)


async def _governed(subject: str, operation: str, count: int, folder: Path) -> list[float]:
    async with _open(subject, folder) as domain:
        lower, higher = await domain.join("lower"), await domain.join("higher")
        names = list(initial())

        async def read(number: int) -> None:
            await lower.call("get", key=names[number % KEYS])

        async def write(number: int) -> None:  # no value comes twice, so every call has an effect to apply
            await lower.call("put", key=names[number % KEYS], value=_LATE + number)

        if operation in ("read", "write"):
            act = read if operation == "read" else write
            await timed(WARM_UP, lambda number: act(-1 - number))
            return await timed(count, act)
        return await _contended(operation, count, lower, higher)


async def _contended(operation: str, count: int, lower: Any, higher: Any) -> list[float]:
    """Time the lower rank's write, which comes after the higher rank's write on the same new object."""
    rmw = operation == "contended rmw"

    async def first(number: int) -> None:
        arguments = {"by": 1} if rmw else {"value": number}
        await higher.call("add" if rmw else "put", key=f"kv:c{number}", **arguments)

    async def late(number: int) -> None:
        await lower.call("put", key=f"kv:c{number}", value=_LATE + number)

    async def told(number: int) -> None:
        if rmw:
            assert len(await higher.notifications()) == 1, "the higher rank's result has changed"

    await timed(WARM_UP, lambda n: late(-1 - n), before=lambda n: first(-1 - n), after=told)
    return await timed(count, late, before=first, after=told)


@asynccontextmanager
async def _open(subject: str, folder: Path) -> AsyncIterator[Domain]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        url = "memory:" if subject == "memory" else f"sqlite:{place}/log.db"
        async with open_log(url) as domain:
            yield domain


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as name:
        yield Path(name)
