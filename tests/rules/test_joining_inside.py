"""An agent may join right after another one: sub-agents work inside the place of their parents."""

from __future__ import annotations

import pytest
from kernel_world import World

from coagent.protocol import events
from coagent.protocol.calls import Rank


def test_an_agent_that_joins_after_another_one_counts_before_all_who_came_after_it() -> None:
    world = World({"kv:x": 0})
    parent, other = world.join("parent", "other")
    other.put("kv:x", "other's")
    [child] = world.join("child", after=parent)
    child.put("kv:x", "child's")
    assert world.kernel.live_value("kv:x") == "other's"
    assert [agent.read("kv:x").seen.value for agent in (child, other)] == ["child's", "other's"]


def test_who_has_read_is_told_of_a_write_by_one_who_joined_inside() -> None:
    world = World({"kv:x": 0})
    parent, other = world.join("parent", "other")
    parent.read("kv:x")
    other.read("kv:x")
    [child] = world.join("child", after=parent)
    child.put("kv:x", 1)
    world.settle()
    assert other.told() == [("kv:x", 0, 1)]
    assert not parent.unread


def test_two_inside_one_parent_count_in_the_order_of_whom_they_come_after() -> None:
    world = World({"kv:x": 0})
    parent, other = world.join("parent", "other")
    [first] = world.join("first", after=parent)
    [second] = world.join("second", after=first)
    [between] = world.join("between", after=first)
    [goes_on] = world.join("goes on", after=second)
    orders = [one.participant.order for one in (parent, first, between, second, goes_on, other)]
    assert orders == sorted(set(orders))


@pytest.mark.parametrize("early", [False, True])
def test_they_commit_in_that_order(early: bool) -> None:
    world = World({"kv:x": 0}, early=early)
    parent, other = world.join("parent", "other")
    for agent in (parent, other):
        agent.put("kv:x", agent.participant.name)
    [child] = world.join("child", after=parent)
    child.put("kv:x", "child")
    for agent in (other, child):
        agent.finish()
        world.advance()
        assert agent.phase == "finished"
    parent.finish()
    world.advance()
    committed = [event.rank for event in world.events if isinstance(event, events.Committed)]
    assert committed == [parent.rank, child.rank, other.rank]
    assert world.live["kv:x"] == "other"


def test_whoever_joins_later_comes_last_whatever_rank_it_asks_for() -> None:
    world = World()
    [parent] = world.join("parent", rank=3)
    [other] = world.join("other", rank=6)
    [child] = world.join("child", after=parent)
    assert "lowest free rank is 8" in world.refuses(events.Joined("late", Rank(5), True))
    [last] = world.join("last", rank=12)
    [before] = world.join("before", rank=10)
    orders = [one.participant.order for one in (parent, child, other, before, last)]
    assert orders == sorted(set(orders))


def test_nobody_joins_after_an_agent_that_has_ended_or_never_was() -> None:
    world = World()
    [parent] = world.join("parent")
    parent.abort()
    assert "not at work" in world.refuses(events.Joined("child", Rank(1), False, parent.rank))
    assert "not at work" in world.refuses(events.Joined("child", Rank(1), False, Rank(77)))


def test_an_abort_of_one_inside_takes_back_its_own_work_alone() -> None:
    world = World({"kv:x": 0, "kv:y": 0})
    parent, other = world.join("parent", "other")
    parent.put("kv:y", 1)
    [child] = world.join("child", after=parent)
    child.put("kv:x", 5)
    other.read("kv:x")
    child.abort()
    world.settle()
    assert (world.live["kv:x"], world.live["kv:y"]) == (0, 1)
    assert other.told() == [("kv:x", 5, 0)]
