"""What all tests share: a helper module beside some tests can be imported by its name from any of them."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from throwaway_postgres import ThrowawayPostgres

TESTS = Path(__file__).parent

sys.path[:0] = sorted({str(path.parent) for path in TESTS.rglob("*.py") if path.parent != TESTS})


# How long anything takes is no matter of right and wrong: machines are busy.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-scenarios",
        action="store_true",
        help="write what comes out of the scenarios now into their files",
    )


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile the tracer of commands once for a test worker: that takes as long as some ten commands."""
    from coagent.systems.shell.views import launch_server

    compiled = launch_server._compile

    @cache
    def library() -> list[str]:
        return compiled(tmp_path_factory.mktemp("tracer"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch_server, "_compile", lambda _folder: library())
        yield


@pytest.fixture(scope="session", autouse=True)
def no_disk_is_waited_for() -> Iterator[None]:
    """Leave what is written with the kernel: processes of tests are killed, but no machine loses power."""
    from disk import wait_for_none

    with pytest.MonkeyPatch.context() as patch:
        wait_for_none(patch.setattr)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[ThrowawayPostgres]:
    from throwaway_postgres import ThrowawayPostgres

    server = ThrowawayPostgres()
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_schemas() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def postgres_log(postgres_server: ThrowawayPostgres, postgres_schemas: Iterator[int]) -> str:
    """The URL of a log that does not exist yet, in a schema of its own on a PostgreSQL server that runs."""
    return f"{postgres_server.url}&schema=log_{next(postgres_schemas)}"


@pytest.fixture
def postgres(postgres_server: ThrowawayPostgres) -> str:
    """The URL of a PostgreSQL server that runs."""
    return postgres_server.url
