"""Rule 11: an edit that cannot be made again is merged before it is given up, and its agent is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_world import Agent, World

from coagent.log.codec import decode, encode
from coagent.protocol import events
from coagent.protocol.edit_merging import merge_texts

LINE = "size = small"


def late_change(old: str, new: str, text: str = f"top\n{LINE}, colour = red\nend\n") -> tuple[World, Agent]:
    """B edits a text, then A, which comes before, changes the same line."""
    world = World({"kv:t": text})
    a, b = world.join("A", "B")
    b.rewrite("kv:t", f"{LINE}, colour = red", f"{LINE}, colour = blue")
    world.settle()
    a.rewrite("kv:t", old, new)
    world.settle()
    return world, b


def test_rule_11_an_edit_whose_line_was_changed_elsewhere_is_merged_by_words() -> None:
    world, b = late_change("small", "large")
    assert world.live == {"kv:t": "top\nsize = large, colour = blue\nend\n"}
    assert [news.kind for news in b.inbox.moved[0].calls] == ["merged"]
    assert "+size = large, colour = blue" in b.inbox.moved[0].calls[0].after


def test_rule_11_where_both_changed_the_same_words_the_call_is_withdrawn() -> None:
    world, b = late_change("red", "green")
    assert world.live == {"kv:t": "top\nsize = small, colour = green\nend\n"}
    assert [news.kind for news in b.inbox.moved[0].calls] == ["withdrawn"]


def test_rule_11_what_was_merged_is_told_once() -> None:
    world, b = late_change("small", "large")
    assert b.told() == [
        ("kv:t", "top\nsize = small, colour = red\nend\n", "top\nsize = large, colour = red\nend\n")
    ]
    assert not b.unread
    world.settle()
    assert not b.unread


def test_rule_11_a_merge_that_comes_out_otherwise_later_is_told_again() -> None:
    world, b = late_change("small", "large")
    b.told()
    (a,) = [agent for agent in world.kernel.agents.values() if agent.name == "A"]
    Agent(world, a).rewrite("kv:t", "large", "huge")
    world.settle()
    assert world.live == {"kv:t": "top\nsize = huge, colour = blue\nend\n"}
    assert [news.kind for news in b.inbox.moved[0].calls] == ["merged"]


def test_rule_11_an_edit_that_can_be_made_again_as_it_was_is_no_news() -> None:
    world = World({"kv:t": f"{LINE}, colour = red\n"})
    a, b = world.join("A", "B")
    edited = b.rewrite("kv:t", f"{LINE}, colour = red", f"{LINE}, colour = blue")
    late = a.rewrite("kv:t", "small", "large")
    world.settle()
    assert edited.seen.merged
    a.undo(late)
    world.settle()
    assert world.live == {"kv:t": f"{LINE}, colour = blue\n"}
    assert not edited.seen.merged
    assert not b.unread


def test_rule_11_a_call_whose_agent_knows_that_it_failed_is_not_merged() -> None:
    world = World({"kv:t": "one two\n"})
    a, b = world.join("A", "B")
    edited = b.rewrite("kv:t", "one two", "one three")
    first = a.rewrite("kv:t", "two", "four")
    world.settle()
    b.told()
    a.undo(first)
    a.rewrite("kv:t", "one", "zero")
    world.settle()
    assert edited.writes == {}
    assert world.live == {"kv:t": "zero two\n"}


def test_rule_11_what_was_deleted_cannot_be_merged_into() -> None:
    world = World({"kv:t": "one\n"})
    a, b = world.join("A", "B")
    b.rewrite("kv:t", "one", "two")
    world.settle()
    a.delete("kv:t")
    world.settle()
    assert world.live == {}
    assert [news.kind for news in b.inbox.moved[0].calls] == ["withdrawn"]


def test_rule_11_a_record_says_that_a_run_was_merged() -> None:
    world, _ = late_change("small", "large")
    (event,) = [event for event in world.events if isinstance(event, events.CallReexecuted)]
    assert event.observation.merged
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    ("saw", "found", "now", "merged"),
    [
        ("f(a)", "f(a, b)", "f(a, c)", "f(a, c, b)"),  # both insert: the lower one's comes first
        ("a b c", "a b d", "x b c", "x b d"),
        ("a b c", "a d c", "a e c", None),
        ("a b c", "a c", "a b x c", None),  # one takes away what the other has added to
        ("one\ntwo\n", "one\n2\n", "1\ntwo\n", "1\n2\n"),
        ("one\n", "one\ntwo\n", "one\nthree\n", "one\nthree\ntwo\n"),
        ('"x": 1\n', '"x": 1,\n"b": 2\n', '"x": 1,\n"a": 2\n', '"x": 1,\n"a": 2,\n"b": 2\n'),
        ("a\n", "b\n", "b\n", "b\n"),
        ("", "b\n", "c\n", "c\nb\n"),
        ("\na b\n\n", "a b\na b\n\n", "b\n", None),  # two words would have become one
    ],
)
def test_texts_are_merged_by_lines_and_then_by_words(
    saw: str, found: str, now: str, merged: str | None
) -> None:
    assert merge_texts(saw, found, now) == merged


_LINES = st.lists(st.sampled_from(["a b", "a c", "b", "c d e", ""]), max_size=6).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@given(_LINES, _LINES)
def test_merging_with_a_side_that_changed_nothing_gives_the_other(saw: str, other: str) -> None:
    assert merge_texts(saw, other, saw) == other
    assert merge_texts(saw, saw, other) == other
    assert merge_texts(saw, other, other) == other


@given(_LINES, _LINES, _LINES)
def test_a_merge_holds_nothing_that_none_of_the_three_had(saw: str, found: str, now: str) -> None:
    merged = merge_texts(saw, found, now)
    words = {*saw.split(), *found.split(), *now.split()}
    assert merged is None or set(merged.split()) <= words
