"""What tests of several hosts share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkouts import clone, repository
from namespaces import NetHost, Network
from throwaway_postgres import ThrowawayPostgres


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three checkouts of one repository."""
    origin = repository(tmp_path / "one")
    return [origin, clone(origin, tmp_path / "two"), clone(origin, tmp_path / "three")]


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
