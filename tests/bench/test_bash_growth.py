"""The growth of a library averaged over all orders of the tasks: the formula against all orders tried out."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coagent_lab.bench.bash.growth import expected_curve


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=6))
def test_the_average_is_that_of_all_orders(tools: list[str]) -> None:
    orders = list(permutations(tools))
    average = [
        sum(len({name for name in order[:number] if name}) for order in orders) / len(orders)
        for number in range(1, len(tools) + 1)
    ]
    assert expected_curve(tools) == pytest.approx(average)


def test_after_all_tasks_every_tool_is_there() -> None:
    assert expected_curve(["a", "b", "a", "", "c"])[-1] == 3
    assert expected_curve(["a"] * 50) == [1] * 50
