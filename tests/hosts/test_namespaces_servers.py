"""Servers with networks of their own: restarted, failed over, and come back after a failover."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from checkouts import content
from host_process import Host, assert_one_tree, end, processes
from namespaces import NetHost, Network
from throwaway_postgres import ThrowawayPostgres

pytestmark = pytest.mark.long

Pair = tuple[ThrowawayPostgres, ThrowawayPostgres]


@pytest.fixture
def pair(network: Network) -> Iterator[Callable[[bool], Pair]]:
    """Makes a server and its standby, each on a host of its own; the standby may be a synchronous one."""
    made: list[ThrowawayPostgres] = []

    def make(synchronous: bool) -> Pair:
        first = ThrowawayPostgres(on=network.host("db1"))
        made.append(first)
        first.start("-c wal_level=replica")
        second = ThrowawayPostgres(copy_of=first, on=network.host("db2"))
        made.append(second)
        second.start("-c hot_standby=on")
        with psycopg.connect(first.url, autocommit=True) as server:
            if synchronous:
                server.execute("alter system set synchronous_standby_names = '*'")
                server.execute("select pg_reload_conf()")
            until_s = time.monotonic() + 30
            wanted = ("streaming", "sync" if synchronous else "async")
            while server.execute("select state, sync_state from pg_stat_replication").fetchone() != wanted:
                assert time.monotonic() < until_s
                time.sleep(0.05)
        return first, second

    yield make
    for one in made:
        one.remove()


def host_of(server: ThrowawayPostgres) -> NetHost:
    assert server.on is not None
    return server.on


def url_of(pair: Pair) -> str:
    """Return the URL that names both."""
    return f"postgresql://postgres@{','.join(host_of(one).address for one in pair)}/postgres"


def head(server: ThrowawayPostgres) -> int:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute("select number from coagent.coagent_heads").fetchone()
    assert row is not None
    return int(row[0])


def worked(host: Host, count: int) -> None:
    """Have a host's agents work, and wait for the last one."""
    host.do(f"work {count}")
    host.hear("slowest")


def test_a_server_whose_host_crashes_again_and_again_holds_all_that_was_answered(
    server: ThrowawayPostgres, network: Network, hosts: list[NetHost], folders: list[Path]
) -> None:
    three = processes(server.net_url, folders, hosts, 40)
    for one in three:
        one.go()
    for number in (3, 10):
        three[0].hear(f"committed {number}")
        network.hosts[0].crash()
        network.hosts[0].reboot()
        server.reboot()
    for one in three:
        one.hear("committed 39")
    end(three)
    assert_one_tree(server.url, folders)


def test_after_a_failover_all_go_on_on_the_standby_though_the_old_server_comes_back(
    pair: Callable[[bool], Pair], network: Network, hosts: list[NetHost], folders: list[Path]
) -> None:
    first, second = both = pair(True)
    a, b = processes(url_of(both), folders[:2], hosts, 2)
    worked(a, 3)
    worked(b, 3)
    apart = [host_of(second), hosts[1], hosts[2]]  # the old server has A
    network.part(*apart)
    second.promote()
    worked(b, 2)
    a.do("work 2")
    a.hear("failed log_unavailable")
    assert "waits for its synchronous standby" in a.hear("because")
    for one in apart:
        one.heal()
    c = Host(url_of(both), folders[2], "C", on=hosts[2])
    worked(c, 2)
    worked(b, 2)
    until_s = time.monotonic() + 60
    a.do("work 2")
    while not a.hear("slowest", "failed").startswith("slowest"):  # until it has looked for another server
        assert time.monotonic() < until_s, a.said
        a.do("work 2")
    end([a, b, c])
    assert content(folders[0]) == content(folders[1]) == content(folders[2])
    assert head(first) < head(second)
    assert any("takes writes too" in line for line in c.errors)


def test_hosts_that_went_on_with_different_servers_are_told_so_and_go_on_with_the_promoted_one(
    pair: Callable[[bool], Pair], network: Network, hosts: list[NetHost], folders: list[Path]
) -> None:
    both = pair(False)
    a, b = processes(url_of(both), folders[:2], hosts)
    worked(a, 3)
    worked(b, 3)
    a.do("settle")
    a.hear("settled")
    apart = [host_of(both[1]), hosts[1], hosts[2]]
    network.part(*apart)
    both[1].promote()
    worked(a, 2)  # on the old server, which nobody has told
    worked(b, 2)
    lost = head(both[0])
    for one in apart:
        one.heal()
    c = Host(url_of(both), folders[2], "C", on=hosts[2])
    worked(c, 2)
    until_s = time.monotonic() + 60
    a.do("settle")
    while (heard := a.hear("settled", "failed")) == "settled":
        assert time.monotonic() < until_s
        time.sleep(0.2)
        a.do("settle")
    assert heard == "failed log_error"
    assert "the server has gone back" in a.hear("because")
    assert head(both[0]) == lost
    a.kill()
    again = Host(url_of(both), folders[0], "A", on=hosts[0], opens=False)
    again.hear("refused log_error")
    assert "went another way than this host's copy" in again.hear("because")
    again.kill()
    end([b, c])
    assert content(folders[1]) == content(folders[2])
