"""Random schemas and statements end as plain SQL would (`against_plain.py`; `make soak` runs more)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from against_plain import Plain, differences

FOUND = {
    "sqlite": [5, 107, 240, 379, 427, 557],
    "postgres": [23, 51],
}
"""Cases that have failed once."""
RANDOM = {"sqlite": 40, "postgres": 6}


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Plain]]:
    sqlite = request.param == "sqlite"
    plain = Plain(f"sqlite:///{tmp_path}/live.db" if sqlite else request.getfixturevalue("postgres"))
    yield request.param, plain
    plain.connection.close()


def test_random_statements_end_as_one_agent_after_the_other(database: tuple[str, Plain]) -> None:
    engine, plain = database
    for seed in [*FOUND[engine], *range(RANDOM[engine])]:
        assert differences(plain, seed) == [], seed


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 2000, 100))
def test_more_random_statements(database: tuple[str, Plain], first: int) -> None:
    engine, plain = database
    for seed in range(first, first + (100 if engine == "sqlite" else 25)):
        assert differences(plain, seed) == [], seed
