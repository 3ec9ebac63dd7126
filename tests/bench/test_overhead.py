"""The benchmark of overhead measures what it says; how fast it is, is no test's business."""

from __future__ import annotations

import json
from typing import Any

import pytest
from commands import coagent

from coagent_lab.bench import overhead
from coagent_lab.bench.growth import Growth, Plan, measure_growth
from coagent_lab.bench.overhead import Row
from coagent_lab.bench.reopening import AIMS, Reopening
from coagent_lab.bench.samples import mean_of_rounds, median_of_rounds, percentile, timed


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_only_the_act_is_timed_in_order() -> None:
    seen: list[tuple[str, int]] = []

    def noted(what: str) -> Any:
        async def act(number: int) -> None:
            seen.append((what, number))

        return act

    samples = await timed(2, noted("act"), before=noted("before"), after=noted("after"))
    assert len(samples) == 2
    assert min(samples) >= 0
    assert seen == [(what, number) for number in (0, 1) for what in ("before", "act", "after")]


def test_a_disturbed_round_does_not_count() -> None:
    assert percentile([float(one) for one in range(100)], 0.99) == 99
    assert percentile([3.0], 0.5) == 3
    assert median_of_rounds([[1.0], [2.0], [900.0]], 0.5) == 2
    assert mean_of_rounds([[1.0, 2.0], [2.0, 4.0], [900.0]]) == 3


def test_aims_are_met_or_not() -> None:
    assert Row("memory", "write", 20.0, 20.5, 30.0, 20.0).met is True
    assert Row("memory", "write", 20.1, 20.5, 30.0, 20.0).met is False
    assert Row("memory", "contended write", 20.0, 20.5, 30.0).met is None
    assert Growth("memory", "agents", "read", [2, 10], [10.0, 13.0]).met is True
    assert Growth("memory", "agents", "read", [2, 10], [10.0, 13.1]).met is False
    assert Growth("memory", "committed calls", "read", [2, 10], [10.0, 11.1]).met is False
    assert Reopening(10, "open", 0.19).met is True
    assert Reopening(10, "open", 0.2).met is False


@pytest.mark.anyio
@pytest.mark.parametrize("axis", ["committed calls", "uncommitted calls", "agents"])
async def test_growth_is_measured_at_each_size(axis: Any) -> None:
    with overhead._folder() as folder:
        plan = Plan([("memory", axis, [2, 100]), ("sqlite", axis, [2, 100])], rounds=2, samples=5)
        found = await measure_growth(plan, lambda url: overhead._open(url, folder), lambda text: None)
    assert [(one.subject, one.operation) for one in found] == [
        ("memory", "read"),
        ("memory", "write"),
        ("sqlite", "read"),
        ("sqlite", "write"),
    ]
    assert all(len(one.median_us) == 2 and min(one.median_us) > 0 for one in found)


@pytest.mark.slow
@pytest.mark.long
def test_the_command_prints_json_only() -> None:
    done = coagent("bench", "overhead", "--quick", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    assert data["parameters"]["quick"] is True
    assert data["parameters"]["gc"]["enabled"] is True
    rows = {(row["subject"], row["operation"]): row for row in data["overhead"]}
    assert set(rows) == {
        ("function", "read"),
        ("function", "write"),
        *((subject, operation) for subject in overhead.SUBJECTS for operation in overhead.OPERATIONS),
    }
    assert all(0 < row["median_us"] <= row["p99_us"] for row in rows.values())
    assert rows["memory", "write"]["aim_us"] == 20
    assert {(one["axis"], tuple(one["sizes"])) for one in data["growth"]} == {
        ("committed calls", (1000, 10000, 100000)),
        ("committed calls", (1000, 10000)),
        ("uncommitted calls", (1000, 10000, 100000)),
        ("agents", (2, 10, 100)),
    }
    assert {(one["calls"], one["what"]) for one in data["reopening"]} == {(10**4, what) for what in AIMS}
    assert all(one["found"] > 0 for one in data["reopening"])
