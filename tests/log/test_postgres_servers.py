"""Real poolers and replicas: a log behind PgBouncer, and one whose server fails over to its standby."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import anyio
import psycopg
import pytest
from throwaway_postgres import ThrowawayPostgres

from coagent import open_domain
from coagent.log.base import Checkpoint, LogSettings
from coagent.log.open import open_log
from coagent.log.postgres import PostgresLog
from coagent.log.postgres_wakes import word_arrives
from coagent.log.urls import place_of
from coagent.protocol.calls import Rank
from coagent.protocol.checkpoint import state_of
from coagent.protocol.events import CallObserved, Joined
from coagent.protocol.mtpo import Mtpo
from coagent.targets.memory import Memory
from coagent_lab.sim.tools import TOOLS

pytestmark = pytest.mark.long
SETTINGS = LogSettings("mtpo", "fixed", ())
POOLER = """
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr =
listen_port = 5432
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
logfile = {folder}/log
pidfile = {folder}/pid
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def pooler(postgres_server: ThrowawayPostgres) -> Iterator[Path]:
    """The folder of the socket of a PgBouncer that gives a connection to others after each transaction."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no pgbouncer on this machine")
    folder = postgres_server.folder / "pooler"
    folder.mkdir()
    folder.chmod(0o777)
    settings = folder / "pgbouncer.ini"
    settings.write_text(POOLER.format(server=postgres_server.folder, folder=folder))
    process = subprocess.Popen([*postgres_server.prefix, program, "-q", str(settings)], cwd=folder)
    deadline_s = time.monotonic() + 20
    while not (folder / ".s.PGSQL.5432").exists():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    yield folder
    process.terminate()
    process.wait(timeout=20)


def joined(number: int) -> Joined:
    return Joined(f"agent {number}", Rank(number))


def through(pooler: Path, url: str) -> str:
    before, _, after = url.partition("host=")
    return f"{before}host={pooler}{after[after.find('&') :]}"


@pytest.mark.anyio
async def test_everything_but_word_goes_through_a_pooler(pooler: Path, postgres_log: str) -> None:
    url = through(pooler, postgres_log)
    log, other = await open_log(url, SETTINGS), await open_log(url, SETTINGS)
    kernel = Mtpo()
    for number in range(40):  # more often than what makes a client prepare its statements
        await log.append([joined(number)])
        kernel.step(joined(number))
        assert list(await other.read()) == [joined(number)]
        assert list(await other.read()) == []
    await log.keep(Checkpoint(40, state_of(kernel)))
    await log.close()
    await other.close()
    again = await open_log(url, SETTINGS)
    assert await again.checkpoint() == Checkpoint(40, state_of(kernel))
    await again.close()


@pytest.mark.anyio
async def test_word_arrives_past_a_pooler_and_not_through_it(
    pooler: Path, postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.log.postgres_wakes._ARRIVES_S_MAX", 0.5)
    url = through(pooler, postgres_log)
    past = f"{url}&listen={quote(place_of(postgres_log).url, safe='')}"
    assert not word_arrives(place_of(url))
    assert word_arrives(place_of(past))
    async with (
        open_domain(url, targets=[Memory({"kv:x": 0})], tools=TOOLS) as one,
        open_domain(past, targets=[Memory({"kv:x": 0})], tools=TOOLS) as two,
    ):
        logs = [domain._opened.log for domain in (one, two)]
        with anyio.fail_after(20):
            while not logs[1].is_told:  # type: ignore[attr-defined]
                await anyio.sleep(0.02)
        a, b = await one.join("A"), await two.join("B")
        await a.call("put", key="kv:x", value=1)
        assert (await b.call("read", key="kv:x")).value == 1
        await a.finish()
        with anyio.fail_after(30):
            assert (await b.finish(wait=True)).state == "committed"
        assert isinstance(logs[0], PostgresLog)
        assert not logs[0].is_told


# ---- failover ----------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[ThrowawayPostgres, ThrowawayPostgres]]:
    """A server and its standby, which has received whatever was committed."""
    first = ThrowawayPostgres()
    first.start("-c wal_level=replica")
    try:
        second = ThrowawayPostgres(copy_of=first)
        second.start("-c hot_standby=on")
    except BaseException:
        first.remove()
        raise
    with closing(psycopg.connect(first.url, autocommit=True)) as server:
        server.execute("alter system set synchronous_standby_names = '*'")
        server.execute("select pg_reload_conf()")
        deadline_s = time.monotonic() + 30
        while server.execute("select sync_state from pg_stat_replication").fetchone() != ("sync",):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
    yield first, second
    second.remove()
    shutil.rmtree(first.folder, ignore_errors=True)


@pytest.mark.anyio
async def test_a_domain_goes_on_on_the_standby_with_all_that_was_answered(
    pair: tuple[ThrowawayPostgres, ThrowawayPostgres],
) -> None:
    first, second = pair
    url = f"postgresql://postgres@/postgres?host={first.folder},{second.folder}&port=5432,5432"
    answered: list[str] = []

    async def work(name: str, session: object) -> None:
        for number in range(40):
            line = f"{name} {number}"
            await session.call("append", key="kv:x", line=line)  # type: ignore[attr-defined]
            answered.append(line)

    async with open_domain(url, targets=[Memory({"kv:x": ""})], tools=TOOLS) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, "A", a)
            tasks.start_soon(work, "B", b)
            while len(answered) < 20:
                await anyio.sleep(0.001)
            await anyio.to_thread.run_sync(first.stop)
            await anyio.to_thread.run_sync(second.promote)
        domain.kernel.check_invariants()
    assert len(answered) == 80
    log = await open_log(second.url, SETTINGS._replace(order="fixed"))
    events = []
    while some := await log.read():
        events += some
    await log.close()
    calls = [event.arguments["line"] for event in events if isinstance(event, CallObserved)]
    assert sorted(calls) == sorted(answered)
