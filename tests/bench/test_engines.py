"""The benchmark of the log's engines measures what it says; how fast they are, is no test's business."""

from __future__ import annotations

import json

import psycopg
import pytest
from commands import coagent

from coagent.errors import ConfigurationError
from coagent_lab.bench.engines import measure


def test_engines_are_measured_side_by_side_and_leave_nothing_behind(postgres: str) -> None:
    done = coagent(
        *("bench", "log", "--log", postgres, "--processes", "2", "--agents", "2"),
        *("--think", "0", "--seconds", "0.2", "--json"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["log"].partition(":")[0] for one in found["calls"]] == ["sqlite", "postgresql"]
    for one in found["calls"]:
        assert (one["processes"], one["agents"]) == (2, 2)
        assert one["calls"] >= 4
        assert 0 < one["median_ms"] <= one["p99_ms"] <= one["p999_ms"]
        assert one["memory_mb"] > 10
        assert one["calls_per_s"] > 0
    assert all(one["median_ms"] > 0 for one in found["bare_commit"].values())
    with psycopg.connect(postgres) as server:
        left = server.execute("select 1 from pg_namespace where nspname like 'coagent_bench%'").fetchall()
    assert left == []


def test_what_is_no_server_is_not_measured() -> None:
    with pytest.raises(ConfigurationError, match="is no URL of a PostgreSQL server"):
        measure(["mysql://h/d"], [1], [0.0], 0.1)
