"""Rule 2: a write takes effect at once, in place; the trajectory says what that does to the live value."""

from __future__ import annotations

from kernel_world import World

from coagent.protocol import events
from coagent.protocol.decisions import Effect


def test_rule_2_a_write_takes_effect_at_once() -> None:
    world = World({"kv:x": 1})
    a, _ = world.join("A", "B")
    a.put("kv:x", 2)
    assert world.kernel.has_effects
    assert not world.kernel.has_work, "nothing but an effect"
    version = world.kernel.version("kv:x")
    assert world.kernel.ready().apply == (Effect("kv:x", 2, (1, 2), version),)
    assert world.kernel.live_value("kv:x") == 2
    world.apply()
    assert world.live == {"kv:x": 2}
    assert world.kernel.ready().apply == ()
    assert not world.kernel.has_effects


def test_rule_2_a_write_of_what_is_there_needs_no_effect() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.put("kv:x", 1)
    assert world.kernel.ready().apply == ()


def test_rule_2_a_late_write_below_a_blind_one_leaves_the_live_value_alone() -> None:
    world = World({"kv:x": 0})
    a, b, c = world.join("A", "B", "C")
    c.put("kv:x", 3)
    world.settle()
    a.put("kv:x", 1)
    assert world.kernel.ready().apply == (), "the Thomas write rule"
    world.settle()
    assert world.live == {"kv:x": 3}
    assert b.read("kv:x").seen.value == 1, "it has its place all the same"
    assert c.read("kv:x").seen.value == 3
    assert world.reruns == []


def test_rule_2_a_late_write_below_a_read_modify_write_runs_that_again_on_its_new_prefix() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    added = b.add("kv:x", 10)
    world.settle()
    assert world.live == {"kv:x": 11}
    a.put("kv:x", 5)
    world.settle()
    assert world.reruns == [added.id]
    assert world.live == {"kv:x": 15}


def test_rule_2_the_live_state_moves_straight_to_the_result() -> None:
    """Nothing that a dirty call has written is put anywhere; everything else goes on."""
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    b.copy("kv:x", "kv:y")
    world.settle()
    b.put("kv:z", 1)
    a.put("kv:x", 7)
    b.add("kv:y", 1)
    assert [call.id for call in world.kernel.ready().reexecute] == ["B.1"]
    assert [effect.key for effect in world.kernel.ready().apply] == ["kv:x", "kv:z"], "y has no last word yet"
    assert world.kernel.unsettled() == {"kv:y"}
    world.apply()
    assert world.live == {"kv:x": 7, "kv:y": 1, "kv:z": 1}
    assert world.kernel.has_work, "a call waits to be run again"
    world.settle()
    assert world.live == {"kv:x": 7, "kv:y": 8, "kv:z": 1}
    assert world.kernel.unsettled() == set()


def test_rule_2_there_is_work_as_long_as_a_call_has_to_run_again_although_all_effects_are_held_back() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    a.put("kv:x", 1)
    b.add("kv:x", 1)
    world.settle()
    a.put("kv:x", 3)
    assert world.kernel.ready().apply == ()
    assert world.kernel.has_work
    world.settle()
    assert not world.kernel.has_work


def test_rule_2_calls_run_again_in_order_of_position() -> None:
    world = World({"kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    for agent in (c, b, c, b):
        agent.add("kv:x", 1)
        world.settle()
    world.reruns.clear()
    a.put("kv:x", 10)
    world.settle()
    assert world.reruns == ["B.1", "B.2", "C.1", "C.2"]
    assert world.live == {"kv:x": 14}


def test_rule_2_calls_that_have_nothing_to_do_with_one_another_run_again_side_by_side() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b, c, d = world.join("A", "B", "C", "D")
    b.add("kv:x", 1)
    b.add("kv:y", 1)
    c.add("kv:x", 1)
    d.keys("kv:")
    world.settle()
    a.call("put_two", key="kv:x", value=5, other="kv:y", and_value=6)
    a.put("kv:new", 1)
    ready = [call.id for call in world.kernel.ready().reexecute]
    assert ready == ["B.1", "B.2"], "C adds to what B leaves, and D lists what they write"
    world.settle()
    assert world.live == {"kv:x": 7, "kv:y": 7, "kv:new": 1}


def test_rule_2_a_call_that_runs_again_may_write_elsewhere_and_takes_back_what_it_wrote() -> None:
    world = World({"kv:x": "x", "kv:y": "y", "kv:which": "kv:x"})
    a, b, c = world.join("A", "B", "C")
    first = b.create("kv:new", 1)
    seen = c.read("kv:new")
    world.settle()
    a.put("kv:new", 5)
    world.settle()
    assert first.writes == {}
    assert seen.seen.value == 5
    assert world.live["kv:new"] == 5


def test_rule_2_a_call_may_write_several_objects_and_each_has_a_trajectory_of_its_own() -> None:
    world = World({"kv:x": 0, "kv:y": 0})
    a, b = world.join("A", "B")
    b.put("kv:y", 9)
    a.call("put_two", key="kv:x", value=1, other="kv:y", and_value=2)
    world.settle()
    assert world.live == {"kv:x": 1, "kv:y": 9}


def test_rule_2_deletion_is_a_write_of_nothing() -> None:
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    b.append("kv:t", "b")
    a.delete("kv:x")
    world.settle()
    assert world.live == {"kv:t": "b\n"}
    assert b.read("kv:x").seen.value is None


def test_rule_2_a_late_write_is_replaced_by_what_lies_between_it_and_the_top() -> None:
    world = World({"kv:x": 0})
    a, b, c = world.join("A", "B", "C")
    c.add("kv:x", 100)
    b.put("kv:x", 20)
    a.put("kv:x", 1)
    world.settle()
    assert world.reruns == ["C.1"]
    assert world.live == {"kv:x": 120}


def test_rule_2_targets_are_told_every_value_that_they_may_hold_meanwhile() -> None:
    world = World({"kv:x": 0})
    [a] = world.join("A")
    for number in (1, 2, 3):
        a.put("kv:x", number)
    [effect] = world.kernel.ready().apply
    assert (effect.value, effect.expected) == (3, (0, 1, 2, 3))
    assert world.kernel.may_hold("kv:x") == (0, 1, 2, 3)
    world.apply()
    assert world.kernel.may_hold("kv:x") == (3,)


def test_rule_2_an_acknowledgement_counts_for_the_version_that_it_names_and_no_other() -> None:
    world = World({"kv:x": 0, "kv:y": 0})
    [a] = world.join("A")
    a.put("kv:x", 1)
    a.put("kv:y", 1)
    [first, other] = world.kernel.ready().apply
    assert first.version != other.version
    a.put("kv:x", 2)
    world.take(events.EffectApplied("kv:x", first.version))
    world.take(events.EffectApplied("kv:x", other.version))
    world.take(events.EffectApplied("kv:unknown", first.version))
    [second, _] = world.kernel.ready().apply
    assert (second.value, second.expected) == (2, (0, 1, 2)), "the target may hold either"
    world.take(events.EffectApplied("kv:x", second.version))
    assert [effect.key for effect in world.kernel.ready().apply] == ["kv:y"]
    world.take(events.EffectApplied("kv:x", second.version))
    assert world.kernel.may_hold("kv:x") == (2,)


def test_rule_2_effects_come_in_order_of_key() -> None:
    world = World()
    [a] = world.join("A")
    for key in ("kv:b", "kv:c", "kv:a"):
        a.put(key, 1)
    assert [effect.key for effect in world.kernel.ready().apply] == ["kv:a", "kv:b", "kv:c"]


def test_rule_2_who_keeps_a_copy_of_live_values_hears_of_each_change_once() -> None:
    world = World({"kv:x": 0})
    a, b = world.join("A", "B")
    a.put("kv:x", 1)
    b.put("kv:x", 2)
    a.put("kv:x", 3)
    assert list(world.kernel.take_live_changes()) == [
        ("kv:x", 1, (0,)),
        ("kv:x", 2, (0, 1)),
    ], "the last one is late"
    assert list(world.kernel.take_live_changes()) == []
