"""Hosts with processes and checkouts of their own, on one PostgreSQL log: cut off, killed, and back again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from checkouts import content, host
from host_process import Host, assert_serial, committed
from postgres_proxy import Proxy
from test_postgres_owners import run_out
from throwaway_postgres import ThrowawayPostgres

from coagent import LogError
from coagent.log.urls import place_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def proxy(postgres_server: ThrowawayPostgres) -> Iterator[Proxy]:
    proxy = Proxy(postgres_server.folder)
    yield proxy
    proxy.close()


async def test_processes_on_two_hosts_write_one_tree(postgres_log: str, folders: list[Path]) -> None:
    hosts = [Host(postgres_log, folder, name, 3) for folder, name in zip(folders[:2], "AB", strict=True)]
    for one in hosts:
        one.go()
    for one in hosts:
        one.hear("committed 2")
    for one in hosts:
        one.end()
    assert_serial(folders[0], {"A": 3, "B": 3})
    assert content(folders[0]) == content(folders[1])


async def test_a_host_that_is_cut_off_says_so_and_catches_up_when_it_is_back(
    postgres_log: str, folders: list[Path], proxy: Proxy
) -> None:
    away = Host(proxy.url(postgres_log), folders[1], "B", 5, patience_s=0.2)
    proxy.cut()
    away.go()
    away.hear("failed log_unavailable")
    here = Host(postgres_log, folders[0], "A", 3)
    here.go()
    here.hear("committed 2")
    assert not (folders[1] / "shared").exists()
    proxy.restore()
    away.end()
    here.end()
    assert_serial(folders[1], {"A": 3})
    assert content(folders[0]) == content(folders[1])


async def test_a_host_that_is_killed_in_the_middle_of_its_puts_comes_back_to_the_same_tree(
    postgres_log: str, folders: list[Path]
) -> None:
    killed = Host(postgres_log, folders[1], "B", 1000)
    here = Host(postgres_log, folders[0], "A", 3)
    killed.go()
    killed.hear("committed 1")
    here.go()
    killed.kill()
    here.hear("committed 2")
    here.end()
    async with host(postgres_log, folders[1]) as back:
        await back.settle()
        assert not [agent for agent in back.agents if not agent.ended]
    async with host(postgres_log, folders[0]) as back:
        await back.settle()
    made = sum(one.startswith("B") for one in committed(postgres_log))
    assert made >= 2
    assert_serial(folders[0], {"A": 3, "B": made})
    assert content(folders[0]) == content(folders[1])


@pytest.mark.long
async def test_three_hosts_write_one_tree_while_one_is_cut_off_again_and_again(
    postgres_log: str, folders: list[Path], proxy: Proxy
) -> None:
    urls = [postgres_log, proxy.url(postgres_log), postgres_log]
    hosts = [Host(url, folder, name, 15) for url, folder, name in zip(urls, folders, "ABC", strict=True)]
    for one in hosts:
        one.go()
    for number in (1, 4, 8):
        hosts[1].hear(f"committed {number}")
        proxy.cut()
        hosts[0].hear(f"committed {number}")
        proxy.restore()
    for one in hosts:
        one.hear("committed 14")
    for one in hosts:
        one.end()
    assert_serial(folders[0], {"A": 15, "B": 15, "C": 15})
    assert content(folders[0]) == content(folders[1]) == content(folders[2])


@pytest.mark.long
@pytest.mark.parametrize("puts", range(1, 12, 2))
async def test_a_host_killed_at_any_of_its_puts_comes_back_to_the_same_tree(
    postgres_log: str, folders: list[Path], puts: int
) -> None:
    hosts = [Host(postgres_log, folder, name, 1000) for folder, name in zip(folders, "ABC", strict=True)]
    for one in hosts:
        one.go()
    hosts[1].hear(f"committed {puts}")
    for one in hosts:
        one.kill()
    for folder in folders:
        async with host(postgres_log, folder, order="early") as back:
            await back.settle()
    for folder in folders:
        async with host(postgres_log, folder, order="early") as back:
            await back.settle()
    made = {name: sum(one.startswith(name) for one in committed(postgres_log)) for name in "ABC"}
    assert_serial(folders[0], made)
    assert content(folders[0]) == content(folders[1]) == content(folders[2])


@pytest.mark.long
@pytest.mark.parametrize("puts", [1, 4])
async def test_a_host_that_was_stopped_for_longer_than_its_lease_leaves_nothing_of_what_others_took_back(
    postgres_log: str, postgres_server: ThrowawayPostgres, folders: list[Path], puts: int
) -> None:
    stopped = Host(postgres_log, folders[1], "B", 1000)
    here = Host(postgres_log, folders[0], "A", 3)
    stopped.go()
    stopped.hear(f"committed {puts}")
    os.kill(stopped.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, stopped.process.pid, os.WSTOPPED | os.WNOWAIT)
    run_out(postgres_server.url, postgres_log)
    here.go()
    here.hear("committed 2")
    os.kill(stopped.process.pid, signal.SIGCONT)
    stopped.hear(f"committed {puts + 1}", "failed agent_taken_up", "failed agent_not_active")
    stopped.kill()
    here.end()
    for folder in folders[:2] * 2:
        async with host(postgres_log, folder, order="early") as back:
            await back.settle()
    by = [one[0] for one in committed(postgres_log)]
    lines = (folders[0] / "shared").read_text().splitlines()
    assert sorted(line[0] for line in lines) == sorted(by)
    assert content(folders[0]) == content(folders[1])


async def test_a_checkout_that_holds_what_the_log_has_lost_is_refused_though_the_log_is_longer_by_now(
    postgres_server: ThrowawayPostgres, postgres_log: str, folders: list[Path]
) -> None:
    async with host(postgres_log, folders[0]) as here, host(postgres_log, folders[1]) as there:
        a = await here.join("A")
        await a.call("append", key="file:a", line="kept")
        await there.settle()
    copied = (folders[1] / ".coagent/host.json").read_text()
    schema = place_of(postgres_log).schema
    with psycopg.connect(postgres_server.url) as server:  # what a failover to a late standby leaves
        kept = server.execute(f"select number, chain from {schema}.coagent_heads".encode()).fetchone()
        assert kept is not None
        server.commit()
        async with host(postgres_log, folders[0]) as here:
            b = await here.join("B")
            await b.call("put", key="file:lost", value="lost\n")
        server.execute(f"delete from {schema}.coagent_records where number > %s".encode(), (kept[0],))
        server.execute(f"update {schema}.coagent_heads set (number, chain) = (%s, %s)".encode(), kept)
    (folders[1] / ".coagent/host.json").write_text(copied)
    async with host(postgres_log, folders[1]) as there:
        for name in "CDE":
            c = await there.join(name)
            await c.call("append", key="file:a", line=f"of {name}")
    with pytest.raises(LogError, match="went another way than this host's copy") as refused:
        await host(postgres_log, folders[0]).__aenter__()
    assert "check out what its hosts began with anew" in refused.value.cure
