"""Rule 2 for declared calls: nobody sees what they do, so they are reversed to make room, and waited for."""

from __future__ import annotations

from kernel_world import NOTHING_TOUCHED, Agent, World

from coagent.protocol import events
from coagent.protocol.calls import Call, Footprint, parsed_call_id
from coagent.protocol.keys import Scan


def touching(*, reads: str = "", writes: str = "", scans: str = "") -> Footprint:
    """A footprint from names that are separated by spaces."""
    return Footprint(frozenset(reads.split()), frozenset(map(Scan, scans.split())), frozenset(writes.split()))


def position(agent: Agent) -> tuple[int, int, int]:
    return agent.world.kernel.position(agent.participant)


def reversed_for(agent: Agent, footprint: Footprint) -> list[str]:
    """What has to be reversed, in that order, so that a call of the agent can run."""
    return [call.id for call in agent.world.kernel.obstacles(position(agent), footprint).reverse]


def reverse(world: World, call: Call) -> None:
    world.take(events.ReversalBegun(call.id, call.footprint))
    world.take(events.CallReversed(call.id, call.as_cause))


def test_rule_2_what_stands_above_and_touches_the_same_is_reversed_newest_first() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    c.act(writes=["sys:1"])
    b.act(writes=["sys:1"])
    b.act(writes=["sys:2"])
    b.act(writes=["sys:1"])
    world.apply()
    assert reversed_for(a, touching(writes="sys:1")) == ["C.1", "B.3", "B.1"]
    assert reversed_for(a, touching(reads="sys:1")) == ["C.1", "B.3", "B.1"]
    assert reversed_for(a, touching(scans="sys:")) == ["C.1", "B.3", "B.2", "B.1"]
    assert reversed_for(a, touching(writes="sys:3")) == []
    assert reversed_for(b, touching(writes="sys:1")) == ["C.1"], "what is below stays"
    assert reversed_for(c, touching(writes="sys:1")) == []


def test_rule_2_what_only_reads_above_is_reversed_for_a_write_and_not_for_a_read() -> None:
    world = World()
    a, b = world.join("A", "B")
    b.act(reads=["sys:1"], writes=["sys:2"])
    world.apply()
    assert reversed_for(a, touching(writes="sys:1")) == ["B.1"]
    assert reversed_for(a, touching(reads="sys:1")) == []


def test_rule_2_what_was_built_on_a_call_that_is_reversed_is_reversed_too() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    b.act(writes=["sys:1", "sys:2"])
    b.act(reads=["sys:2"], writes=["sys:3"])
    c.act(reads=["sys:3"], writes=["sys:4"])
    c.act(writes=["sys:5"])
    world.apply()
    assert reversed_for(a, touching(writes="sys:1")) == ["C.1", "B.2", "B.1"]
    assert reversed_for(a, touching(writes="sys:5 sys:1")) == ["C.2", "C.1", "B.2", "B.1"]


def test_rule_2_what_writes_what_a_reversed_call_has_read_is_reversed_too() -> None:
    world = World()
    a, b = world.join("A", "B")
    b.act(reads=["sys:7"], writes=["sys:1"])
    b.act(writes=["sys:7"])
    b.act(writes=["sys:9"])
    world.apply()
    assert reversed_for(a, touching(writes="sys:1")) == ["B.2", "B.1"]
    assert reversed_for(a, touching(writes="sys:1", reads="sys:9")) == ["B.3", "B.2", "B.1"]


def test_rule_2_a_call_that_ran_before_is_reversed_last_when_it_is_to_run_otherwise() -> None:
    world = World()
    a, b = world.join("A", "B")
    own, above = a.act(writes=["sys:1"]), b.act(writes=["sys:1"])
    world.apply()
    found = world.kernel.obstacles(own.position, own.footprint, own)
    assert found.reverse == (above, own)
    assert found.wait_for == ()
    reverse(world, above)
    reverse(world, own)
    found = world.kernel.obstacles(own.position, own.footprint, own)
    assert found.reverse == ()
    assert found.wait_for == (), "what has to run again above is none of its business, nor is itself"


def test_rule_2_what_rests_on_a_call_is_reversed_before_it_also_where_it_is_to_touch_something_else() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    own, above = a.act(writes=["sys:1"]), b.act(reads=["sys:1"], writes=["sys:3"])
    reading = c.begin("act", reads=["sys:1"])
    world.apply()
    found = world.kernel.obstacles(own.position, touching(writes="sys:2"), own)
    assert found.reverse == (above, own)
    assert found.wait_for == (reading,)


def test_rule_2_what_cannot_be_reversed_is_fixed() -> None:
    world = World()
    a, b = world.join("A", "B")
    plain = b.act(writes=["sys:1"])
    fixed = b.begin("act", reads=["sys:1"], writes=["sys:2"], irreversible=True)
    b.ran(fixed, world.declared_run(fixed, reads=["sys:1"], writes=["sys:2"]))
    world.apply()
    found = world.kernel.obstacles(position(a), touching(writes="sys:1"))
    assert found.reverse == (fixed, plain)
    assert found.fixed == (fixed,)


def test_rule_2_what_is_under_way_on_the_same_is_waited_for_wherever_it_stands() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    below, above = a.begin("act", writes=["sys:1"]), c.begin("act", reads=["sys:2"])
    scanning = c.begin("act", scans=["sys:3/"])
    found = world.kernel.obstacles
    assert found(position(b), touching(reads="sys:1")).wait_for == (below,)
    assert found(position(b), touching(writes="sys:1 sys:2")).wait_for == (below, above)
    assert found(position(b), touching(scans="sys:")).wait_for == (below,)
    assert found(position(b), touching(reads="sys:2")).wait_for == ()
    assert found(position(b), touching(writes="sys:3/x")).wait_for == (scanning,)
    assert found(below.position, NOTHING_TOUCHED, below).wait_for == (below,), "itself"


def test_rule_2_a_declared_call_that_has_to_run_again_below_on_the_same_is_waited_for() -> None:
    world = World({"kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    below, above = a.act(writes=["sys:1"]), c.act(writes=["sys:1"])
    other = a.act(writes=["sys:2"])
    native = a.read("kv:x")
    world.apply()
    for call in (above, below, other):
        reverse(world, call)
    world.outside("kv:x", 2)
    assert world.kernel.is_dirty(native)
    found = world.kernel.obstacles
    assert found(position(b), touching(writes="sys:1")).wait_for == (below,)
    assert found(position(b), touching(reads="sys:2")).wait_for == (other,)
    assert found(position(b), touching(reads="kv:x", writes="kv:x")).wait_for == ()
    assert found(below.position, below.footprint, below).wait_for == ()


def test_rule_2_a_declared_call_whose_run_has_begun_does_not_run_again_meanwhile() -> None:
    world = World()
    [a] = world.join("A")
    act = a.act(writes=["sys:1"])
    world.apply()
    reverse(world, act)
    assert world.kernel.ready().reexecute == (act,)
    world.take(events.RunBegun(act.id, act.footprint))
    assert world.kernel.ready().reexecute == ()
    world.take(events.CallReexecuted(act.id, world.declared_run(act, writes=["sys:1"])))
    assert world.kernel.ready().reexecute == ()
    assert act.applied


def test_rule_2_a_call_that_was_reversed_names_what_it_was_reversed_for() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    low = a.begin("act", writes=["sys:1"])
    act = b.act(writes=["sys:1"])
    reading = c.act(reads=["sys:1"])
    world.apply()
    world.take(events.ReversalBegun(act.id, act.footprint))
    world.take(events.CallReversed(act.id, low.as_cause))
    assert act.cause == low.as_cause
    world.take(events.CallReexecuted(act.id, world.declared_run(act, writes=["sys:1"])))
    assert reading.cause == low.as_cause


def test_rule_2_a_declared_call_is_reversed_before_it_is_undone_or_amended() -> None:
    world = World()
    [a] = world.join("A")
    act = a.act(writes=["sys:1"])
    world.apply()
    for event in (events.CallUndone(act.id), events.CallAmended(act.id, {}, act.seen)):
        assert "has to be reversed first" in world.refuses(event)
    reverse(world, act)
    a.undo(act)
    assert world.held.calls == ()


def test_rule_2_a_call_that_is_declared_no_more_stands_in_nobodys_way() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    act = b.act(writes=["sys:1"])
    world.apply()
    reverse(world, act)
    failed = world.declared_run(act)._replace(declared=False, error="no")
    world.take(events.CallReexecuted(act.id, failed))
    assert world.kernel.obstacles(position(a), touching(writes="sys:1")) == ((), (), ())


def test_rule_2_the_form_of_a_call_id_is_an_agents_name_a_point_and_a_number_from_1() -> None:
    assert parsed_call_id("A.1") == ("A", 1)
    assert parsed_call_id("a.b.12") == ("a.b", 12)
    for text in ("A", "A.", ".1", "A.0", "A.x", "A.-1", "A.1x", "A.²", "", "."):
        assert parsed_call_id(text) is None, text


def test_rule_2_what_is_waited_for_is_the_same_in_a_kernel_that_was_restored() -> None:
    """Whoever waits looks whether that has changed: in whichever order runs began, it is named from below."""
    world = World()
    a, b, c = world.join("A", "B", "C")
    above, below = c.begin("act", reads=["sys:1"]), a.begin("act", writes=["sys:1"])
    found = world.kernel.obstacles(position(b), touching(writes="sys:1"))
    assert found.wait_for == (below, above)
