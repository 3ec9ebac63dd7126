"""Three-way merges: nothing that anybody wrote alone is lost (rule 9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coagent.protocol.merging import Merged, merge
from coagent.protocol.values import Value

LINES = st.lists(st.sampled_from("abcde"), max_size=8)


def text(lines: list[str] | str) -> str:
    return "".join(f"{line}\n" for line in lines)


@given(LINES, LINES)
def test_what_one_side_alone_changed_stands(base: list[str], side: list[str]) -> None:
    assert merge(text(base), text(side), text(base)) == (text(side), True)
    assert merge(text(base), text(base), text(side)) == (text(side), True)
    assert merge(text(base), text(side), text(side)) == (text(side), True)


@given(LINES, LINES, LINES)
def test_lines_that_the_outsider_added_are_in_every_merge(
    base: list[str], found: list[str], now: list[str]
) -> None:
    added = [f"outside {at}" for at in range(len(found))]
    woven = [line for pair in zip(found, added, strict=True) for line in pair]
    merged = merge(text(base), text(woven), text(now)).value
    assert isinstance(merged, str)
    assert [line for line in merged.splitlines() if line.startswith("outside")] == added


@given(st.lists(st.integers(0, 2), min_size=1, max_size=10))
def test_edits_of_different_lines_all_stand(owners: list[int]) -> None:
    """Each line of the base is changed by nobody, by the outsider or by the agents, next to one another."""
    base = [f"line {at}" for at in range(len(owners))]
    found = [line + (" outside" if owner == 1 else "") for line, owner in zip(base, owners, strict=True)]
    now = [line + (" agent" if owner == 2 else "") for line, owner in zip(base, owners, strict=True)]
    both = [line + ["", " outside", " agent"][owner] for line, owner in zip(base, owners, strict=True)]
    assert merge(text(base), text(found), text(now)) == (text(both), True)


@pytest.mark.parametrize(
    ("base", "found", "now", "merged"),
    [
        ("a", "ax", "ay", "ayx"),
        ("ab", "axb", "ayb", "ayxb"),
        ("ab", "Ab", "ayb", "Ayb"),
        ("ab", "b", "ayb", "yb"),
        ("ab", "axb", "axb", "axb"),
    ],
    ids=["at the end", "in the middle", "after a changed line", "after a deleted line", "the same"],
)
def test_insertions_in_one_place_stand_in_the_order_of_positions(
    base: str, found: str, now: str, merged: str
) -> None:
    assert merge(text(base), text(found), text(now)) == (text(merged), True)


@pytest.mark.parametrize(
    ("saw", "found", "now", "expected"),
    [
        (text("a"), text("x"), text("y"), Merged(text("x"), False)),
        ({"n": 1}, {"n": 2}, {"n": 3}, Merged({"n": 2}, False)),
        (None, 1, 2, Merged(1, False)),
        (1, None, 2, Merged(None, False)),
    ],
)
def test_where_both_changed_one_part_the_outsiders_stands_and_that_is_said(
    saw: Value, found: Value, now: Value, expected: Merged
) -> None:
    assert merge(saw, found, now) == expected


def test_fields_and_named_things_are_merged_each_by_itself() -> None:
    saw: Value = {"replicas": 1, "containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}
    found: Value = {"replicas": 7, "containers": [{"name": "a", "image": "2"}, {"name": "b", "image": "1"}]}
    now: Value = {
        "replicas": 1,
        "containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}],
        "x": 1,
    }
    assert merge(saw, found, now) == (
        {"replicas": 7, "containers": [{"name": "a", "image": "2"}, {"name": "b", "image": "3"}], "x": 1},
        True,
    )
