"""Rule 9: what somebody outside has changed is told from what agents wrote, kept, and never run over."""

from __future__ import annotations

import anyio
import pytest
from kernel_world import World

import coagent
from coagent import State, tool
from coagent.protocol import events
from coagent.protocol.calls import OUTSIDE
from coagent.protocol.inbox import CallNews
from coagent.protocol.keys import Scan
from coagent.protocol.merging import distance, merge
from coagent.protocol.values import Traced, Value

# ---- where no agent at work has written: the base ----------------------------------------------------------


def test_rule_9_what_no_agent_has_written_changes_below_all_of_them_and_readers_are_told() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    a.read("kv:x")
    b.read("kv:x")
    world.outside("kv:x", 2)
    world.settle()
    assert world.live == {"kv:x": 2}
    assert world.kernel.edits("kv:x") == []
    for agent in (a, b):
        assert agent.inbox.moved[0].cause == OUTSIDE
        assert agent.told() == [("kv:x", 1, 2)]
        assert agent.read("kv:x").seen.value == 2


def test_rule_9_who_joins_later_sees_it_too() -> None:
    world = World({"kv:x": 1})
    a, _ = world.join("A", "B")
    a.read("kv:x")
    world.outside("kv:x", 2)
    [c] = world.join("C")
    assert c.read("kv:x").seen.value == 2


def test_rule_9_a_write_of_what_is_there_is_no_edit() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.read("kv:x")
    world.outside("kv:x", 1)
    assert not world.kernel.has_work
    a.put("kv:x", 2)
    world.settle()
    state = world.state
    world.outside("kv:x", 2)
    assert world.state == state
    assert world.kernel.edits("kv:x") == []


def test_rule_9_whatever_a_target_may_hold_on_its_way_is_no_edit() -> None:
    world = World({"kv:x": 0})
    [a] = world.join("A")
    for number in (1, 2):
        a.put("kv:x", number)
    for value in (0, 1, 2):
        world.outside("kv:x", value)
        assert world.kernel.edits("kv:x") == []
        assert world.kernel.live_value("kv:x") == 2
    world.live["kv:x"] = 0
    world.apply()
    world.outside("kv:x", 1)
    assert world.kernel.live_value("kv:x") == 1, "by now that is somebody's doing"


def test_rule_9_a_deletion_and_a_creation_are_changes_like_others() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.read("kv:x")
    a.read("kv:y")
    world.outside("kv:x", None)
    world.outside("kv:y", 1)
    world.settle()
    assert a.told() == [("kv:x", 1, None), ("kv:y", None, 1)]


# ---- where only a range, or a part, is known ---------------------------------------------------------------


def test_rule_9_an_untracked_object_in_a_scanned_range_is_told_to_those_who_saw_it_otherwise() -> None:
    world = World({"kv:x": {"n": 1}})
    a, b, c = world.join("A", "B", "C")
    a.keys("kv:")
    b.fields("kv:", "/n")
    c.keys("other:")
    world.outside("kv:y", {"m": 1})
    world.settle()
    assert a.told() == [("kv:", ["kv:x"], ["kv:x", "kv:y"])]
    assert not b.unread, "it has no such field"
    world.outside("kv:x", {"n": 2})
    world.settle()
    assert not a.unread, "it is there as before"
    assert b.told() == [("kv:", {"kv:x": 1}, {"kv:x": 2})]
    world.outside("kv:x", None)
    world.settle()
    assert a.told() == [("kv:", ["kv:x", "kv:y"], ["kv:y"])]
    assert not c.unread


def test_rule_9_an_untracked_object_concerns_those_who_saw_it_otherwise_and_nobody_else() -> None:
    world = World({"kv:x": {"n": 1}})
    a, b = world.join("A", "B")
    a.keys("kv:")
    b.read_field("kv:x", "/n")
    concerns = world.kernel.concerns_a_premise
    assert not concerns("kv:x", {"n": 1, "m": 1})
    assert concerns("kv:x", {"n": 2}), "B read that field"
    assert concerns("kv:x", None)
    assert concerns("kv:y", 1)
    assert not concerns("kv:y", None)
    assert not concerns("other:y", 1)
    a.read("kv:x")
    assert not concerns("kv:x", None), "it is tracked now, and asked for by itself"


def test_rule_9_a_part_of_an_object_that_nobody_has_read_as_a_whole_is_told_when_it_changed() -> None:
    world = World({"kv:x": {"n": 1, "m": 1}, "kv:t": "1\n2\n"})
    a, b, c = world.join("A", "B", "C")
    a.read_field("kv:x", "/n")
    b.read_field("kv:x", "/m")
    c.read_lines("kv:t", 1, 1)
    world.outside("kv:x", {"n": 2, "m": 1})
    world.outside("kv:t", "1\n3\n")
    world.settle()
    assert a.told() == [("kv:x", 1, 2)]
    assert not b.unread
    assert not c.unread
    world.outside("kv:t", "4\n3\n")
    world.settle()
    assert c.told() == [("kv:t", "1\n", "4\n")]


# ---- where agents have written: an edit right above what the outsider saw ----------------------------------


def test_rule_9_agents_never_run_on_top_of_themselves() -> None:
    world = World({"kv:t": "base\n"})
    a, b = world.join("A", "B")
    b.append("kv:t", "B")
    world.settle()
    world.outside("kv:t", "base\nB\noutside\n")
    world.settle()
    assert world.live == {"kv:t": "base\nB\noutside\n"}
    a.edit("kv:t", "base", "A's base")
    world.settle()
    assert world.live == {"kv:t": "A's base\nB\noutside\n"}, "each line once"


def test_rule_9_an_earlier_agent_does_not_see_it_a_later_one_does() -> None:
    world = World({"kv:x": {"n": 1, "m": 1}})
    a, b, c = world.join("A", "B", "C")
    b.put("kv:x", {"n": 2, "m": 1})
    world.settle()
    world.outside("kv:x", {"n": 2, "m": 9})
    assert a.read("kv:x").seen.value == {"n": 1, "m": 1}
    assert b.read("kv:x").seen.value == {"n": 2, "m": 9}, "B's next call is above it"
    assert c.read("kv:x").seen.value == {"n": 2, "m": 9}


def test_rule_9_readers_above_are_told_that_it_came_from_outside_readers_below_are_not() -> None:
    world = World({"kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    a.read("kv:x")
    b.put("kv:x", 2)
    own, read, listed = b.read("kv:x"), c.read("kv:x"), c.keys("kv:")
    world.settle()
    world.outside("kv:x", 3)
    world.settle()
    assert world.reruns == [own.id, read.id]
    assert c.inbox.moved[0].cause == OUTSIDE
    assert b.told() == [("kv:x", 2, 3)]
    assert c.told() == [("kv:x", 2, 3)]
    assert not a.unread
    world.outside("kv:x", None)
    world.settle()
    assert listed.seen.value == []


def test_rule_9_it_is_applied_again_by_lines_when_something_below_it_changes() -> None:
    world = World({"kv:t": "1\n2\n3\n"})
    a, b, c = world.join("A", "B", "C")
    b.edit("kv:t", "1", "one")
    world.settle()
    world.outside("kv:t", "one\n2\nthree\n")
    seen = c.read("kv:t")
    a.edit("kv:t", "2", "two")
    world.settle()
    assert world.live == {"kv:t": "one\ntwo\nthree\n"}
    assert seen.seen.value == "one\ntwo\nthree\n"
    assert not b.unread, "everything fits"


def test_rule_9_it_is_applied_again_by_fields_when_something_below_it_changes() -> None:
    world = World({"kv:x": {"n": 1, "m": 1, "o": 1}})
    a, b, _ = world.join("A", "B", "C")
    put = b.put("kv:x", {"n": 2, "m": 1, "o": 1})
    world.settle()
    world.outside("kv:x", {"n": 2, "m": 9, "o": 1})
    b.amend(put, value={"n": 3, "m": 1, "o": 1})
    world.settle()
    assert world.live == {"kv:x": {"n": 3, "m": 9, "o": 1}}
    a.put("kv:x", {"n": 0})
    world.settle()
    assert world.live == {"kv:x": {"n": 3, "m": 9, "o": 1}}, "B writes blindly above A"


def test_rule_9_an_abort_takes_back_exactly_what_its_agent_wrote() -> None:
    world = World({"kv:t": "base\n"})
    a, b = world.join("A", "B")
    a.append("kv:t", "A")
    b.append("kv:t", "B")
    world.settle()
    world.outside("kv:t", "outside\nbase\nA\nB\n")
    world.settle()
    b.abort()
    world.settle()
    assert world.live == {"kv:t": "outside\nbase\nA\n"}
    a.abort()
    world.settle()
    assert world.live == {"kv:t": "outside\nbase\n"}
    assert world.held.objects == ()


def test_rule_9_it_becomes_part_of_the_base_when_what_is_below_it_commits() -> None:
    world = World({"kv:t": "base\n"})
    a, b = world.join("A", "B")
    a.append("kv:t", "A")
    world.settle()
    world.outside("kv:t", "base\nA\noutside\n")
    assert len(world.kernel.edits("kv:t")) == 1
    b.read("kv:t")
    a.finish()
    world.advance()
    assert a.phase == "committed"
    assert world.kernel.edits("kv:t") == []
    assert world.kernel.lookup("kv:t", (b.rank, 0, 0)) == "base\nA\noutside\n"
    assert not b.unread
    assert world.live == {"kv:t": "base\nA\noutside\n"}


def test_rule_9_it_becomes_part_of_the_base_when_what_is_below_it_is_withdrawn() -> None:
    world = World({"kv:t": "base\n"})
    a, b, c = world.join("A", "B", "C")
    below = a.read("kv:t")
    put = b.append("kv:t", "B")
    world.settle()
    world.outside("kv:t", "base\nB\noutside\n")
    above = c.read("kv:t")
    b.undo(put)
    world.settle()
    assert world.live == {"kv:t": "base\noutside\n"}
    assert world.kernel.edits("kv:t") == []
    assert above.seen.value == "base\noutside\n"
    assert below.seen.value == "base\noutside\n", "there is nobody's work that it could lie above"
    assert a.told() == [("kv:t", "base\n", "base\noutside\n")]


def test_rule_9_several_edits_stand_one_above_another() -> None:
    world = World({"kv:t": "1\n2\n3\n"})
    a, b = world.join("A", "B")
    a.edit("kv:t", "1", "one")
    world.settle()
    world.outside("kv:t", "one\ntwo\n3\n")
    world.outside("kv:t", "one\ntwo\nthree\n")
    assert [edit.found for edit in world.kernel.edits("kv:t")] == ["one\ntwo\n3\n", "one\ntwo\nthree\n"]
    b.append("kv:t", "4")
    world.settle()
    world.outside("kv:t", "one\ntwo\nthree\n4\n5\n")
    assert len(world.kernel.edits("kv:t")) == 3
    assert world.kernel.edits("nobody:knows") == []
    a.abort()
    world.settle()
    assert world.live == {"kv:t": "1\ntwo\nthree\n4\n5\n"}


def test_rule_9_between_two_agents_it_stands_above_the_write_that_the_outsider_saw() -> None:
    """The outsider's save and B's write crossed: what they changed is the difference to A's value."""
    world = World({"kv:t": "1\n2\n3\n4\n"})
    a, b = world.join("A", "B")
    a.edit("kv:t", "1", "one")
    world.settle()
    b.edit("kv:t", "2", "two")
    world.outside("kv:t", "one\n2\n3\nfour\n")
    [edit] = world.kernel.edits("kv:t")
    assert (edit.saw, edit.position[0]) == ("one\n2\n3\n4\n", a.rank)
    world.settle()
    assert world.live == {"kv:t": "one\ntwo\n3\nfour\n"}


def test_rule_9_if_the_crossing_write_was_the_one_that_the_outsider_saw_it_stands_above_that() -> None:
    world = World({"kv:t": "1\n2\n3\n4\n"})
    a, b = world.join("A", "B")
    a.edit("kv:t", "1", "one")
    world.settle()
    b.edit("kv:t", "2", "two")
    world.outside("kv:t", "one\ntwo\n3\nfour\n")
    [edit] = world.kernel.edits("kv:t")
    assert (edit.saw, edit.position[0]) == ("one\ntwo\n3\n4\n", b.rank)
    assert not world.kernel.has_effects, "the target holds it as it should be"


def test_rule_9_what_is_found_and_what_should_be_are_both_known_to_whoever_puts_next() -> None:
    world = World({"kv:t": "1\n2\n"})
    [a] = world.join("A")
    a.edit("kv:t", "1", "one")
    world.settle()
    a.edit("kv:t", "2", "two")
    [effect] = world.kernel.ready().apply
    world.outside("kv:t", "one\n2\n3\n")
    world.rerun()
    [now] = world.kernel.ready().apply
    assert now.version > effect.version
    assert now.value == "one\ntwo\n3\n"
    assert "one\n2\n3\n" in now.expected, "it may be overwritten: it is part of the new value"
    world.take(events.EffectApplied("kv:t", effect.version))
    assert world.kernel.has_effects, "the acknowledgement of an earlier version says nothing"
    world.settle()
    assert world.live == {"kv:t": "one\ntwo\n3\n"}


def test_rule_9_what_was_changed_in_a_copy_that_was_behind_is_made_to_what_is_live() -> None:
    world = World({"kv:t": "one\ntwo\n"})
    [a] = world.join("A")
    a.put("kv:t", "one\ntwo\nof A\n")
    world.settle()
    world.take(events.OutsideWrite("kv:t", "ONE\ntwo\n", ("one\ntwo\n", "one\ntwo\nof A\n")))
    assert world.kernel.live_value("kv:t") == "ONE\ntwo\nof A\n"
    [effect] = world.kernel.ready().apply
    assert "ONE\ntwo\n" in effect.expected


def test_rule_9_what_was_changed_in_a_copy_that_was_behind_comes_to_the_others_though_nobody_touched_it() -> (
    None
):
    world = World({"kv:t": "one\ntwo\nof A\n"})
    world.take(events.OutsideWrite("kv:t", "ONE\ntwo\n", ("one\ntwo\n", "one\ntwo\nof A\n")))
    changes = list(world.kernel.take_live_changes())
    assert [(key, value) for key, value, _ in changes] == [("kv:t", "ONE\ntwo\nof A\n")]
    world.settle()
    assert not world.kernel.tracked_keys()


def test_rule_9_a_version_that_was_on_its_way_is_not_the_latest_any_more() -> None:
    world = World({"kv:x": {"n": 1, "m": 1}})
    [a] = world.join("A")
    a.put("kv:x", {"n": 2, "m": 1})
    [effect] = world.kernel.ready().apply
    found = {"n": 2, "m": 5}
    world.outside("kv:x", found)
    assert not world.kernel.has_effects
    version = world.kernel.version("kv:x")
    assert version > effect.version
    world.take(events.EffectApplied("kv:x", effect.version))
    assert world.kernel.may_hold("kv:x") == (found,)
    assert list(world.kernel.take_live_changes())[-1] == ("kv:x", found, ({"n": 1, "m": 1}, {"n": 2, "m": 1}))


def test_rule_9_where_nobody_can_tell_which_value_was_changed_the_earlier_one_is_taken() -> None:
    """An agent's blind write stands then, and the outsider's value is in the log and below it."""
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    b.put("kv:x", 1)
    world.outside("kv:x", 5)
    world.settle()
    assert world.live == {"kv:x": 1}
    assert a.read("kv:x").seen.value == 5


# ---- where it does not fit ---------------------------------------------------------------------------------


def test_rule_9_where_it_does_not_fit_any_more_the_outsiders_value_stands_and_the_agent_is_told_once() -> (
    None
):
    world = World({"kv:t": "1\n2\n"})
    a, b, c = world.join("A", "B", "C")
    edited = b.edit("kv:t", "1", "one")
    c.read("kv:x")
    world.settle()
    world.outside("kv:t", "outside\n2\n")
    world.settle()
    assert not b.unread, "the outsider changed what they saw, and that fits"
    b.amend(edited, new="ONE")
    world.settle()
    assert world.live == {"kv:t": "outside\n2\n"}
    [moved] = b.inbox.moved
    assert (moved.key, moved.before, moved.after, moved.cause) == (
        "kv:t", "ONE\n2\n", "outside\n2\n", OUTSIDE
    )  # fmt: skip
    assert moved.calls == [CallNews(edited.id, "edit", "overruled", "ONE\n2\n", "outside\n2\n")]
    assert b.inbox.keys == ("kv:t",)
    b.told()
    assert not b.unread
    assert not a.unread
    assert not c.unread


def test_rule_9_nobody_is_told_any_more_once_it_fits_again() -> None:
    world = World({"kv:t": "1\n2\n"})
    [a] = world.join("A")
    edited = a.edit("kv:t", "1", "one")
    world.settle()
    world.outside("kv:t", "outside\n2\n")
    a.amend(edited, new="ONE")
    assert a.unread
    a.amend(edited, new="one")
    assert not a.unread
    a.amend(edited, new="ONE")
    assert a.unread
    a.undo(edited)
    assert not a.unread, "there is nothing of the agent's that it could have overruled"


def test_rule_9_an_agent_does_not_finish_before_it_has_been_told_that_it_was_overruled() -> None:
    world = World({"kv:t": "1\n2\n"})
    [a] = world.join("A")
    edited = a.edit("kv:t", "1", "one")
    world.settle()
    world.outside("kv:t", "outside\n2\n")
    a.amend(edited, new="ONE")
    world.settle()
    assert "something to read" in world.refuses(events.Finished(a.rank))
    a.told()
    a.finish()
    world.advance()
    assert a.phase == "committed"
    assert world.live == {"kv:t": "outside\n2\n"}


@pytest.mark.parametrize(
    ("first", "found", "amended"),
    [
        (2, 3, 5),
        ("one", "two", "three"),
        ([1], [2], [3]),
        ({"n": 2}, {"n": 3}, {"n": 5}),
        ({"n": 2}, 3, {"n": 5}),
    ],
)
def test_rule_9_where_both_changed_one_thing_the_outsiders_stands_and_that_is_told(
    first: Value, found: Value, amended: Value
) -> None:
    world = World({"kv:x": None})
    [a] = world.join("A")
    put = a.put("kv:x", first)
    world.settle()
    world.outside("kv:x", found)
    assert not a.unread
    a.amend(put, value=amended)
    world.settle()
    assert world.live == {"kv:x": found}
    assert [(moved.before, moved.after) for moved in a.inbox.moved] == [(amended, found)]


def test_rule_9_a_person_who_saves_twice_before_an_effect_arrives_has_changed_what_they_left() -> None:
    world = World({"kv:t": "1\n2\n3\n"})
    a, b = world.join("A", "B")
    a.edit("kv:t", "1", "one")
    world.settle()
    b.edit("kv:t", "2", "two")
    world.outside("kv:t", "one\n2\n3\n4\n")
    world.rerun()
    world.outside("kv:t", "one\n2\n3\n4\n5\n")
    assert [(edit.saw, edit.position) for edit in world.kernel.edits("kv:t")] == [
        ("one\n2\n3\n", (0, 1, 1)),
        ("one\n2\n3\n4\n", (0, 1, 2)),
    ]
    world.settle()
    assert world.live == {"kv:t": "one\ntwo\n3\n4\n5\n"}
    a.abort()
    world.settle()
    assert world.live == {"kv:t": "1\ntwo\n3\n4\n5\n"}


def test_rule_9_what_a_traced_program_looked_at_concerns_it_whatever_it_was() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    looked, other = Scan("kv:", None, Traced("content")), Scan("other:", None, Traced("content"))
    run = world.observe(world.kernel.position(a.participant), "read", {"key": "kv:z"})._replace(reads={})
    traced = a.record(run._replace(scans={looked: {"kv:known": [1]}}))
    elsewhere = b.record(run._replace(scans={other: {}}))
    assert not world.kernel.concerns_a_premise("kv:known", 1)
    assert world.kernel.concerns_a_premise("kv:known", 2)
    world.outside("kv:x", 2)
    assert world.kernel.is_dirty(traced)
    assert not world.kernel.is_dirty(elsewhere)


def test_rule_9_readers_above_an_edit_that_comes_out_the_same_do_not_run_again() -> None:
    world = World({"kv:t": "1\n2\n"})
    [a, b] = world.join("A", "B")
    edited = a.edit("kv:t", "1", "one")
    world.settle()
    world.outside("kv:t", "outside\n2\n")
    b.read("kv:t")
    b.keys("kv:")
    a.amend(edited, new="ONE")
    world.settle()
    assert world.reruns == []


# ---- merges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saw", "found", "now", "merged"),
    [
        ({"n": 1}, {"n": 1, "m": 2}, {"n": 3}, {"n": 3, "m": 2}),
        ({"n": 1, "m": 2}, {"n": 1}, {"n": 3, "m": 2}, {"n": 3}),
        ({"n": 1, "m": 2}, {"n": 5, "m": 2}, {"n": 1}, {"n": 5}),
        ({"n": {"a": 1, "b": 1}}, {"n": {"a": 2, "b": 1}}, {"n": {"a": 1, "b": 3}}, {"n": {"a": 2, "b": 3}}),
        (None, {"n": 1}, {"m": 2}, {"m": 2, "n": 1}),
        (
            [{"name": "a", "v": 1}, {"name": "b", "v": 1}],
            [{"name": "a", "v": 2}, {"name": "b", "v": 1}],
            [{"name": "a", "v": 1}, {"name": "b", "v": 3}, {"name": "c"}],
            [{"name": "a", "v": 2}, {"name": "b", "v": 3}, {"name": "c"}],
        ),
        ("1\n2\n3\n", "0\n1\n2\n3\n", "1\n2\n3\n4\n", "0\n1\n2\n3\n4\n"),
        ("1\n2\n3\n", "1\n3\n", "1\n2\n4\n", "1\n4\n"),
        ("1\n2\n3\n", "1\ntwo\n3\n", "1\ntwo\n3\n4\n", "1\ntwo\n3\n4\n"),
        ("1\n2\n3\n4\n", "1\nx\n2\n3\n4\n", "1\nx\n2\n3\nfour\n", "1\nx\n2\n3\nfour\n"),
        ("1\n2\n3\n", "1\nf\n2\n3\n", "1\nn\n2\n3\n5\n", "1\nn\nf\n2\n3\n5\n"),
        ("1\n2\n3\n", "1\nx\n2\n3\n", "1\n2\nx\n3\n", "1\nx\n2\nx\n3\n"),
        ("1\n2\n3", "1\n2\n3\n", "0\n2\n3", "0\n2\n3\n"),
        (1, 2, 1, 2),
        (1, 1, 2, 2),
        (1, 2, 2, 2),
        (1, None, 1, None),
    ],
)
def test_rule_9_a_merge_that_fits_loses_neither_side(
    saw: Value, found: Value, now: Value, merged: Value
) -> None:
    assert merge(saw, found, now) == (merged, True)
    assert type(merge(saw, found, now).value) is type(merged)


@pytest.mark.parametrize(
    ("saw", "found", "now"),
    [
        (1, 2, 3),
        ({"n": 1}, None, {"n": 2}),
        ({"n": 1}, "text", {"n": 2}),
        ({"n": 1}, {"n": 2}, "text"),
        ("a\n", {"n": 2}, "b\n"),
        ("a\n", "b\n", {"n": 1}),
        ([1], [2], [3]),
        ([{"name": "a"}], [{"name": "a"}, {"name": "a", "v": 1}], [{"name": "b"}]),
        ([{"name": "a"}], [1], [{"name": "b"}]),
        ([1], {"n": 1}, [2]),
        ("1\n2\n3\n4\n5\n", "1\ntwo\n3\nfour\n5\n", "1\nx\n5\n"),
        ({"n": 1}, [1], [2]),
    ],
)
def test_rule_9_a_merge_that_does_not_fit_leaves_the_outsiders_and_says_so(
    saw: Value, found: Value, now: Value
) -> None:
    assert merge(saw, found, now) == (found, False)


@pytest.mark.parametrize(
    ("value", "nearer", "farther"),
    [
        ([1, 2, 3], [1, 2, 4], [5, 6, 7]),
        ([1, 2, 3], [1, 2], [1]),
        ([1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5]),
        ([{"n": 1, "m": 1}], [{"n": 1, "m": 2}], [{"n": 2, "m": 2}]),
        ([1, 2], [1, 3], [3, 4, 5]),
        ({"n": 1, "m": 1}, {"n": 1, "m": 2}, {"n": 2, "m": 2}),
        ({"n": 1, "m": 1}, {"n": 1}, {}),
        ("a\nb\nc\n", "a\nb\nd\n", "d\ne\nf\n"),
        (1, 1, 2),
        (None, None, 1),
    ],
)
def test_rule_9_the_nearest_of_several_values_is_the_one_that_was_changed(
    value: Value, nearer: Value, farther: Value
) -> None:
    assert distance(value, nearer) < distance(value, farther)
    assert distance(nearer, value) < distance(farther, value)


@pytest.mark.parametrize("other", [1, "1", None, [1], {"n": 1}, True])
def test_rule_9_values_of_another_kind_differ_in_one_thing(other: Value) -> None:
    assert distance(1.0, other) == 1
    assert distance(other, 1.0) == 1
    assert distance(other, other) == 0


# ---- the runtime: when it is seen --------------------------------------------------------------------------


@tool
async def read_part(state: State, key: str) -> Value:
    """Read one field."""
    return await state.get(key, path="/n")


@tool
async def read_whole(state: State, key: str) -> Value:
    """Read an object."""
    return await state.get(key)


@tool
async def read_range(state: State, key: str) -> Value:
    """List objects."""
    return await state.list(key)


@tool
async def put(state: State, key: str, value: Value) -> str:
    """Write an object."""
    await state.put(key, value)
    return "ok"


def _domain(live: coagent.targets.Memory) -> coagent.Domain:
    return coagent.open_domain("memory:", targets=[live], tools=[read_part, read_whole, read_range, put])


@pytest.mark.parametrize(
    ("tool_name", "key"), [("read_part", "kv:x"), ("read_whole", "kv:x"), ("read_range", "kv:")]
)
def test_rule_9_it_is_seen_before_a_commit_rests_on_it(tool_name: str, key: str) -> None:
    async def main() -> None:
        live = coagent.targets.Memory({"kv:x": {"n": 1}})
        async with _domain(live) as domain:
            a = await domain.join("A")
            await a.call(tool_name, key=key)
            live.outside("kv:x", None)
            settlement = await a.finish(wait=True)
            assert settlement.state == "notified"
            assert [notice.key for notice in settlement.notifications] == [key]
            assert (await a.finish(wait=True)).state == "committed"

    anyio.run(main)


def test_rule_9_it_is_seen_at_the_next_touch() -> None:
    async def main() -> None:
        live = coagent.targets.Memory({"kv:x": {"n": 1}})
        async with _domain(live) as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await b.call("put", key="kv:x", value={"n": 2})
            live.outside("kv:x", {"n": 2, "m": 1})
            assert (await b.call("read_whole", key="kv:x")).value == {"n": 2, "m": 1}
            assert (await a.call("read_whole", key="kv:x")).value == {"n": 1}
            await b.abort()
            assert live.snapshot() == {"kv:x": {"n": 1, "m": 1}}

    anyio.run(main)


def test_rule_9_who_is_told_is_the_agent_whose_write_gives_way_not_the_nearest_one() -> None:
    world = World({"kv:t": "image one\nmiddle\nscale 1\n"})
    a, b = world.join("A", "B")
    b.edit("kv:t", "scale 1", "scale 3")
    world.settle()
    world.outside("kv:t", "image theirs\nmiddle\nscale 3\n")
    a.edit("kv:t", "image one", "image A")
    world.settle()
    assert world.live == {"kv:t": "image theirs\nmiddle\nscale 3\n"}
    assert [news.kind for moved in a.inbox.moved for news in moved.calls] == ["overruled"]
    assert all(news.kind != "overruled" for moved in b.inbox.moved for news in moved.calls)


def test_rule_9_one_edit_that_fits_does_not_silence_another_that_does_not() -> None:
    world = World({"kv:t": "one\nmiddle\nthree\n"})
    [a] = world.join("A")
    edited = a.edit("kv:t", "one", "ONE")
    world.settle()
    world.outside("kv:t", "ONE\nmiddle\nthree, theirs\n")
    world.settle()
    world.outside("kv:t", "ONE, theirs\nmiddle\nthree, theirs\n")
    world.settle()
    a.amend(edited, new="uno")
    world.settle()
    assert world.live == {"kv:t": "ONE, theirs\nmiddle\nthree, theirs\n"}
    assert [news.kind for moved in a.inbox.moved for news in moved.calls] == ["overruled"]
