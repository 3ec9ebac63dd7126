"""Hosts with networks, names and processes of their own, on one PostgreSQL log: cut off, and healed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import psycopg
import pytest
from host_process import Host, assert_one_tree, end, ended, processes
from namespaces import NetHost
from throwaway_postgres import ThrowawayPostgres

LEASE_S = 3.0


def test_a_host_whose_packets_vanish_goes_on_when_they_come_through_again(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    a, b = processes(server.net_url, folders[:2], hosts, 3)
    b.do("join")
    b.hear("joined")
    hosts[1].cut()
    b.do("line")
    a.go()
    a.hear("committed 2")
    hosts[1].heal()
    b.hear("added")
    b.do("finish")
    b.hear("committed")
    end([a, b])
    assert_one_tree(server.url, folders[:2], more=1)


@pytest.mark.long
def test_a_host_cut_off_for_longer_than_its_lease_is_refused_for_its_agent_and_goes_on_with_others(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    a, b, c = processes(server.net_url, folders, hosts, 4, lease_s=LEASE_S)
    b.do("join")
    b.hear("joined")
    b.do("line")
    b.hear("added")
    hosts[1].cut()
    ended(server.url, "B-stays", "aborted")
    a.go()
    c.go()
    a.hear("committed 3")
    c.hear("committed 3")
    hosts[1].heal()
    b.do("line")
    assert b.hear("failed", "added") in ("failed agent_taken_up", "failed agent_not_active")
    assert "B-stays" in b.hear("because")
    b.go()
    b.hear("committed 3")
    end([a, b, c])
    assert_one_tree(server.url, folders)


@pytest.mark.long
def test_an_agent_of_a_host_that_is_cut_off_is_taken_up_elsewhere_and_never_twice(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    a, b = processes(server.net_url, folders[:2], hosts, 2, lease_s=LEASE_S)
    b.do("join kept")
    b.hear("joined")
    b.do("line")
    b.hear("added")
    a.do("attach B-stays")
    a.hear("failed join_refused")
    assert "on two" in a.hear("because")
    hosts[1].cut()
    b.do("line")
    time.sleep(LEASE_S * 1.5)
    a.do("attach B-stays")
    a.hear("attached")
    a.do("line")
    a.hear("added")
    hosts[1].heal()
    assert b.hear("failed", "added") == "failed agent_taken_up"
    b.hear("because")
    a.do("finish")
    a.hear("committed")
    b.go()
    b.hear("committed 1")
    end([a, b])
    assert_one_tree(server.url, folders[:2], more=2)


@pytest.mark.long
def test_a_host_that_knows_that_it_has_no_network_says_so_and_goes_on_when_it_has(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    a, b = processes(server.net_url, folders[:2], hosts, 3, patience_s=1)
    hosts[1].unplug()
    b.go()
    b.hear("failed log_unavailable", within_s=40)
    a.go()
    a.hear("committed 2")
    hosts[1].plug()
    b.go()
    b.hear("slowest")
    end([a, b])
    assert_one_tree(server.url, folders[:2])


@pytest.mark.long
def test_a_server_does_not_keep_the_connections_of_a_host_that_is_cut_off(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    (b,) = processes(server.net_url, folders[:1], hosts)

    def connections() -> int:
        with psycopg.connect(server.url, autocommit=True) as asked:
            said = asked.execute(
                "select count(*) from pg_stat_activity where client_addr = %s", (hosts[0].address,)
            ).fetchone()
        assert said is not None
        return int(said[0])

    def wait_for(count: int) -> None:
        until_s = time.monotonic() + 75
        while connections() != count:
            assert time.monotonic() < until_s
            time.sleep(0.2)

    time.sleep(1)  # until it has looked for old records, for which it takes a third one
    wait_for(2)
    hosts[0].cut()
    wait_for(0)
    hosts[0].heal()
    b.do("work 1")
    b.hear("slowest")
    end([b])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_three_hosts_cut_off_at_random_write_one_tree(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path], seed: int
) -> None:
    chance = random.Random(seed)
    all_three = processes(server.net_url, folders, hosts, 100, lease_s=LEASE_S)
    for one in all_three:
        one.go()
    for _ in range(12):
        host = chance.choice(hosts)
        host.cut()
        time.sleep(chance.uniform(0.1, 2.0))
        host.heal()
        time.sleep(chance.uniform(0.0, 0.5))
    for one in all_three:
        one.hear("slowest", "failed")
    end(all_three)
    assert_one_tree(server.url, folders)


@pytest.mark.long
def test_a_host_cut_off_for_two_minutes_of_real_leases_is_refused_and_goes_on(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    a, b = processes(server.net_url, folders[:2], hosts, 3)
    b.do("join")
    b.hear("joined")
    b.do("line")
    b.hear("added")
    hosts[1].cut()
    a.go()
    ended(server.url, "B-stays", "aborted", within_s=150)
    a.hear("committed 2")
    hosts[1].heal()
    b.do("line")
    assert b.hear("failed", "added") in ("failed agent_taken_up", "failed agent_not_active")
    b.hear("because")
    b.go()
    b.hear("committed 2")
    end([a, b])
    assert_one_tree(server.url, folders[:2])


@pytest.mark.long
def test_hosts_whose_clocks_are_an_hour_apart_write_one_tree_and_keep_their_leases(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("no libfaketime on this machine")
    clocks: list[tuple[str, ...]] = [
        (),
        *(("env", f"LD_PRELOAD={library}", f"FAKETIME={by}") for by in ("+1h", "-1h")),
    ]
    a, b, c = (
        Host(server.net_url, folder, name, on=host, lease_s=LEASE_S, before=clock)
        for folder, name, host, clock in zip(folders, "ABC", hosts, clocks, strict=True)
    )
    b.do("join")
    b.hear("joined")
    for one in (a, b, c):
        one.do("work 5")
    for one in (a, b, c):
        one.hear("slowest")
    time.sleep(LEASE_S * 1.5)
    b.do("line")
    b.hear("added")
    b.do("finish")
    b.hear("committed")
    c.do("join")
    c.hear("joined")
    hosts[2].cut()
    ended(server.url, "C-stays", "aborted")
    hosts[2].heal()
    c.do("line")
    assert c.hear("failed", "added") in ("failed agent_taken_up", "failed agent_not_active")
    end([a, b, c])
    assert_one_tree(server.url, folders, more=1)
