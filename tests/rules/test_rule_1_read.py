"""Rule 1: a read returns the filtered value at its position, and is a premise from then on."""

from __future__ import annotations

import pytest
from kernel_world import World

from coagent.protocol.calls import OUTSIDE
from coagent.protocol.keys import Scan
from coagent.protocol.values import Field, Traced


def test_rule_1_an_agent_sees_its_own_writes_and_those_of_lower_ranks_but_not_of_higher_ones() -> None:
    world = World({"kv:x": 0})
    a, b, c = world.join("A", "B", "C")
    a.put("kv:x", 1)
    b.put("kv:x", 2)
    c.put("kv:x", 3)
    world.settle()
    assert world.live == {"kv:x": 3}
    assert a.read("kv:x").seen.value == 1
    assert b.read("kv:x").seen.value == 2
    assert c.read("kv:x").seen.value == 3


def test_rule_1_the_first_agent_sees_what_was_there_before_anybody_wrote() -> None:
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    b.put("kv:x", 2)
    world.settle()
    assert a.read("kv:x").seen.value == 0


def test_rule_1_a_call_sees_what_its_own_agent_wrote_before_it_not_after_it() -> None:
    world = World({"kv:x": 1, "kv:y": 0})
    [a] = world.join("A")
    before = a.copy("kv:x", "kv:y")
    a.put("kv:x", 2)
    a.amend(before, to="kv:z")
    world.settle()
    assert world.live == {"kv:x": 2, "kv:y": 0, "kv:z": 1}


def test_rule_1_an_object_that_a_higher_rank_created_is_not_there_for_a_lower_one() -> None:
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    b.put("kv:new", 1)
    world.settle()
    assert a.read("kv:new").seen.value is None
    assert a.keys("kv:").seen.value == ["kv:x"]
    assert b.keys("kv:").seen.value == ["kv:new", "kv:x"]


def test_rule_1_an_object_that_a_higher_rank_deleted_is_there_for_a_lower_one() -> None:
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    b.delete("kv:x")
    world.settle()
    assert world.live == {}
    assert a.read("kv:x").seen.value == 0
    assert a.keys("kv:").seen.value == ["kv:x"]
    assert b.keys("kv:").seen.value == []


def test_rule_1_a_search_sees_the_parts_that_there_are_at_its_position() -> None:
    world = World({"kv:x": {"n": 1}, "kv:y": {"m": 1}})
    a, b = world.join("A", "B")
    b.put("kv:x", {"n": 2})
    b.put("kv:y", {"n": 3})
    world.settle()
    assert a.fields("kv:", "/n").seen.value == {"kv:x": 1}
    assert b.fields("kv:", "/n").seen.value == {"kv:x": 2, "kv:y": 3}


def test_rule_1_an_object_that_appears_below_a_scan_is_a_phantom_and_is_told() -> None:
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    b.keys("kv:")
    a.put("kv:new", 1)
    world.settle()
    assert b.told() == [("kv:", ["kv:x"], ["kv:new", "kv:x"])]


def test_rule_1_an_object_that_vanishes_below_a_scan_is_told() -> None:
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    b.keys("kv:")
    a.delete("kv:x")
    world.settle()
    assert b.told() == [("kv:", ["kv:x"], [])]


def test_rule_1_a_write_above_a_scan_or_outside_its_range_is_no_phantom() -> None:
    world = World({"kv:x": 0})
    a, b, c = world.join("A", "B", "C")
    b.keys("kv:")
    b.keys("kv:", glob="*.txt")
    a.put("other:new", 1)
    c.put("kv:new", 1)
    world.settle()
    assert world.reruns == []
    assert not b.unread
    a.put("kv:new.md", 1)
    world.settle()
    assert [moved.part for moved in b.inbox.moved] == [None], "the glob does not match it"


def test_rule_1_who_scanned_between_a_write_and_the_next_one_is_asked_the_next_writer_too_nobody_above() -> (
    None
):
    world = World()
    a, b, c, d = world.join("A", "B", "C", "D")
    between, next_writer, above = b.keys("kv:"), c.count("kv:", to="kv:x"), d.keys("kv:")
    a.put("kv:x", 1)
    assert [call.id for call in (between, next_writer, above) if world.kernel.is_dirty(call)] == [
        "B.1",
        "C.1",
    ]
    world.settle()
    assert between.seen.value == ["kv:x"]
    assert world.live == {"kv:x": 1}, "C counted one"


@pytest.mark.parametrize("written_by", ["read", "write"])
def test_rule_1_what_a_partial_read_saw_is_checked_when_the_whole_is_learned_later(written_by: str) -> None:
    """Nothing but the part was known; by the time somebody looks at the whole it was changed from outside."""
    world = World({"kv:x": {"n": 1, "m": 1}})
    a, b, c = world.join("A", "B", "C")
    unchanged = a.read_field("kv:x", "/m")
    field = b.read_field("kv:x", "/n")
    world.set_outside("kv:x", {"n": 2, "m": 1})
    if written_by == "read":
        c.read("kv:x")
    else:
        c.put("kv:x", {"n": 5, "m": 5})
    world.settle()
    assert world.reruns == [field.id]
    assert field.seen.value == 2
    assert field.cause == OUTSIDE
    assert b.told() == [("kv:x", 1, 2)]
    assert not a.unread
    assert unchanged.cause is None


def test_rule_1_the_part_that_the_learner_itself_read_is_checked_too() -> None:
    world = World({"kv:x": {"n": 1}})
    [a] = world.join("A")
    field = a.read_field("kv:x", "/n")
    world.set_outside("kv:x", {"n": 2})
    a.read("kv:x")
    world.settle()
    assert world.reruns == [field.id]


def test_rule_1_what_a_scan_saw_is_checked_when_an_object_in_its_range_is_learned_later() -> None:
    world = World({"kv:x": {"n": 1}, "kv:z": 1})
    a, b, c = world.join("A", "B", "C")
    listing, search = a.keys("kv:"), b.fields("kv:", "/n")
    world.set_outside("kv:x", {"n": 2})
    c.read("kv:x")
    world.settle()
    assert world.reruns == [search.id]
    assert b.told() == [("kv:", {"kv:x": 1}, {"kv:x": 2})]
    world.set_outside("kv:y", 1)
    c.put("kv:y", 2)
    world.settle()
    assert world.reruns == [search.id, listing.id]
    assert a.told() == [("kv:", ["kv:x", "kv:z"], ["kv:x", "kv:y", "kv:z"])]


def test_rule_1_nobody_is_asked_again_when_what_is_learned_is_what_they_saw() -> None:
    world = World({"kv:x": {"n": 1}})
    a, b, c = world.join("A", "B", "C")
    a.read_field("kv:x", "/n")
    b.keys("kv:")
    b.fields("kv:", "/n")
    c.put("kv:x", {"n": 2})
    c.put("kv:y", 1)
    world.settle()
    assert world.reruns == []


def test_rule_1_a_run_that_saw_what_has_changed_on_its_way_runs_again_at_once() -> None:
    world = World({"kv:x": 1, "kv:y": {"n": 1}})
    a, b = world.join("A", "B")
    position = world.kernel.position(b.participant)
    saw_x = world.observe(position, "read", {"key": "kv:x"})
    saw_part = world.observe(position, "read_field", {"key": "kv:y", "path": "/n"})
    saw_keys = world.observe(position, "keys", {"prefix": "kv:"})
    a.put("kv:x", 2)
    put_y = a.put("kv:y", {"n": 2})
    created = a.put("kv:new", 1)
    late = [
        b.record(saw_x, "read", key="kv:x"),
        b.record(saw_part, "read_field", key="kv:y", path="/n"),
        b.record(saw_keys, "keys", prefix="kv:"),
    ]
    assert not world.kernel.holds(saw_x, position)
    assert not world.kernel.holds(saw_part, position)
    assert not world.kernel.holds(saw_keys, position)
    assert all(world.kernel.is_dirty(call) for call in late)
    assert [moved.key for moved in b.inbox.moved] == [], "nothing is told before it has run again"
    assert late[0].cause is not None
    assert late[0].cause.call_id == "A.1"
    assert late[1].cause is not None
    assert late[1].cause.call_id == put_y.id
    world.settle()
    assert [call.seen.value for call in late] == [2, 2, ["kv:new", "kv:x", "kv:y"]]
    assert created.id == "A.3"


def test_rule_1_a_run_holds_while_everything_is_as_it_saw_it() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    a.read("kv:x")
    position = world.kernel.position(b.participant)
    seen = world.observe(position, "add", {"key": "kv:x", "amount": 1})
    scanned = world.observe(position, "keys", {"prefix": "kv:"})
    assert world.kernel.holds(seen, position)
    assert world.kernel.holds(scanned, position)
    a.put("kv:x", 1)
    assert world.kernel.holds(seen, position), "an equal value"
    a.put("kv:x", 2)
    assert not world.kernel.holds(seen, position)
    assert world.kernel.holds(scanned, position), "it is there as it was"


def test_rule_1_a_run_that_does_not_know_what_it_replaced_does_not_hold() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    position = world.kernel.position(a.participant)
    written = world.observe(position, "put", {"key": "kv:x", "value": 2})
    assert world.kernel.holds(written, position)
    assert not world.kernel.holds(written._replace(bases={}), position)


def test_rule_1_two_reads_of_one_object_by_one_call_are_one_reader() -> None:
    world = World({"kv:x": {"n": 1, "m": 1}})
    a, b = world.join("A", "B")
    position = world.kernel.position(b.participant)
    both = world.observe(position, "read_field", {"key": "kv:x", "path": "/n"})
    both = both._replace(reads={**both.reads, ("kv:x", Field("/m")): 1})
    call = b.record(both, "read_field", key="kv:x", path="/n")
    a.put("kv:x", {"n": 1, "m": 2})
    assert world.kernel.is_dirty(call), "any of the parts that it read counts"


def test_rule_1_a_trace_holds_what_agents_had_written_and_the_base_of_everything_else() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b, c = world.join("A", "B", "C")
    a.put("kv:x", 2)
    world.settle()
    names, contents = Scan("kv:", None, Traced("name")), Scan("kv:", None, Traced("content"))
    position = world.kernel.position(c.participant)
    seen = world.observe(position, "read", {"key": "kv:z"})._replace(reads={})
    traced = c.record(seen._replace(scans={contents: {"kv:x": [2]}}))
    named = c.record(seen._replace(scans={names: {"kv:x": True}}))
    a.put("kv:x", 2)
    b.put("kv:y", 1)
    assert not world.kernel.is_dirty(traced), "every value is what the program saw"
    b.put("kv:y", 2)
    assert world.kernel.is_dirty(traced), "it is not as its base was"
    assert not world.kernel.is_dirty(named)
    b.delete("kv:y")
    assert world.kernel.is_dirty(named)


def test_rule_1_what_is_tracked_is_known_and_what_is_not_has_to_be_asked_for() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    assert world.kernel.tracked_keys() == []
    a.read("kv:x")
    b.keys("kv:")
    b.read_field("kv:y", "/n")
    assert world.kernel.tracked_keys() == ["kv:x", "kv:y"]
    assert world.kernel.base_known("kv:x")
    assert not world.kernel.base_known("kv:y"), "only a part of it is"
    assert not world.kernel.base_known("kv:z")
    assert world.kernel.scanned_prefixes() == ["kv:"]


def test_rule_1_a_run_holds_by_the_parts_and_ranges_that_it_saw() -> None:
    world = World({"kv:x": {"n": 1, "m": 1}, "kv:y": {"n": 1}})
    a, b = world.join("A", "B")
    a.put("kv:x", {"n": 1, "m": 2})
    position = world.kernel.position(b.participant)
    part = world.observe(position, "read_field", {"key": "kv:x", "path": "/n"})
    found = world.observe(position, "fields", {"prefix": "kv:", "path": "/n"})
    unknown = world.observe(position, "read_field", {"key": "kv:y", "path": "/n"})
    a.put("kv:x", {"n": 1, "m": 3})
    assert world.kernel.holds(part, position)
    assert world.kernel.holds(found, position)
    a.read_field("kv:y", "/n")
    assert world.kernel.holds(unknown, position), "nobody knows better than it"
    whole = world.observe(position, "read", {"key": "kv:x"})
    a.put("kv:x", {"n": 1, "m": 3})
    assert world.kernel.holds(whole, position), "an equal value, if not the same"
    a.put("kv:x", {"n": 2, "m": 3})
    assert not world.kernel.holds(part, position)
    assert not world.kernel.holds(found, position)


def test_rule_1_a_trace_holds_by_the_base_of_what_agents_have_written_since() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    looked = Scan("kv:", None, Traced("content"))
    position = world.kernel.position(b.participant)
    seen = world.observe(position, "read", {"key": "kv:z"})._replace(reads={}, scans={looked: {}})
    a.put("kv:x", 1)
    assert world.kernel.holds(seen, position), "it is as it was"
    call = b.record(seen)
    assert not world.kernel.is_dirty(call)
    a.put("kv:x", 2)
    assert not world.kernel.holds(seen, position)
    assert world.kernel.is_dirty(b.record(seen))


def test_rule_1_scans_of_ranges_within_ranges_all_see_a_phantom() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    low = b.keys("kv:a/")
    high = [c.keys("kv:"), c.keys("kv:a/"), c.keys("kv:b/"), c.keys("kv:a/b")]
    a.put("kv:a/b/c", 1)
    assert [world.kernel.is_dirty(call) for call in (low, *high)] == [True, True, True, False, True]
    world.settle()
    for call in (low, *high[:2]):
        call_agent = b if call is low else c
        call_agent.told()
        call_agent.undo(call)
    assert world.kernel.scanned_prefixes() == ["kv:b/", "kv:a/b"]
    a.put("kv:a/b/d", 1)
    assert world.kernel.is_dirty(high[3])


def test_rule_1_many_scans_of_one_range_are_asked_from_the_write_up() -> None:
    world = World()
    agents = world.join("A", "B", "C", "D")
    listings = [agent.keys("kv:") for agent in agents for _ in range(2)]
    agents[1].put("kv:x", 1)
    dirty = [world.kernel.is_dirty(call) for call in listings]
    assert dirty == [False] * 4 + [True] * 4
    world.settle()
    agents[2].put("kv:x", None)
    world.settle()
    assert [call.seen.value for call in listings] == [[]] * 4 + [["kv:x"]] * 2 + [[]] * 2


@pytest.mark.parametrize("written", [False, True])
def test_rule_1_a_run_that_saw_what_an_outsider_has_changed_on_its_way_says_so(written: bool) -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    if written:
        a.put("kv:x", 2)
        world.settle()
    else:
        a.read("kv:x")
    seen = world.observe(world.kernel.position(b.participant), "read", {"key": "kv:x"})
    world.outside("kv:x", 3)
    late = b.record(seen, "read", key="kv:x")
    assert world.kernel.is_dirty(late)
    assert late.cause == OUTSIDE


def test_rule_1_who_scanned_above_the_next_writer_is_not_asked() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    put = a.put("kv:x", 1)
    b.put("kv:x", 2)
    above = c.keys("kv:")
    a.undo(put)
    assert not world.kernel.is_dirty(above), "B's write is there all the same"


def test_rule_1_an_object_that_is_not_tracked_has_no_version() -> None:
    assert World().kernel.version("kv:x") == 0


@pytest.mark.parametrize("scans", [False, True])
def test_rule_1_a_read_recorded_after_what_it_saw_was_changed_and_committed_has_to_run_again(
    scans: bool,
) -> None:
    world = World({"kv:x": 1} if not scans else {})
    (b,) = world.join("B")
    tool, arguments = ("keys", {"prefix": "kv:"}) if scans else ("read", {"key": "kv:x"})
    seen = world.observe(world.kernel.position(b.participant), tool, arguments)
    assert not world.kernel.base_known("kv:x"), "whoever has changed it has committed"
    late = b.record(seen._replace(bases={"kv:x": 2}), tool, **arguments)
    assert world.kernel.is_dirty(late)
    assert world.kernel.base_known("kv:x") is not scans, "nobody has touched it who is at work"
