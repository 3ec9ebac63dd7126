"""Owners: who speaks for an agent, what a dead one leaves, and calls that nobody knows to have run or not."""

from __future__ import annotations

import pytest
from kernel_world import NOTHING_TOUCHED, Agent, World

from coagent.protocol import events
from coagent.protocol.calls import Call, Footprint, Observation
from coagent.protocol.checkpoint import restore, state_of
from coagent.protocol.decisions import Gate
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.phases import CallPhase

DONE = Observation({}, {}, {}, {}, "done")


def owned(world: World, name: str, owner: str, *, on_death: events.OnDeath = "abort") -> Agent:
    rank = world.kernel.next_rank()
    return Agent(world, world.take(events.Joined(name, rank, owner=owner, on_death=on_death)))


def begun(world: World, agent: Agent, owner: str, *, irreversible: bool = True) -> Call:
    """Begin a call of a system that nobody can see into, which an owner runs."""
    touched = Footprint(frozenset({"sys:1"}), frozenset(), frozenset({"sys:1"}))
    call = world.take(events.CallBegun(agent.rank, "act", {}, touched, irreversible, owner, "for ever"))
    assert isinstance(call, Call)
    return call


def ran(world: World, call: Call) -> Observation:
    return world.declared_run(call, reads=["sys:1"], writes=["sys:1"])


# ---- who speaks for an agent -------------------------------------------------------------------------------


def test_each_attachment_to_another_owner_raises_the_epoch_and_none_to_the_same_one() -> None:
    world = World()
    a = owned(world, "A", "one")
    assert (a.participant.owner, a.participant.epoch) == ("one", 0)
    epochs = []
    for owner in ("one", "two", "", "", "one"):
        world.take(events.Attached(a.rank, owner, "keep"))
        assert a.participant.owner == owner
        epochs.append(a.participant.epoch)
    assert epochs == [0, 1, 2, 2, 3]
    assert a.participant.on_death == "keep"


def words_of(world: World, agent: Agent) -> dict[str, Event]:
    """Return what only an agent itself decides."""
    read, staged = agent.read("kv:x"), agent.stage("mail")
    return {
        "call": events.CallObserved(agent.rank, "read", {}, DONE),
        "stage": events.CallStaged(agent.rank, "send", {}),
        "begin": events.CallBegun(agent.rank, "act", {}, NOTHING_TOUCHED),
        "undo": events.CallUndone(read.id),
        "amend": events.CallAmended(read.id, {}, DONE),
        "amend what is staged": events.StagedAmended(staged.id, {}),
        "run what is staged": events.RunBegun(staged.id, NOTHING_TOUCHED),
        "be told": events.NoticesDelivered(agent.rank, ()),
        "finish": events.Finished(agent.rank),
        "abort": events.Aborted(agent.rank, ""),
        "begin again": events.Restarted(agent.rank),
    }


def test_only_its_owner_of_today_speaks_for_an_agent() -> None:
    world = World({"kv:x": 1})
    a = owned(world, "A", "one")
    words = words_of(world, a)
    for word, event in words.items():
        assert world.kernel.foreign(event, "one") is None, word
        assert world.kernel.foreign(event, "two") == "agent 'A' is another process' by now (epoch 0)", word
    world.take(events.Attached(a.rank, "two"))
    for word, event in words.items():
        assert world.kernel.foreign(event, "one") is not None, word
        assert world.kernel.foreign(event, "two") is None, word
    world.take(events.Attached(a.rank, ""))
    for word, event in words.items():
        assert world.kernel.foreign(event, "two") == "agent 'A' is nobody's by now (epoch 2)", word


def test_anybody_records_what_follows_from_the_rules() -> None:
    world = World({"kv:x": 1})
    a = owned(world, "A", "one")
    call = a.act(writes=["sys:1"])
    amending = a.begin("act", writes=["sys:2"])
    for event in (
        events.CallReexecuted(call.id, DONE),
        events.RunBegun(call.id, NOTHING_TOUCHED),
        events.ReversalBegun(call.id, NOTHING_TOUCHED),
        events.CallRan(amending.id, DONE),
        events.CallAmended(amending.id, {}, DONE),
        events.Committed(a.rank),
        events.Promoted(a.rank, -1),
        events.Attached(a.rank, "two"),
        events.OutsideWrite("kv:x", 2),
        events.Joined("B", world.kernel.next_rank()),
    ):
        assert world.kernel.foreign(event, "two") is None, event


# ---- what the dead leave -----------------------------------------------------------------------------------


def test_what_an_owner_leaves_are_its_agents_at_work_and_the_calls_that_it_runs() -> None:
    world = World({"kv:x": 1})
    a, b, c = owned(world, "A", "one"), owned(world, "B", "two"), owned(world, "C", "one")
    call = a.act(writes=["sys:1"])
    other = begun(world, b, "two")
    c.abort()
    world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED, "three"))
    assert world.kernel.owners() == {"one", "two", "three"}
    assert world.kernel.left_by("one") == ([a.participant], [])
    assert world.kernel.left_by("two") == ([b.participant], [other])
    assert world.kernel.left_by("three") == ([], [call])
    world.take(events.RunLost(other.id))
    assert world.kernel.left_by("two") == ([b.participant], [])
    assert world.kernel.unknown == [other]
    assert other.intent == "for ever", "it is known by that when it runs again"


def test_a_checkpoint_holds_owners_and_what_is_not_known() -> None:
    world = World()
    a, b = owned(world, "A", "one", on_death="keep"), owned(world, "B", "two")
    world.take(events.Attached(a.rank, "three", "keep"))
    lost, runs = begun(world, a, "three"), begun(world, b, "two")
    world.take(events.RunLost(lost.id))
    other = Mtpo()
    restore(other, state_of(world.kernel))
    assert state_of(other) == state_of(world.kernel)
    assert [call.id for call in other.unknown] == [lost.id]
    assert other.left_by("two")[1][0].intent == runs.intent
    assert other.agents[a.rank].epoch == 1


# ---- what is not known -------------------------------------------------------------------------------------


def test_an_agent_with_a_call_of_which_nobody_knows_does_not_commit_and_those_above_wait() -> None:
    world = World({"kv:x": 1})
    a, b = owned(world, "A", "one"), owned(world, "B", "two")
    staged = a.stage("mail")
    a.finish()
    world.take(events.RunBegun(staged.id, NOTHING_TOUCHED, "one", "for ever"))
    world.take(events.RunLost(staged.id))
    world.advance()
    assert staged.phase is CallPhase.UNKNOWN
    assert b.gate("wait") is Gate.WAIT
    world.take(events.CallRan(staged.id, DONE))
    world.advance()
    assert a.phase == "committed"


def test_a_call_of_which_nobody_knows_runs_again_under_the_name_it_had() -> None:
    world = World()
    a = owned(world, "A", "one")
    staged = a.stage("mail")
    a.finish()
    world.take(events.RunBegun(staged.id, NOTHING_TOUCHED, "one", "for ever"))
    world.take(events.RunLost(staged.id))
    world.take(events.RunBegun(staged.id, NOTHING_TOUCHED, "two", staged.intent))
    assert (staged.phase, staged.runner, staged.intent) == (CallPhase.RUNNING, "two", "for ever")
    world.take(events.CallRan(staged.id, DONE))
    world.advance()
    assert a.phase == "committed"


def test_staged_calls_after_one_of_which_nobody_knows_do_not_run_before_it() -> None:
    world = World()
    a = owned(world, "A", "one")
    first, second = a.stage("one"), a.stage("two")
    a.finish()
    world.take(events.RunBegun(first.id, NOTHING_TOUCHED, "one"))
    world.take(events.RunLost(first.id))
    assert world.kernel.ready().run is None
    world.take(events.CallRan(first.id, DONE))
    assert world.kernel.ready().run is second


@pytest.mark.parametrize("irreversible", [True, False])
def test_an_agent_is_aborted_whatever_is_not_known_of_its_calls_and_that_is_heard_of_afterwards(
    irreversible: bool,
) -> None:
    world = World()
    a, b = owned(world, "A", "one"), owned(world, "B", "two")
    call = begun(world, a, "one", irreversible=irreversible)
    if not irreversible:
        world.refuses(events.Aborted(a.rank, ""))
    world.take(events.RunLost(call.id))
    a.abort()
    assert world.kernel.unknown == [call]
    read = b.act(reads=["sys:1"])
    world.take(events.CallRan(call.id, ran(world, call)))
    assert world.kernel.unknown == []
    assert world.kernel.is_dirty(read), "what turns out to have happened comes below everybody"


def test_of_a_call_that_turns_out_not_to_have_run_nothing_stands() -> None:
    world = World()
    a, b = owned(world, "A", "one"), owned(world, "B", "two")
    call = begun(world, a, "one")
    world.take(events.RunLost(call.id))
    a.abort()
    read = b.act(reads=["sys:1"])
    world.take(events.CallRan(call.id, Observation.failed("it has not run")))
    assert world.kernel.unknown == []
    assert not world.kernel.is_dirty(read)
    world.refuses(events.CallRan(call.id, ran(world, call)))


def test_nobody_waits_for_a_call_of_which_nobody_knows_once_its_agent_has_ended() -> None:
    world = World({"kv:x": 1}, early=True)
    idle, a, b = owned(world, "idle", "one"), owned(world, "A", "one"), owned(world, "B", "two")
    idle.read("kv:x")
    call = begun(world, a, "one")
    b.read("kv:y")
    b.finish()
    world.advance()
    assert b.phase == "finished", "what cannot be taken back runs below it"
    world.take(events.RunLost(call.id))
    a.abort()
    world.advance()
    assert b.phase == "committed"


def test_only_a_run_that_is_under_way_is_lost_and_once() -> None:
    world = World()
    a = owned(world, "A", "one")
    staged, call = a.stage("mail"), begun(world, a, "one")
    world.refuses(events.RunLost(staged.id))
    world.take(events.RunLost(call.id))
    world.refuses(events.RunLost(call.id))


def test_what_a_run_has_captured_to_be_taken_back_by_survives_its_process() -> None:
    world = World()
    a = owned(world, "A", "one")
    call = begun(world, a, "one")
    again = events.RunBegun(call.id, NOTHING_TOUCHED, "one", call.intent, None, {"was": 1})
    assert "running" in world.refuses(again._replace(owner="two"))
    assert "running" in world.refuses(again._replace(intent="another"))
    assert "running" in world.refuses(again._replace(prepared=None))
    world.take(again)
    world.take(events.RunLost(call.id))
    other = Mtpo()
    restore(other, state_of(world.kernel))
    assert [one.prepared for one in other.unknown] == [call.prepared] == [{"was": 1}]
    world.take(events.RunBegun(call.id, NOTHING_TOUCHED, "two", call.intent))
    assert call.prepared is None, "another run captures anew"


def test_an_amendment_whose_run_is_lost_is_known_by_what_it_was_to_be() -> None:
    world = World()
    a = owned(world, "A", "one")
    call = a.act(writes=["sys:1"])
    world.apply()
    world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED, "one"))
    world.take(events.RunBegun(call.id, NOTHING_TOUCHED, "one", "for ever", {"to": 2}))
    world.take(events.RunLost(call.id))
    world.take(events.CallRan(call.id, ran(world, call)))
    assert (call.phase, call.arguments) == (CallPhase.STANDING, {"to": 2})


def test_a_failed_call_that_is_amended_counts_when_its_lost_run_turns_out_to_have_been() -> None:
    world = World({"kv:t": "text"})
    [a] = world.join("A")
    call = a.edit("kv:t", "absent", "new")
    assert call.phase is CallPhase.LAPSED
    world.take(events.RunBegun(call.id, NOTHING_TOUCHED, "one", "for ever", {"old": "text"}))
    world.take(events.RunLost(call.id))
    world.take(events.CallRan(call.id, DONE))
    assert call.phase is CallPhase.STANDING


def test_one_process_sees_to_what_an_aborted_agent_may_have_done_if_it_can_be_taken_back() -> None:
    world = World()
    a, b = owned(world, "A", "one"), owned(world, "B", "one")
    call, mail = begun(world, a, "one", irreversible=False), begun(world, b, "one")
    for one, agent in ((call, a), (mail, b)):
        world.take(events.RunLost(one.id))
        agent.abort()
    sees_to = events.RunBegun(call.id, NOTHING_TOUCHED, "two", call.intent)
    assert "ended" in world.refuses(sees_to._replace(call_id=mail.id))
    world.take(sees_to)
    world.refuses(sees_to._replace(owner="three"))
    assert world.kernel.left_by("two")[1] == [call], "who comes after it knows"
    world.take(events.CallRan(call.id, Observation.failed("it was taken back")))
    assert call not in world.kernel.unknown
