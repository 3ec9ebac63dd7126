"""What a call costs on the engines of the log, side by side: with one process, and with many on one domain.

Every process serves one agent or several, each of which writes objects of its own, so that only the log is
between them. A call is measured from the agent's side: decided, appended and committed, applied. With think
time between calls, the figures are what agents see; without, what the log can take. After a hundred calls an
agent finishes, and another one takes its place: so a long run shows what a long run costs.
"""

from __future__ import annotations

import multiprocessing
import resource
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from coagent.errors import ConfigurationError, LogError
from coagent.log.urls import is_postgres, place_of, shown_url
from coagent.runtime.domain import Domain, open_domain
from coagent.runtime.session import AgentSession
from coagent.targets.memory import Memory
from coagent_lab.bench.samples import machine, percentile, timed
from coagent_lab.bench.subject import add, get, put

AIM_MS = 2.0
"""What the median of one process's calls was set out to reach on a server of the same machine."""
_WARM_UP = 6
_OWN_KEYS = 16
_CALLS_EACH = 100
_RECORD = "x" * 400
_COMMITS = 300
_BEGIN_S_MAX = 120.0


@dataclass(frozen=True)
class Figures:
    """What calls cost on one log.

    Args:
        log: "sqlite", or the URL of a server without secrets.
        processes: How many processes share the domain.
        agents: How many agents each of them serves at a time.
        think_s: How long each agent thinks between two calls, in seconds.
        calls: How many were made, by all together.
        median_ms: Of all calls of all processes.
        p99_ms, p999_ms: Likewise.
        calls_per_s: Of all processes together.
        memory_mb: What a process took at the most, at the end, in 10^6 bytes; the largest of them.
    """

    log: str
    processes: int
    agents: int
    think_s: float
    calls: int
    median_ms: float
    p99_ms: float
    p999_ms: float
    calls_per_s: float
    memory_mb: float


class Run(NamedTuple):
    """What one process has measured.

    Args:
        took_s: How long it worked, in seconds.
        samples: How long its calls took, in microseconds.
        memory_mb: What it took at the most.
    """

    took_s: float
    samples: list[float]
    memory_mb: float


@dataclass(frozen=True)
class Engines:
    """All that was measured."""

    parameters: dict[str, Any]
    commits: dict[str, dict[str, float]]
    calls: list[Figures]

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "parameters": self.parameters,
            "bare_commit": self.commits,
            "calls": [asdict(one) for one in self.calls],
        }


def measure(
    logs: list[str],
    processes: list[int],
    thinks_s: list[float],
    seconds: float,
    progress: Callable[[str], None] = lambda text: None,
    agents: int = 1,
) -> Engines:
    """Measure SQLite in a file of its own, and other logs.

    Args:
        logs: URLs of PostgreSQL databases; a schema of its own is made there each time, and dropped.
        processes: How many are to share a domain.
        thinks_s: How long each thinks between two calls, in seconds.
        seconds: How long each case is measured.
        progress: Told what is being measured.
        agents: How many agents each process serves.

    Raises:
        ConfigurationError: A URL is none of a PostgreSQL server. LogError: One cannot be reached.
    """
    for url in logs:
        if not is_postgres(url):
            raise ConfigurationError(
                f"{shown_url(url)!r} is no URL of a PostgreSQL server", "SQLite is measured beside it anyway."
            )
    commits: dict[str, dict[str, float]] = {}
    calls: list[Figures] = []
    for base in ("sqlite", *logs):
        progress(f"bare commits on {shown_url(base)}")
        with _fresh(base) as url:
            samples = anyio.run(_commits, url)
            commits[shown_url(base)] = {
                "median_ms": _ms(percentile(samples, 0.5)),
                "p99_ms": _ms(percentile(samples, 0.99)),
            }
    for count in processes:
        for think_s in thinks_s:
            for base in ("sqlite", *logs):
                thinking = f", thinking {think_s:g} s" if think_s else ""
                progress(f"{count} processes{thinking} on {shown_url(base)}")
                with _fresh(base) as url:
                    runs = _run(url, count, agents, think_s, seconds)
                    calls.append(_figures(shown_url(base), runs, agents, think_s))
    parameters = {"seconds": seconds, "record_bytes": len(_RECORD), "machine": machine()}
    return Engines(parameters, commits, calls)


def _figures(log: str, runs: list[Run], agents: int, think_s: float) -> Figures:
    samples = [sample for one in runs for sample in one.samples]
    rate = sum(len(one.samples) / one.took_s for one in runs if one.took_s)
    median, p99, p999 = (_ms(percentile(samples, part)) for part in (0.5, 0.99, 0.999))
    memory = round(max(one.memory_mb for one in runs), 1)
    calls = len(samples)
    return Figures(log, len(runs), agents, think_s, calls, median, p99, p999, round(rate, 1), memory)


def _ms(us: float) -> float:
    return round(us / 1000, 3)


@contextmanager
def _fresh(base: str) -> Iterator[str]:
    """Give the URL of a log that does not exist yet, and remove it afterwards."""
    if base == "sqlite":
        with tempfile.TemporaryDirectory(prefix="coagent-bench-") as folder:
            yield f"sqlite:{Path(folder) / 'log.db'}"
        return
    from coagent.log.postgres_schema import connected

    schema = f"coagent_bench_{secrets.token_hex(4)}"
    yield f"{base}{'&' if '?' in base else '?'}schema={schema}"
    with connected(place_of(base)) as connection:
        connection.execute(f"drop schema if exists {schema} cascade".encode())


async def _commits(url: str) -> list[float]:
    """Return how long it takes to commit one row of the size of a record, in microseconds."""
    if url.startswith("sqlite:"):
        file = sqlite3.connect(url.removeprefix("sqlite:"), isolation_level=None)
        file.execute("pragma journal_mode = wal")
        file.execute("pragma synchronous = normal")
        file.execute("create table bare (number integer primary key, record text)")

        async def insert(number: int) -> None:
            file.execute("insert into bare (record) values (?)", (_RECORD,))

        found = await timed(_COMMITS, insert)
        file.close()
        return found
    import psycopg

    place = place_of(url)
    server = await psycopg.AsyncConnection.connect(place.url, autocommit=True)
    async with server:
        await server.execute(f"create schema {place.schema}".encode())
        table = f"{place.schema}.bare"
        await server.execute(
            f"create table {table} (number bigint generated always as identity, record text)".encode()
        )
        statement = f"insert into {table} (record) values (%s)".encode()

        async def commit(number: int) -> None:
            await server.execute(statement, (_RECORD,))

        return await timed(_COMMITS, commit)


# ---- processes -----------------------------------------------------------------------------------------


def _run(url: str, count: int, agents: int, think_s: float, seconds: float) -> list[Run]:
    """Return what each process has measured."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ready = context.Barrier(count)
    ends = []
    workers = []
    for number in range(count):
        mine, theirs = context.Pipe(duplex=False)
        worker = context.Process(
            target=_work, args=(url, number, agents, think_s, seconds, ready, theirs), daemon=True
        )
        worker.start()
        theirs.close()
        ends.append(mine)
        workers.append(worker)
    try:
        found = [one.recv() for one in ends]
    finally:
        for one in workers:
            one.join(timeout=_BEGIN_S_MAX)
            one.kill()
    failures = [one for one in found if isinstance(one, str)]
    if failures:
        raise LogError(
            f"{len(failures)} of {count} processes failed: {failures[0]}",
            "A server has to allow two connections for each process (max_connections).",
        )
    return found


def _work(
    url: str, process: int, agents: int, think_s: float, seconds: float, ready: Any, results: Any
) -> None:
    async def main() -> None:
        async with open_domain(url, targets=[Memory({})], tools=[get, put, add]) as domain:
            served = [_Served(domain, f"{process}-{number}") for number in range(agents)]
            for one in served:
                await one.warm_up()
            await anyio.to_thread.run_sync(ready.wait, _BEGIN_S_MAX)
            began_s = time.monotonic()
            async with anyio.create_task_group() as tasks:
                for one in served:
                    tasks.start_soon(one.work, began_s + seconds, think_s)
            took_s = time.monotonic() - began_s
            await anyio.to_thread.run_sync(ready.wait, _BEGIN_S_MAX)  # others are still measuring
            memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
            results.send(Run(took_s, [sample for one in served for sample in one.samples], memory_mb))

    try:
        anyio.run(main)
    except Exception as failure:
        ready.abort()
        results.send(f"{type(failure).__name__}: {failure}")


class _Served:
    """An agent, and those that take its place."""

    def __init__(self, domain: Domain, name: str) -> None:
        self._domain = domain
        self._name = name
        self._joined = 0
        self._calls = 0
        self._agent: AgentSession | None = None
        self.samples: list[float] = []

    async def warm_up(self) -> None:
        for _ in range(_WARM_UP):
            await self._call()

    async def work(self, until_s: float, think_s: float) -> None:
        while time.monotonic() < until_s or not self.samples:
            began_ns = time.perf_counter_ns()
            await self._call()
            self.samples.append((time.perf_counter_ns() - began_ns) / 1000)
            if self._agent is not None and self._calls >= _CALLS_EACH:
                await self._agent.finish()
                self._agent, self._calls = None, 0
            await anyio.sleep(think_s)  # also by 0, for the others' sake

    async def _call(self) -> None:
        if self._agent is None:
            self._joined += 1
            self._agent = await self._domain.join(f"{self._name}-{self._joined}")
        self._calls += 1
        await self._agent.call("put", key=f"kv:{self._name}-{self._calls % _OWN_KEYS}", value=self._calls)
