"""Times as people read them."""

from __future__ import annotations

import pytest

from coagent.wording.times import day_and_time, time_of_day


@pytest.mark.parametrize("said", [day_and_time, time_of_day])
def test_times_of_a_virtual_clock_are_not_of_1970(said: object) -> None:
    assert callable(said)
    assert said(0) == "+0.0 s"
    assert said(75_250) == "+75.2 s"


def test_other_times_are_of_a_day() -> None:
    assert day_and_time(1_790_000_000_000).startswith("2026-09-2")
    assert time_of_day(1_790_000_000_000).count(":") == 2
    assert time_of_day(10**30) == "--:--:--"
