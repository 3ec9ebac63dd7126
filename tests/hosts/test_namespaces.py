"""Hosts with networks, names and processes of their own, on one PostgreSQL log: cut off, killed, and healed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkouts import clone, content, repository
from host_process import Host, assert_serial, committed
from namespaces import NetHost, Network
from throwaway_postgres import ThrowawayPostgres


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


@pytest.fixture
def server(network: Network) -> Iterator[ThrowawayPostgres]:
    """A server on a host of its own."""
    server = ThrowawayPostgres(on=network.host("db"))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def hosts(network: Network) -> list[NetHost]:
    """Three hosts."""
    return [network.host(name) for name in ("one", "two", "three")]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three checkouts of one repository."""
    origin = repository(tmp_path / "one")
    return [origin, clone(origin, tmp_path / "two"), clone(origin, tmp_path / "three")]


def test_a_host_whose_packets_vanish_goes_on_when_they_come_through_again(
    server: ThrowawayPostgres, network: Network, folders: list[Path]
) -> None:
    log = server.net_url
    hosts = [network.host(name) for name in ("one", "two")]
    a, b = (
        Host(log, folder, name, 3, on=host, opens=False)
        for folder, name, host in zip(folders, "AB", hosts, strict=False)
    )
    a.hear("open")
    b.hear("open")
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
    a.end()
    b.end()
    assert sorted(committed(server.url)) == ["A0", "A1", "A2", "B-stays"]
    assert (folders[0] / "shared").read_text() == "A 0\nA 1\nA 2\nB-stays 1\n"
    assert content(folders[0]) == content(folders[1])
