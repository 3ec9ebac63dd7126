"""A log on a PostgreSQL server that goes away, comes back, or does not say what became of an append."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import anyio
import psycopg
import pytest
from postgres_proxy import Proxy
from throwaway_postgres import ThrowawayPostgres

from coagent import LogError, LogUnavailable, open_domain
from coagent.log.base import HeadMoved, Log, LogSettings
from coagent.log.open import open_log
from coagent.log.urls import place_of
from coagent.processes import this_process
from coagent.protocol.calls import Rank
from coagent.protocol.events import CallObserved, Event, Joined
from coagent.protocol.keys import Key
from coagent.runtime.domain import Domain
from coagent.targets.memory import Memory
from coagent_lab.sim.tools import TOOLS

SETTINGS = LogSettings("mtpo", "fixed", ())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def proxy(postgres_server: ThrowawayPostgres) -> Iterator[Proxy]:
    between = Proxy(postgres_server.folder)
    yield between
    between.close()


@pytest.fixture
def behind(proxy: Proxy, postgres_log: str) -> str:
    """The URL of a log, by way of the proxy."""
    return proxy.url(postgres_log)


def joined(number: int) -> Joined:
    return Joined(f"agent {number}", Rank(number))


@asynccontextmanager
async def opened(url: str, patience_s: float = 30.0) -> AsyncIterator[Log]:
    log = await open_log(url, SETTINGS, patience_s)
    try:
        yield log
    finally:
        await log.close()


async def everything(log: Log) -> list[Event]:
    found: list[Event] = []
    while events := await log.read():
        found.extend(events)
    return found


async def append_for_ever(log: Log) -> None:
    while True:
        await log.append([joined(log.head)])


async def held(url: str) -> list[Event]:
    """Return what a log holds."""
    async with opened(url) as log:
        return await everything(log)


def domain_on(url: str, patience_s: float = 30.0) -> Domain:
    return open_domain(url, targets=[Memory({"kv:x": 0, "kv:y": 0})], tools=TOOLS, patience_s=patience_s)


# ---- answers that are lost -----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_append_of_which_the_answer_was_lost_is_there_once(
    proxy: Proxy, behind: str, postgres_log: str
) -> None:
    async with opened(behind) as log:
        await log.append([joined(0)])
        proxy.lose_answer(b"agent 1")
        await log.append([joined(1), joined(2)])
        assert proxy.lost.is_set()
        assert log.head == 3
        await log.append([joined(3)])
    assert await held(postgres_log) == [joined(number) for number in range(4)]


@pytest.mark.anyio
async def test_a_lost_answer_that_it_came_second_is_asked_for_again(
    proxy: Proxy, behind: str, postgres_log: str
) -> None:
    async with opened(behind) as log, opened(postgres_log) as other:
        await log.append([joined(0)])
        await everything(other)
        await other.append([joined(1)])
        proxy.lose_answer(b"agent 1")
        with pytest.raises(HeadMoved):
            await log.append([joined(1)])  # what the other one has appended is the same, and not its own
        assert proxy.lost.is_set()
        assert await everything(log) == [joined(1)]
    assert await held(postgres_log) == [joined(0), joined(1)]


@pytest.mark.anyio
async def test_an_append_in_doubt_that_was_given_up_is_read_again_if_it_was_made(
    proxy: Proxy, behind: str, postgres_log: str
) -> None:
    async with opened(behind, patience_s=0.0) as log:
        await log.append([joined(0)])
        proxy.lose_answer(b"agent 1")
        with pytest.raises(LogUnavailable, match="what was to be appended may be there all the same"):
            await log.append([joined(1)])
        assert log.head == 1
        with pytest.raises(HeadMoved):
            await log.append([joined(2)])
        assert await everything(log) == [joined(1)]
        await log.append([joined(2)])
    assert await held(postgres_log) == [joined(number) for number in range(3)]


@pytest.mark.anyio
async def test_reads_of_which_nobody_knew_whether_they_were_recorded_are_recorded_once(
    proxy: Proxy, behind: str, postgres_log: str
) -> None:
    async with domain_on(behind, patience_s=0.0) as domain:
        a = await domain.join("A")
        await a.call("read", key="kv:x")
        await a.call("read", key="kv:y")
        proxy.lose_answer(b"kv:y")
        with pytest.raises(LogUnavailable):
            await domain.flush()
        proxy.lose_answer(b"nothing says this")
        await domain.flush()
        assert (await a.call("put", key="kv:x", value=2)).call_id == "A.3"
        await domain.flush()
    calls = [event for event in await held(postgres_log) if isinstance(event, CallObserved)]
    assert [call.tool for call in calls] == ["read", "read", "put"]


@pytest.mark.anyio
async def test_a_connection_that_the_server_ends_while_it_appends_is_made_anew(
    postgres_server: ThrowawayPostgres, postgres_log: str
) -> None:
    stop = anyio.Event()

    async def end_connections(log: Log) -> None:
        with psycopg.connect(postgres_server.url, autocommit=True) as server:
            for at in range(50, 250, 50):
                while log.head < at:
                    await anyio.sleep(0)
                server.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'coagent' and pid <> pg_backend_pid()"
                )
        stop.set()

    async with opened(postgres_log) as log, anyio.create_task_group() as tasks:
        tasks.start_soon(end_connections, log)
        number = 0
        while not stop.is_set():
            await log.append([joined(number)])
            number += 1
    assert await held(postgres_log) == [joined(one) for one in range(number)]


# ---- a server that goes away ------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_domain_waits_for_a_server_that_is_started_again_and_goes_on(
    postgres_server: ThrowawayPostgres, postgres_log: str
) -> None:
    answered: list[str] = []

    async def work(name: str, session: object) -> None:
        for _ in range(60):
            outcome = await session.call("append", key="kv:x", line=name)  # type: ignore[attr-defined]
            answered.append(outcome.call_id)

    async with open_domain(postgres_log, targets=[Memory({"kv:x": ""})], tools=TOOLS) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, "A", a)
            tasks.start_soon(work, "B", b)
            for count in (30, 60):
                while len(answered) < count:
                    await anyio.sleep(0)
                await anyio.to_thread.run_sync(postgres_server.stop)
                await anyio.to_thread.run_sync(postgres_server.start)
        kernel = domain.kernel
        kernel.check_invariants()
        live = domain.snapshot()
    assert len(answered) == 120
    async with open_domain(postgres_log, targets=[Memory({"kv:x": ""})], tools=TOOLS) as domain:
        assert domain.kernel.live_value(Key("kv:x")) == live["kv:x"]
        calls = [call.id for agent in domain.agents for call in agent.calls.values()]
        assert sorted(calls) == sorted(answered)


@pytest.mark.anyio
async def test_calls_end_clearly_when_the_server_stays_away_and_go_on_when_it_is_back(
    proxy: Proxy, behind: str, postgres_log: str
) -> None:
    secret = behind.replace("postgres@", "postgres:quite-secret@")
    async with domain_on(secret, patience_s=0.3) as domain:
        a = await domain.join("A")
        await a.call("put", key="kv:x", value=1)
        proxy.cut()
        with pytest.raises(LogUnavailable, match="cannot be written") as caught:
            await a.call("put", key="kv:x", value=2)
        said = str(caught.value)
        assert "away for" in said
        assert "quite-secret" not in said
        assert "postgres:***@" in said
        proxy.restore()
        await a.call("put", key="kv:x", value=3)
        assert (await a.finish(wait=True)).state == "committed"
        assert domain.snapshot("kv:x") == {"kv:x": 3}
    calls = [event for event in await held(postgres_log) if isinstance(event, CallObserved)]
    assert [call.arguments["value"] for call in calls] == [1, 3]


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_is_given_up(
    proxy: Proxy, behind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.log.postgres_link.ANSWER_S_MAX", 0.2)
    async with opened(behind, patience_s=0.1) as log:
        await log.append([joined(0)])
        proxy.hang()
        with anyio.fail_after(15), pytest.raises(LogUnavailable, match="does not answer"):
            await log.append([joined(1)])


@pytest.mark.anyio
async def test_a_server_that_is_read_from_and_takes_no_writes_is_waited_for_no_longer_than_one_that_is_away(
    postgres_server: ThrowawayPostgres, postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.log.postgres_link.ANSWER_S_MAX", 0.1)
    async with opened(postgres_log, patience_s=0.4) as log:
        with psycopg.connect(postgres_server.url) as another:
            another.execute(f"lock {place_of(postgres_log).schema}.coagent_heads in share mode".encode())

            async def read_for_ever() -> None:
                while True:
                    with suppress(LogUnavailable):  # it may wait behind what is to be written
                        await log.read()
                    await anyio.sleep(0.01)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_for_ever)
                with anyio.fail_after(10), pytest.raises(LogUnavailable, match=r"away for \d+ s"):
                    await log.append([joined(0)])
                tasks.cancel_scope.cancel()
        with anyio.fail_after(10):
            while True:  # what was given up may stand all the same
                await everything(log)
                with suppress(HeadMoved):
                    await log.append([joined(1)])
                    break
    assert (await held(postgres_log))[-1] == joined(1)


@pytest.mark.anyio
async def test_a_domain_is_closed_though_old_records_cannot_be_moved_just_now(
    postgres_server: ThrowawayPostgres, postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.log.postgres_archive._FILL_S_MAX", 0.1)
    domain = domain_on(postgres_log)
    await domain.__aenter__()
    with psycopg.connect(postgres_server.url) as another:
        another.execute(f"lock {place_of(postgres_log).schema}.coagent_checkpoints".encode())
        unlock = threading.Timer(6, another.close)  # so that the test ends
        unlock.start()
        began_s = time.monotonic()
        await domain.__aexit__(None, None, None)
        took_s = time.monotonic() - began_s
        unlock.cancel()
    assert took_s < 5


@pytest.mark.anyio
async def test_who_waits_for_a_server_can_be_cancelled(proxy: Proxy, behind: str) -> None:
    async with opened(behind) as log:
        await log.append([joined(0)])
        proxy.cut()
        with anyio.move_on_after(0.2) as scope:
            await log.append([joined(1)])
        assert scope.cancelled_caught
        proxy.restore()
        await log.append([joined(2)])
        assert log.head == 2


@pytest.mark.anyio
async def test_a_log_is_not_opened_without_its_server(proxy: Proxy, behind: str) -> None:
    proxy.cut()
    with pytest.raises(LogUnavailable, match="cannot be opened"):
        async with opened(behind, patience_s=0.0):
            pass


@pytest.mark.anyio
async def test_a_server_with_no_connection_left_is_waited_for(
    postgres_server: ThrowawayPostgres, postgres_log: str
) -> None:
    async with opened(postgres_log, patience_s=0.2) as log:
        taken = []
        try:
            while True:
                taken.append(psycopg.connect(postgres_server.url))
        except psycopg.OperationalError:
            pass
        try:
            with pytest.raises(LogUnavailable, match=r"too many clients|reserved"):
                await log.append([joined(0)])
        finally:
            for one in taken:
                one.close()
        await log.append([joined(0)])
        assert log.head == 1


# ---- leases ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_leases_that_nobody_could_renew_do_not_run_out_when_the_server_is_back(
    postgres_server: ThrowawayPostgres,
    proxy: Proxy,
    behind: str,
    postgres_log: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coagent.log.postgres_link._WAIT_S_MAX", 0.01)
    schema = postgres_log.rpartition("schema=")[2]

    async def run_out(log: Log, seconds: float) -> None:
        await log.take_lease(f"for {seconds}", this_process(), seconds)
        with psycopg.connect(postgres_server.url, autocommit=True) as server:
            server.execute(f"update {schema}.coagent_leases set until = now() - interval '1 day'".encode())

    async with opened(behind) as log, opened(postgres_log) as other:
        with psycopg.connect(postgres_server.url) as server:
            row = server.execute(
                "select extract(epoch from now() - pg_postmaster_start_time())::double precision"
            ).fetchone()
        assert row is not None
        up_s = row[0]
        await run_out(log, up_s * 0.9)
        assert [one.left_s < 0 for one in await other.leases()] == [True]
        proxy.cut()
        with anyio.move_on_after(0.1):
            await log.append([joined(0)])
        proxy.restore()
        await log.append([joined(1)])
        assert [one.left_s > 0 for one in await log.leases()] == [True], "it was away itself"
        assert not await log.end_lease(f"for {up_s * 0.9}", late=True)
        assert await other.end_lease(f"for {up_s * 0.9}", late=True)
        await run_out(other, up_s * 10)
        assert [one.left_s > 0 for one in await other.leases()] == [True], "the server was started just now"
        assert not await other.end_lease(f"for {up_s * 10}", late=True)
        assert await other.end_lease(f"for {up_s * 10}")


# ---- a server that refuses ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_opening_a_log_where_the_synchronous_standby_is_gone_ends_with_the_reason(
    postgres_server: ThrowawayPostgres, postgres_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coagent.log.postgres_schema.ANSWER_S_MAX", 0.3)
    monkeypatch.setattr("coagent.log.postgres_link.ANSWER_S_MAX", 0.3)
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute("alter system set synchronous_standby_names = 'gone'")
        server.execute("select pg_reload_conf()")
        try:
            with (
                anyio.fail_after(30),
                pytest.raises(LogUnavailable, match="waits for its synchronous standby"),
            ):
                async with opened(postgres_log, patience_s=0.0) as log:
                    await append_for_ever(log)
        finally:
            server.execute("alter system reset synchronous_standby_names")
            server.execute("select pg_reload_conf()")


@pytest.mark.anyio
async def test_a_server_that_only_reads_is_named_and_waited_for(
    postgres_server: ThrowawayPostgres, postgres_log: str
) -> None:
    async with opened(postgres_log, patience_s=0.2) as log:
        await log.append([joined(0)])
        with psycopg.connect(postgres_server.url, autocommit=True) as server:
            server.execute("alter system set default_transaction_read_only = on")
            server.execute("select pg_reload_conf()")
            try:
                with pytest.raises(LogUnavailable, match="standby, or set to read only"):
                    await append_for_ever(log)
            finally:
                server.execute("set default_transaction_read_only = off")
                server.execute("alter system reset default_transaction_read_only")
                server.execute("select pg_reload_conf()")
        with anyio.fail_after(20):
            while True:
                try:
                    await log.append([joined(99)])
                    break
                except LogUnavailable:
                    continue
        assert (await held(postgres_log))[-1] == joined(99)


@pytest.mark.anyio
async def test_a_server_that_has_gone_back_is_noticed_by_whoever_was_ahead(
    postgres_server: ThrowawayPostgres, postgres_log: str
) -> None:
    schema = postgres_log.rpartition("schema=")[2]

    def go_back_to(number: int) -> None:
        with psycopg.connect(postgres_server.url, autocommit=True) as server:
            server.execute(f"delete from {schema}.coagent_records where number > {number}".encode())
            server.execute(
                f"update {schema}.coagent_heads set (number, chain) = (select number, checksum from "
                f"{schema}.coagent_records order by number desc limit 1)".encode()
            )

    async with opened(postgres_log) as ahead, opened(postgres_log) as replacing:
        await ahead.append([joined(number) for number in range(4)])
        go_back_to(2)
        with pytest.raises(HeadMoved):
            await ahead.append([joined(4)])
        with pytest.raises(LogError, match="no records 3 to 4 any more"):
            await ahead.read()
        await everything(replacing)
        await replacing.append([joined(7), joined(8)])
        with pytest.raises(HeadMoved):
            await ahead.append([joined(4)])
        with pytest.raises(LogError, match="other records"):
            await ahead.read()
        await replacing.append([joined(9)])
        with pytest.raises(LogError, match="other records"):
            await ahead.read()
    assert await held(postgres_log) == [joined(number) for number in (0, 1, 7, 8, 9)]
