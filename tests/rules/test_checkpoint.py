"""A kernel that was restored from its state is the same kernel, at every step."""

from __future__ import annotations

from typing import Any

import pytest
from kernel_world import NOTHING_TOUCHED, World

from coagent.log.codec import decode_state, encode_state
from coagent.protocol import events
from coagent.protocol.calls import Observation
from coagent.protocol.checkpoint import restore, state_of
from coagent.protocol.events import Event
from coagent.protocol.mtpo import Mtpo


def facts(kernel: Mtpo) -> list[Any]:
    """Everything that a kernel holds of calls, edits, names and order, by its attributes."""
    calls = {**kernel._calls, **kernel._under_way}
    names = (
        "agent", "rank", "position", "tool", "arguments", "seen", "told", "writes", "cause", "phase",
        "lapsed", "irreversible", "refused", "under_way", "accepted",
    )  # fmt: skip
    edits = [edit for key in sorted(kernel._objects.trajectories) for edit in kernel.edits(key)]
    return [
        {call_id: [getattr(call, name) for name in names] for call_id, call in calls.items()},
        [(edit.position, edit.saw, edit.found, edit.writes, edit.clean) for edit in edits],
        kernel._names,
        [
            (agent.name, agent.order, agent.position, list(agent.calls), agent.pinned, agent.called)
            for agent in kernel._order
        ],
        {call_id: call.told is call.seen for call_id, call in calls.items()},
        sorted(kernel._declared),
        all(kernel._declared[call_id] is kernel._calls[call_id] for call_id in kernel._declared),
    ]


class Restored(World):
    """A world in which each event is also taken by a kernel that was restored just before it."""

    def take(self, event: Event) -> Any:
        before = self.kernel
        again = Mtpo(early=before.early)
        restore(again, decode_state(encode_state(state_of(before))))
        again.check_invariants()
        assert encode_state(state_of(again)) == self.state
        assert [again.inbox(agent) for agent in again.agents.values()] == [
            before.inbox(agent) for agent in before.agents.values()
        ]
        assert repr(again.ready()) == repr(before.ready())
        assert again.unsettled() == before.unsettled()
        assert again.scanned_prefixes() == before.scanned_prefixes()
        assert facts(again) == facts(before)
        made = super().take(event)
        again.take(event)
        assert encode_state(state_of(again)) == self.state, f"after {event} it is another one"
        return made


@pytest.mark.parametrize("early", [False, True])
def test_a_restored_kernel_goes_on_as_the_one_that_was_saved(early: bool) -> None:
    world = Restored({"kv:x": 1, "kv:y": {"n": 1}, "kv:t": "1\n2\n"}, early=early)
    [pinned] = world.join("P", rank=3)
    a, b = world.join("A", "B")
    b.read("kv:x")
    b.read_field("kv:y", "/n")
    b.keys("kv:", glob="*")
    b.fields("kv:", "/n")
    failed = b.edit("kv:t", "absent", "new")
    b.edit("kv:t", "1", "one")
    withdrawn = b.edit("kv:t", "2", "two")
    mail, other = b.stage("mail"), a.stage("other")
    act = b.act(writes=["sys:1"])
    world.settle()
    world.outside("kv:t", "one\ntwo\n3\n")
    pinned.put("kv:x", 0)
    a.put("kv:x", 2)
    a.put("kv:y", {"n": 2})
    a.edit("kv:t", "2", "zwei")
    world.settle()
    assert b.unread
    a.put("kv:x", 3)
    world.take(events.ReversalBegun(act.id, NOTHING_TOUCHED))
    world.take(events.CallReversed(act.id, act.as_cause))
    world.settle()
    b.told()
    b.undo(failed)
    b.amend(withdrawn, old="zwei")
    world.settle()
    refused = a.put("kv:z", 1)
    world.take(events.EffectRefused("kv:z", world.kernel.version("kv:z"), "no"))
    a.told()
    a.undo(refused)
    put = a.put("kv:x", 9)
    world.settle()
    a.undo(put)
    world.settle()
    world.take(events.RunBegun(other.id, NOTHING_TOUCHED))
    a.abort()
    assert world.kernel.underway(other.id) is not None
    world.take(events.CallRan(other.id, Observation({}, {}, {"kv:log": "sent"}, {"kv:log": None}, "sent")))
    world.settle()
    for _ in range(3):
        b.told()
        pinned.told()
        if b.phase == "active":
            b.finish()
        if pinned.phase == "active":
            pinned.finish()
        world.advance()
    assert b.phase == "committed"
    assert mail.phase.value == "standing"
    assert world.held.objects == ()


def test_a_stuck_object_and_what_it_says_are_restored() -> None:
    world = Restored({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    put = a.put("kv:x", 2)
    world.settle()
    a.undo(put)
    world.take(events.EffectRefused("kv:x", world.kernel.version("kv:x"), "finalizers"))
    world.settle()
    b.told()
    world.take(events.Resolved("kv:x", "accept", 2))
    assert world.kernel.stuck == {}


def test_what_may_have_been_taken_back_is_restored_and_stays_stuck_when_its_value_changes() -> None:
    world = Restored()
    a, b = world.join("A", "B")
    below, above = a.act(writes=["sys:1"]), b.act(writes=["sys:1"])
    world.apply()
    world.take(events.ReversalBegun(above.id, NOTHING_TOUCHED))
    world.take(events.CallReversed(above.id, below.as_cause))
    world.take(events.ReversalBegun(below.id, NOTHING_TOUCHED))
    world.take(events.ReversalFailed(below.id, "gone"))
    restored = Mtpo()
    restore(restored, state_of(world.kernel))
    restored.step(events.Aborted(b.rank, ""))
    assert restored.stuck == {"sys:1": "gone"}


def test_a_promoted_agent_is_restored_at_its_new_place_with_what_lies_above_its_writes() -> None:
    world = Restored({"kv:t": "1\n2\n"}, early=True)
    a, b, c = world.join("A", "B", "C")
    b.keys("other:")
    put = b.put("kv:t", "one\n2\n")
    world.settle()
    world.outside("kv:t", "outside\n2\n")
    b.amend(put, value="ONE\n2\n")
    b.told()
    b.send("mail", log="kv:log")
    world.settle()
    b.finish()
    world.take(events.Promoted(b.rank, -1))
    assert a.read("kv:t").seen.value == "outside\n2\n"
    b.stage("another")
    refused = c.put("kv:x", 1)
    world.take(events.EffectRefused("kv:x", world.kernel.version("kv:x"), "no"))
    a.read("kv:t")
    assert refused.refused
    b.abort()
    world.settle()
    assert world.live == {"kv:t": "outside\n2\n", "kv:log": "mail"}


def test_a_kernel_at_rest_is_next_to_nothing() -> None:
    world = World({"kv:x": 1})
    for name in ("A", "B"):
        [agent] = world.join(name)
        agent.add("kv:x", 1)
        agent.finish()
        world.advance()
    assert len(world.state) < 1_000


def test_a_call_that_was_under_way_when_its_kernel_was_saved_may_fail_afterwards() -> None:
    world = Restored({"kv:x": 1})
    (a,) = world.join("A")
    call = a.begin("act", writes=["sys:1"])
    a.ran(call, Observation.failed("it would not"))
    assert call.lapsed
    assert not a.participant.unread, "its agent hears of that with the call itself"


def test_a_call_that_would_succeed_now_is_restored_without_its_writes() -> None:
    world = Restored({"kv:t": "zero\n"})
    a, b = world.join("A", "B")
    failed = b.edit("kv:t", "one", "ONE")
    b.told()
    a.put("kv:t", "one\n")
    world.settle()
    assert failed.seen.writes, "as it ran again it has written"
    assert failed.writes == {}, "but its agent knows that it had failed"
    b.put("kv:y", 1)
    world.settle()
    assert world.live["kv:t"] == "one\n"


def test_a_run_is_restored_whose_agent_was_aborted_and_is_forgotten() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    sent = a.begin("send", irreversible=True, text="hello", log="kv:log")
    a.abort()
    for number in range(65):
        [other] = world.join(f"other {number}")
        other.abort()
    assert a.rank not in world.kernel.agents
    again = Mtpo()
    restore(again, decode_state(encode_state(state_of(world.kernel))))
    [restored] = again._under_way.values()
    assert (restored.agent, restored.rank, restored.position) == ("A", a.rank, sent.position)
    ran = events.CallRan(sent.id, world.observe(sent.position, sent.tool, sent.arguments))
    world.take(ran)
    again.take(ran)
    assert encode_state(state_of(again)) == world.state
    assert again.live_value("kv:log") == world.kernel.live_value("kv:log")
