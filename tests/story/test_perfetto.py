"""A trace has as long slices as the log says that things took, and none that overlap."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from coagent.story.perfetto import trace

_CALL = {"id": "A.1", "tool": "bash", "call": "0:1", "rank": 0, "state": "done", "error": None}


def step(n: int, at: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"n": n, "at": at, "kind": kind, "text": kind, "rank": 0, **fields}


def slices(*steps: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return the name, begin and length of each slice, in ms."""
    events = [one for one in trace(steps, "run")["traceEvents"] if one["ph"] == "X"]
    for one, later in pairwise(events):
        assert one["ts"] + one["dur"] <= later["ts"], "importers drop slices that overlap"
    return [(one["name"], one["ts"] / 1000, one["dur"] / 1000) for one in events]


JOIN = step(1, 0, "join", name="A", order=0)


def test_a_call_is_as_long_as_it_took_and_what_came_before_it_is_thinking() -> None:
    found = slices(
        JOIN,
        step(2, 9_000, "call", **_CALL, took_ms=3_000),
        step(3, 9_500, "finish"),
        step(4, 12_000, "commit"),
    )
    names = [(name, round(begin / 1000, 1), round(length / 1000, 1)) for name, begin, length in found]
    assert names == [
        ("join", 0.0, 0.0),
        ("thinking", 0.0, 6.0),
        ("A.1 bash", 6.0, 3.0),
        ("thinking", 9.0, 0.5),
        ("finish", 9.5, 0.0),
        ("waiting", 9.5, 2.5),
        ("commit", 12.0, 0.0),
    ]


def test_nothing_is_long_of_which_nobody_knows_how_long_it_was() -> None:
    found = slices(JOIN, step(2, 9_000, "call", **_CALL), step(3, 20_000, "call", **_CALL))
    assert [(name, round(length, 1)) for name, _, length in found] == [
        ("join", 0.2),
        ("A.1 bash", 0.2),
        ("A.1 bash", 0.2),
    ]


def test_a_call_that_was_recorded_later_ended_before() -> None:
    found = slices(JOIN, step(2, 9_000, "call", **_CALL, took_ms=1_000, ago_ms=4_000), step(3, 9_000, "undo"))
    assert found[2][:2] == ("A.1 bash", 4_000.0)


def test_a_run_that_begins_and_ends_by_records_of_its_own_lies_between_them() -> None:
    found = slices(JOIN, step(2, 1_000, "start", **_CALL), step(3, 6_000, "ran", **_CALL))
    assert [(name, round(length / 1000)) for name, _, length in found[1:]] == [
        ("thinking", 1),
        ("A.1 bash", 0),
        ("A.1 bash", 5),
    ]


def test_what_an_agent_says_is_an_instant_and_stands_at_its_calls() -> None:
    said = step(2, 500, "said", said="I build it.", goal=False)
    events = trace([JOIN, said, step(3, 900, "call", **_CALL, took_ms=300)], "run")["traceEvents"]
    (instant,) = [one for one in events if one["ph"] == "i"]
    assert (instant["name"], instant["ts"]) == ("I build it.", 500_000)
    assert [one["args"].get("said") for one in events if one["name"] == "A.1 bash"] == ["I build it."]
