"""Rule 8: an abort withdraws all that an agent has done, but for what has left the building."""

from __future__ import annotations

import pytest
from kernel_world import NOTHING_TOUCHED, World

from coagent.log.codec import decode_state
from coagent.protocol import events
from coagent.protocol.calls import Cause, Observation
from coagent.protocol.checkpoint import restore
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.phases import AgentPhase


def test_rule_8_everything_is_as_if_the_agent_had_never_been_there() -> None:
    world = World({"kv:x": 1, "kv:y": 1, "kv:gone": 1})
    a, b = world.join("A", "B")
    a.put("kv:x", 5)
    b.add("kv:x", 1)
    b.put("kv:y", 2)
    b.put("kv:y", 3)
    b.create("kv:new", 1)
    b.delete("kv:gone")
    world.settle()
    assert world.live == {"kv:x": 6, "kv:y": 3, "kv:new": 1}
    b.abort()
    world.settle()
    assert world.live == {"kv:x": 5, "kv:y": 1, "kv:gone": 1}
    assert b.phase == "aborted"


def test_rule_8_readers_above_run_again_and_are_told_by_whom() -> None:
    world = World({"kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    below = a.read("kv:x")
    b.put("kv:x", 2)
    b.put("kv:new", 2)
    read, added, listed = c.read("kv:x"), c.add("kv:x", 10), c.keys("kv:")
    world.settle()
    b.abort()
    world.settle()
    assert world.reruns == [read.id, added.id, listed.id]
    assert world.live == {"kv:x": 11}
    [x, range_] = c.inbox.moved
    assert (x.key, x.before, x.after, x.cause) == ("kv:x", 2, 1, Cause("B", None, None, b.rank))
    assert (range_.key, range_.before, range_.after) == ("kv:", ["kv:new", "kv:x"], ["kv:x"])
    assert below.seen.value == 1
    assert not a.unread


def test_rule_8_what_others_wrote_above_blindly_stays_live() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    a.put("kv:x", 2)
    b.put("kv:x", 3)
    world.settle()
    a.abort()
    assert not world.kernel.has_effects
    assert world.live == {"kv:x": 3}
    b.abort()
    world.settle()
    assert world.live == {"kv:x": 1}


def test_rule_8_calls_that_rest_on_one_another_need_not_run_again_to_be_withdrawn() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    for _ in range(3):
        a.add("kv:x", 1)
    world.settle()
    a.abort()
    assert world.kernel.ready().reexecute == ()
    world.settle()
    assert world.reruns == []
    assert world.live == {"kv:x": 1}


def test_rule_8_a_call_that_had_to_run_again_or_be_told_of_goes_too() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    told_of, dirty = b.add("kv:y", 1), b.add("kv:x", 1)
    a.put("kv:y", 5)
    world.settle()
    assert b.unread
    a.put("kv:x", 5)
    assert world.kernel.is_dirty(dirty)
    b.abort()
    assert not world.kernel.is_dirty(dirty)
    assert not b.unread
    world.settle()
    assert world.reruns == [told_of.id]
    assert world.live == {"kv:x": 5, "kv:y": 5}


def test_rule_8_a_staged_call_is_never_sent() -> None:
    world = World()
    a, b = world.join("A", "B")
    a.stage("mail")
    a.finish()
    a.abort()
    world.advance()
    assert world.sent == []
    assert b.gate("wait").value == "run"


def test_rule_8_a_finished_agent_may_be_aborted_one_that_has_ended_may_not() -> None:
    world = World()
    a, b = world.join("A", "B")
    a.finish()
    a.abort()
    assert "aborted" in world.refuses(events.Aborted(a.rank, ""))
    assert "aborted" in world.refuses(events.Finished(a.rank))
    b.finish()
    world.advance()
    assert "committed" in world.refuses(events.Aborted(b.rank, ""))
    assert "no agent of rank 9" in world.refuses(events.Aborted(9, ""))


def test_rule_8_what_has_left_the_building_stands() -> None:
    world = World({"kv:log": "none"})
    a, b = world.join("A", "B")
    a.send("mail", log="kv:log")
    a.put("kv:x", 1)
    read = b.read("kv:log")
    world.settle()
    a.abort()
    world.settle()
    assert world.live == {"kv:log": "mail"}
    assert world.reruns == []
    assert read.seen.value == "mail"
    assert world.kernel.lookup("kv:log", (b.rank, 0, 0)) == "mail", "it is part of the base"


def test_rule_8_what_stands_is_what_the_call_itself_has_written_and_nothing_later() -> None:
    world = World({"kv:log": "none"})
    a, b = world.join("A", "B")
    a.send("mail", log="kv:log")
    a.put("kv:log", "mine")
    b.put("kv:log", "B's")
    world.settle()
    a.abort()
    world.settle()
    assert world.live == {"kv:log": "B's"}, "it lies above"
    b.abort()
    world.settle()
    assert world.live == {"kv:log": "mail"}


def test_rule_8_of_several_that_stand_the_last_one_counts() -> None:
    world = World()
    [a] = world.join("A")
    a.send("first", log="kv:log")
    a.send("second", log="kv:log")
    world.settle()
    a.abort()
    world.settle()
    assert world.live == {"kv:log": "second"}


def test_rule_8_what_stands_is_built_on_by_those_above() -> None:
    world = World({"kv:n": "1"})
    a, b = world.join("A", "B")
    a.append("kv:n", "undone")
    a.send("2", log="kv:n")
    added = b.append("kv:n", "3")
    world.settle()
    a.abort()
    world.settle()
    assert world.reruns == []
    assert added.seen.reads == {("kv:n", None): "2"}
    assert world.live == {"kv:n": "23\n"}


def test_rule_8_what_stands_does_not_overwrite_what_an_earlier_agent_has_written_since() -> None:
    world = World({"kv:log": "none"})
    a, b, c = world.join("A", "B", "C")
    b.send("mail", log="kv:log")
    a.put("kv:log", "A's")
    seen = c.read("kv:log")
    world.settle()
    b.abort()
    world.settle()
    assert world.kernel.lookup("kv:log", (a.rank, 0, 0)) == "none", "A is at work above the base"
    assert seen.seen.value == "A's"
    assert world.live == {"kv:log": "A's"}


def test_rule_8_the_part_of_a_declared_call_on_which_one_that_stands_was_built_stands_too() -> None:
    world = World()
    [a] = world.join("A")
    alone, below, above = a.act(writes=["sys:1"]), a.act(writes=["sys:2"]), a.act(writes=["sys:1"])
    world.apply()
    sent = a.begin("act", reads=["sys:2"], writes=["sys:3"], irreversible=True)
    a.ran(sent, world.declared_run(sent, reads=["sys:2"], writes=["sys:3"]))
    world.apply()
    assert world.kernel.kept_calls(a.participant) == [below, sent]
    assert alone.applied
    assert above.applied


def test_rule_8_a_declared_effect_that_was_not_taken_back_is_part_of_the_base() -> None:
    world = World()
    a, b = world.join("A", "B")
    act = a.act(writes=["sys:1"])
    world.apply()
    reading, token = b.act(reads=["sys:1"]), act.writes["sys:1"]
    a.abort()
    assert not world.kernel.is_dirty(reading)
    assert world.kernel.lookup("sys:1", (b.rank, 0, 0)) == token


def test_rule_8_a_declared_effect_that_was_taken_back_is_gone_and_its_readers_run_again() -> None:
    world = World()
    a, b = world.join("A", "B")
    act = a.act(writes=["sys:1"])
    world.apply()
    reading = b.act(reads=["sys:1"])
    world.take(events.ReversalBegun(act.id, NOTHING_TOUCHED))
    world.take(events.CallReversed(act.id, act.as_cause))
    assert not act.applied
    a.abort()
    assert world.kernel.is_dirty(reading)
    assert world.kernel.lookup("sys:1", (b.rank, 0, 0)) is None


def test_rule_8_an_agent_is_not_aborted_while_a_reversible_call_of_its_own_is_under_way() -> None:
    world = World()
    [a] = world.join("A")
    act = a.begin("act", writes=["sys:1"])
    assert f"{act.id!r} is under way" in world.refuses(events.Aborted(a.rank, ""))
    a.ran(act, world.declared_run(act, writes=["sys:1"]))
    world.apply()
    world.take(events.ReversalBegun(act.id, NOTHING_TOUCHED))
    assert f"{act.id!r} is under way" in world.refuses(events.Aborted(a.rank, ""))
    world.take(events.CallReversed(act.id, act.as_cause))
    a.abort()


@pytest.mark.parametrize("staged", [True, False])
def test_rule_8_what_an_irreversible_run_does_after_its_agent_was_aborted_stands(staged: bool) -> None:
    world = World({"kv:log": "none"})
    a, b = world.join("A", "B")
    if staged:
        mail = a.stage("mail", log="kv:log")
        world.take(events.RunBegun(mail.id, NOTHING_TOUCHED))
    else:
        mail = a.begin("send", irreversible=True, text="mail", log="kv:log")
    b.read("kv:log")
    a.abort()
    assert a.phase == "aborted"
    assert world.kernel.underway(mail.id) is mail
    assert world.kernel.call(mail.id) is None
    a_call = events.CallRan(mail.id, world.observe(mail.position, "send", mail.arguments))
    world.take(a_call)
    world.settle()
    assert world.kernel.underway(mail.id) is None
    assert "does not run" in world.refuses(a_call)
    assert world.live == {"kv:log": "mail"}
    assert b.inbox.moved[0].cause.call_id == mail.id
    assert b.told() == [("kv:log", "none", "mail")]
    assert a.phase == "aborted"


def test_rule_8_what_such_a_run_writes_where_nobody_has_been_reaches_its_target_too() -> None:
    world = World({"kv:log": "none"})
    [a] = world.join("A")
    mail = a.begin("send", irreversible=True, text="mail", log="kv:log")
    a.abort()
    a.ran(mail, world.observe(mail.position, "send", mail.arguments))
    assert [effect.expected for effect in world.kernel.ready().apply] == [("none", "mail")]
    world.settle()
    assert world.live == {"kv:log": "mail"}
    assert world.held.objects == ()


def test_rule_8_such_a_run_that_fails_leaves_nothing() -> None:
    world = World({"kv:log": "none"})
    [a] = world.join("A")
    mail = a.begin("send", irreversible=True, text="mail", log="kv:log")
    a.abort()
    failed = Observation.failed("no such address")._replace(
        writes={"kv:log": "mail"}, bases={"kv:log": "none"}
    )
    a.ran(mail, failed)
    assert world.held.objects == ()
    assert world.live == {"kv:log": "none"}


def test_rule_8_what_is_under_way_for_an_aborted_agent_still_keeps_others_off() -> None:
    world = World()
    a, b = world.join("A", "B")
    call = a.begin("act", writes=["sys:1"], irreversible=True)
    a.abort()
    touched = NOTHING_TOUCHED._replace(reads=frozenset({"sys:1"}))
    position = world.kernel.position(b.participant)
    assert world.kernel.obstacles(position, touched).wait_for == (call,)
    a.ran(call, world.declared_run(call, writes=["sys:1"]))
    assert world.kernel.obstacles(position, touched).wait_for == ()


def test_rule_8_an_abort_of_the_last_agent_leaves_the_state_as_it_was() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    for _ in range(2):
        a.put("kv:x", 2)
        a.keys("kv:")
        a.read("kv:y")
        a.abort()
        world.settle()
        assert world.live == {"kv:x": 1}
        assert world.held.objects == ()
        assert world.held.calls == ()
        [a] = world.join("A")


def test_rule_8_a_name_that_is_used_again_gives_no_call_the_id_of_one_that_still_runs() -> None:
    world = World({"kv:x": 1})
    [first] = world.join("A")
    sent = first.begin("send", irreversible=True, text="hello", key="kv:x", log="kv:log")
    first.abort()
    [second] = world.join("A")
    put = second.put("kv:x", 2)
    assert put.id != sent.id
    world.settle()
    first.ran(sent, world.observe(sent.position, sent.tool, sent.arguments))
    world.settle()
    assert put.seen.value == "ok", "what has run was another call"
    assert world.kernel.call(put.id) is put
    assert world.live["kv:x"] == 2
    assert "kv:log" in world.live, "what has happened stands"
    [third] = world.join("B")
    assert third.put("kv:y", 1).id == "B.1"


def test_rule_8_from_its_beginning_on_nothing_but_the_end_of_an_agent_follows() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    first, second = a.act(writes=["sys:1"]), a.act(writes=["sys:2"])
    staged, put = a.stage("mail"), a.put("kv:x", 2)
    world.settle()
    world.take(events.AbortBegun(a.rank, "because", "heir"))
    assert a.participant.owner == "heir"
    assert world.kernel.foreign(events.Aborted(a.rank, ""), "") is not None
    seen = Observation.failed("no")
    for refused in (
        events.AbortBegun(a.rank, "again"),
        events.CallObserved(a.rank, "read", {}, seen),
        events.CallStaged(a.rank, "send", {"text": "more"}),
        events.CallBegun(a.rank, "act", {}, NOTHING_TOUCHED),
        events.CallAmended(put.id, {}, seen),
        events.StagedAmended(staged.id, {"text": "another"}),
        events.RunBegun(staged.id, NOTHING_TOUCHED),
        events.RunBegun(first.id, NOTHING_TOUCHED, arguments={"text": "another"}),
        events.NoticesDelivered(a.rank, ()),
        events.Finished(a.rank),
        events.Committed(a.rank),
        events.Promoted(a.rank, -1),
    ):
        world.refuses(refused)
    world.take(events.Attached(a.rank, "another"))
    for call in (second, first):
        world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED))
        world.take(events.CallUndone(call.id))
        assert a.phase == "aborting"
    b.finish()
    assert world.kernel.ready().commit is None  # it stands below still
    world.take(events.Aborted(a.rank, "because"))
    assert world.kernel.ready().commit == b.rank
    world.settle()
    assert world.live == {"kv:x": 1}


def test_rule_8_what_has_begun_before_an_abort_ends_and_is_taken_back() -> None:
    world = World()
    [a] = world.join("A")
    call, running = a.act(writes=["sys:1"]), a.begin("act", writes=["sys:2"])
    world.apply()
    world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED))
    world.take(events.RunBegun(call.id, NOTHING_TOUCHED, arguments={"text": "another"}))
    world.take(events.AbortBegun(a.rank, ""))
    world.take(events.CallAmended(call.id, {"text": "another"}, world.declared_run(call, writes=["sys:1"])))
    a.ran(running, world.declared_run(running, writes=["sys:2"]))
    assert a.phase == "aborting"
    assert call.applied
    assert running.applied
    assert not a.unread


def test_rule_8_whose_abort_has_begun_is_told_nothing_and_passes_nobody() -> None:
    world = World({"kv:x": 1}, early=True)
    a, b = world.join("A", "B")
    b.act(writes=["sys:1"])
    b.read("kv:x")
    world.settle()
    world.take(events.AbortBegun(b.rank, ""))
    a.put("kv:x", 2)
    world.settle()
    assert not b.unread
    assert world.kernel.promotion(b.participant) is None
    assert b.phase == "aborting"


def test_rule_8_a_restored_kernel_knows_whose_abort_has_begun_and_why() -> None:
    world = World()
    [a] = world.join("A")
    a.act(writes=["sys:1"])
    world.take(events.AbortBegun(a.rank, "because", "heir"))
    kernel = Mtpo()
    restore(kernel, decode_state(world.state))
    agent = kernel.agents[a.rank]
    assert (agent.phase, agent.ends_because, agent.owner) == (AgentPhase.ABORTING, "because", "heir")
    assert kernel.objection(events.Finished(a.rank)) is not None
