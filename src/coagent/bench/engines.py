"""What a call costs on the engines of the log, side by side: with one process, and with many on one domain.

Every process serves one agent, which writes objects of its own, so that only the log is between them. A call
is measured from the agent's side: decided, appended and committed, applied. With think time between calls,
the figures are what agents see; without, what the log can take.
"""

from __future__ import annotations

import multiprocessing
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio

from coagent.bench.samples import machine, percentile, timed
from coagent.bench.subject import add, get, put
from coagent.errors import ConfigurationError, LogError
from coagent.log.urls import is_postgres, place_of, shown_url
from coagent.runtime.domain import open_domain
from coagent.targets.memory import Memory

AIM_MS = 2.0
"""What the median of one process's calls was set out to reach on a server of the same machine."""
_WARM_UP = 6
_OWN_KEYS = 16
_RECORD = "x" * 400
_COMMITS = 300
_BEGIN_S_MAX = 120.0


@dataclass(frozen=True)
class Figures:
    """What calls cost on one log.

    Args:
        log: "sqlite", or the URL of a server without secrets.
        processes: How many processes share the domain.
        think_s: How long each thinks between two calls, in seconds.
        median_ms: Of all calls of all processes.
        p99_ms: Likewise.
        calls_per_s: Of all processes together.
    """

    log: str
    processes: int
    think_s: float
    median_ms: float
    p99_ms: float
    calls_per_s: float


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
) -> Engines:
    """Measure SQLite in a file of its own, and other logs.

    Args:
        logs: URLs of PostgreSQL databases; a schema of its own is made there each time, and dropped.
        processes: How many are to share a domain.
        thinks_s: How long each thinks between two calls, in seconds.
        seconds: How long each case is measured.
        progress: Told what is being measured.

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
                    calls.append(_figures(shown_url(base), _run(url, count, think_s, seconds), think_s))
    parameters = {"seconds": seconds, "record_bytes": len(_RECORD), "machine": machine()}
    return Engines(parameters, commits, calls)


def _figures(log: str, runs: list[tuple[float, list[float]]], think_s: float) -> Figures:
    samples = [sample for _, some in runs for sample in some]
    rate = sum(len(some) / took_s for took_s, some in runs if took_s)
    return Figures(
        log,
        len(runs),
        think_s,
        _ms(percentile(samples, 0.5)),
        _ms(percentile(samples, 0.99)),
        round(rate, 1),
    )


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


def _run(url: str, count: int, think_s: float, seconds: float) -> list[tuple[float, list[float]]]:
    """Return for each process how long it worked, in seconds, and how long its calls took."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ready = context.Barrier(count)
    ends = []
    workers = []
    for number in range(count):
        mine, theirs = context.Pipe(duplex=False)
        worker = context.Process(
            target=_work, args=(url, f"agent {number}", think_s, seconds, ready, theirs), daemon=True
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


def _work(url: str, name: str, think_s: float, seconds: float, ready: Any, results: Any) -> None:
    async def main() -> None:
        async with open_domain(url, targets=[Memory({})], tools=[get, put, add]) as domain:
            agent = await domain.join(name)
            prefix = f"kv:{name.replace(' ', '-')}-"

            async def call(number: int) -> None:
                await agent.call("put", key=f"{prefix}{number % _OWN_KEYS}", value=number)

            for number in range(_WARM_UP):
                await call(-1 - number)
            await anyio.to_thread.run_sync(ready.wait, _BEGIN_S_MAX)
            samples: list[float] = []
            began_s = time.monotonic()
            while (took_s := time.monotonic() - began_s) < seconds or not samples:
                samples += await timed(1 if think_s else 10, call)
                if think_s:
                    await anyio.sleep(think_s)
            await anyio.to_thread.run_sync(ready.wait, _BEGIN_S_MAX)  # others are still measuring
            results.send((took_s, samples))

    try:
        anyio.run(main)
    except Exception as failure:
        ready.abort()
        results.send(f"{type(failure).__name__}: {failure}")
