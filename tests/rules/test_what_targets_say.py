"""What targets refuse or will not take back: a call fails, or an object is stuck; everything else goes on."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from kernel_world import NOTHING_TOUCHED, Agent, World

import coagent
from coagent import State, TargetError, tool
from coagent.protocol import events
from coagent.protocol.decisions import Gate
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


def refuse(world: World, key: str, error: str = "no") -> object:
    """A target refuses what it should hold."""
    return world.take(events.EffectRefused(key, world.kernel.version(key), error))


def get_stuck(world: World, agent: Agent, key: str) -> None:
    """A target refuses to take back what it has held: an undo was on its way to it."""
    put = agent.put(key, 2)
    world.settle()
    agent.undo(put)
    assert refuse(world, key, "finalizers") is None, "no call is to blame"


# ---- refused -----------------------------------------------------------------------------------------------


def test_a_refused_write_is_withdrawn_and_its_agent_is_told() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    put = b.put("kv:x", 2)
    assert refuse(world, "kv:x", "out of range") is put
    world.settle()
    assert put.writes == {}
    assert put.refused
    assert world.live == {"kv:x": 1}
    [moved] = b.inbox.moved
    assert [(news.call_id, news.kind, news.before, news.after) for news in moved.calls] == [
        (put.id, "withdrawn", "ok", "out of range")
    ]
    assert not a.unread


def test_all_that_a_refused_call_wrote_is_withdrawn_with_it() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    [a] = world.join("A")
    a.call("put_two", key="kv:x", value=2, other="kv:y", and_value=2)
    refuse(world, "kv:y")
    world.settle()
    assert world.live == {"kv:x": 1, "kv:y": 1}


def test_who_has_seen_a_refused_write_runs_again_because_of_it() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    put = a.put("kv:x", 2)
    seen = b.read("kv:x")
    refuse(world, "kv:x")
    assert world.kernel.is_dirty(seen)
    world.settle()
    [moved] = b.inbox.moved
    assert (moved.before, moved.after, moved.cause.call_id) == (2, 1, put.id)


def test_a_refused_call_that_is_put_right_counts_again() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    put = a.put("kv:x", 2)
    refuse(world, "kv:x")
    a.amend(put, value=3)
    assert not put.refused
    world.settle()
    assert world.live == {"kv:x": 3}
    assert not a.unread


def test_a_refused_call_that_had_to_run_again_need_not() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    added = b.add("kv:x", 1)
    other = b.add("kv:x", 1)
    version = world.kernel.version("kv:x")
    a.put("kv:y", 1)
    world.take(events.EffectRefused("kv:x", version, "no"))
    assert not world.kernel.is_dirty(other)
    assert other.writes == {}
    assert added.writes == {"kv:x": 2}
    world.settle()
    assert world.live == {"kv:x": 2, "kv:y": 1}


def test_a_refusal_of_an_earlier_version_says_nothing() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.put("kv:x", 2)
    version = world.kernel.version("kv:x")
    a.put("kv:x", 3)
    before = world.state
    for key in ("kv:x", "kv:unknown"):
        assert world.take(events.EffectRefused(key, version, "no")) is None
        world.take(events.Stuck(key, version, "no"))
    assert world.state == before


def test_a_write_that_its_target_has_accepted_is_not_withdrawn_by_a_later_refusal() -> None:
    """What was held before and is to be put back again: no call is to blame for it."""
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    put = a.put("kv:x", 2)
    world.settle()
    above = b.put("kv:x", 3)
    world.settle()
    b.undo(above)
    assert refuse(world, "kv:x") is None
    assert put.writes == {"kv:x": 2}
    assert "kv:x" in world.kernel.stuck


def test_a_write_that_was_accepted_is_to_blame_again_once_it_is_another_value() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    added = b.add("kv:x", 1)
    world.settle()
    a.put("kv:x", 5)
    world.rerun()
    assert refuse(world, "kv:x") is added
    assert added.writes == {}


def test_a_write_that_was_accepted_stays_so_if_it_is_the_same_when_it_runs_again() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    written = b.call("count", prefix="kv:", to="kv:n")
    world.settle()
    assert written.accepted == {"kv:n"}
    a.delete("kv:x")
    a.put("kv:z", 1)
    world.settle()
    assert world.reruns == [written.id]
    assert written.accepted == {"kv:n"}
    above = b.put("kv:n", 9)
    world.settle()
    b.undo(above)
    assert refuse(world, "kv:n") is None


def test_each_write_of_a_call_is_accepted_by_its_own_target() -> None:
    world = World()
    [a] = world.join("A")
    call = a.call("put_two", key="kv:x", value=2, other="kv:y", and_value=2)
    world.take(events.EffectApplied("kv:x", world.kernel.version("kv:x")))
    assert call.accepted == {"kv:x"}
    world.apply()
    assert call.accepted == {"kv:x", "kv:y"}


def test_what_an_irreversible_call_has_written_is_not_withdrawn_by_a_refusal() -> None:
    world = World()
    [a] = world.join("A")
    mail = a.send("mail", log="kv:log")
    assert refuse(world, "kv:log") is None
    assert mail.writes == {"kv:log": "mail"}
    assert "kv:log" in world.kernel.stuck


def test_what_an_outsider_has_changed_is_nobodys_to_blame() -> None:
    world = World({"kv:t": "1\n2\n3\n"})
    a, b = world.join("A", "B")
    b.edit("kv:t", "1", "one")
    world.settle()
    world.outside("kv:t", "one\n2\nthree\n")
    a.edit("kv:t", "2", "two")
    world.rerun()
    assert refuse(world, "kv:t") is None
    assert "kv:t" in world.kernel.stuck


def test_nobody_commits_before_they_know_that_their_write_was_refused() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.put("kv:x", 2)
    a.finish()
    refuse(world, "kv:x")
    world.advance()
    assert a.phase == "finished"
    a.told()
    a.finish()
    world.advance()
    assert a.phase == "committed"
    assert world.live == {"kv:x": 1}


# ---- stuck -------------------------------------------------------------------------------------------------


def test_whoever_has_touched_a_stuck_object_is_told_once_with_the_reason() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b, c = world.join("A", "B", "C")
    read = b.read("kv:x")
    c.read("kv:y")
    get_stuck(world, a, "kv:x")
    world.settle()
    assert world.kernel.stuck == {"kv:x": "finalizers"}
    [moved] = [moved for moved in b.inbox.moved if moved.part is None and moved.calls[0].kind == "stuck"]
    assert (moved.key, moved.after, moved.calls[0].call_id) == ("kv:x", "finalizers", read.id)
    b.told()
    assert not b.unread
    assert not c.unread


def test_whoever_has_written_a_stuck_object_is_told_too() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    put = a.put("kv:x", 2)
    world.settle()
    above = b.put("kv:x", 3)
    world.settle()
    b.undo(above)
    refuse(world, "kv:x", "finalizers")
    assert [(m.key, m.calls[0].call_id, m.calls[0].kind) for m in a.inbox.moved] == [
        ("kv:x", put.id, "stuck")
    ]


def test_an_agent_is_told_that_a_target_keeps_what_its_refused_amendment_has_withdrawn() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    put = a.put("kv:x", 2)
    world.settle()
    a.amend(put, value=3)
    assert refuse(world, "kv:x", "out of range") is put
    assert refuse(world, "kv:x", "finalizers") is None
    assert put.writes == {}
    assert world.live == {"kv:x": 2}, "the first write stands"
    news = [news for moved in a.inbox.moved for news in moved.calls]
    assert [(one.call_id, one.kind, one.after) for one in news] == [
        (put.id, "withdrawn", "out of range"),
        (put.id, "stuck", "finalizers"),
    ]


def test_an_agent_is_told_that_a_target_keeps_what_a_refused_run_has_withdrawn() -> None:
    world = World({"kv:s": 3, "kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    copied = b.copy("kv:s", "kv:x")
    other = b.put("kv:y", 1)
    c.put("kv:z", 1)
    world.settle()
    a.put("kv:s", 5)
    world.rerun()
    refuse(world, "kv:x", "out of range")
    refuse(world, "kv:x", "finalizers")
    assert world.live["kv:x"] == 3, "the first write stands"
    stuck = [moved.calls for moved in b.inbox.moved if moved.calls[0].kind == "stuck"]
    assert [news.call_id for calls in stuck for news in calls] == [copied.id]
    assert other.writes == {"kv:y": 1}
    assert not a.unread
    assert not c.unread


def test_nothing_more_is_put_to_a_stuck_object_and_everything_else_goes_on() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    get_stuck(world, a, "kv:x")
    assert world.kernel.has_effects
    assert world.kernel.ready().apply == ()
    b.put("kv:y", 2)
    assert [effect.key for effect in world.kernel.ready().apply] == ["kv:y"]
    world.settle()
    b.finish()
    a.told()
    a.finish()
    world.advance()
    assert (a.phase, b.phase) == ("committed", "committed")
    assert world.live == {"kv:x": 2, "kv:y": 2}
    assert "kv:x" in world.kernel.stuck, "a person has to decide all the same"
    assert world.kernel.lookup("kv:x", (9, 1, 0)) == 1, "it is not forgotten what it should hold"


def test_an_object_that_another_process_has_put_after_all_is_not_stuck() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    get_stuck(world, a, "kv:x")
    version = world.kernel.version("kv:x")
    world.take(events.EffectApplied("kv:x", version - 1))
    assert world.kernel.stuck, "that was not what it is to hold"
    world.take(events.EffectApplied("kv:x", version))
    assert not world.kernel.stuck
    assert not any(news.kind == "stuck" for moved in b.inbox.moved for news in moved.calls)


def test_what_is_stuck_for_a_reversal_that_failed_stays_so_whatever_was_put() -> None:
    world = World()
    [a] = world.join("A")
    call = a.act(writes=["sys:1"])
    world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED))
    world.take(events.ReversalFailed(call.id, "no"))
    world.apply()
    assert world.kernel.stuck == {"sys:1": "no"}


def test_a_call_that_touches_a_stuck_object_does_not_run_again_and_others_do() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    get_stuck(world, a, "kv:x")
    reads, reads_both = b.read("kv:x"), b.call("add_up", key="kv:x", other="kv:y")
    other, copied = b.read("kv:y"), b.copy("kv:y", "kv:z")
    a.put("kv:y", 5)
    assert not world.kernel.is_dirty(reads)
    assert world.kernel.is_dirty(reads_both)
    assert world.kernel.ready().reexecute == (other, copied)
    world.take(events.Resolved("kv:x", "retry"))
    assert world.kernel.ready().reexecute == (reads_both, other, copied)


def test_a_target_says_itself_that_an_object_is_stuck() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    put = a.put("kv:x", 2)
    b.read("kv:x")
    world.take(events.Stuck("kv:x", world.kernel.version("kv:x"), "finalizers"))
    assert world.kernel.stuck == {"kv:x": "finalizers"}
    assert world.kernel.ready().apply == ()
    assert put.writes == {"kv:x": 2}, "it is not withdrawn for that"
    for agent in (a, b):
        [moved] = agent.inbox.moved
        assert (moved.key, moved.before, moved.after) == ("kv:x", None, "finalizers")
        assert (moved.calls[0].before, moved.calls[0].after) == (None, "finalizers")


def test_a_refused_call_keeps_what_it_saw_and_is_asked_again_when_that_changes() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    added, counted = b.add("kv:x", 1), b.count("kv:", to="kv:n")
    refuse(world, "kv:x")
    refuse(world, "kv:n")
    assert (added.refused, counted.refused) == (True, True)
    a.put("kv:x", 5)
    a.put("kv:y", 5)
    assert world.kernel.is_dirty(added)
    assert world.kernel.is_dirty(counted)
    world.rerun()
    assert (added.refused, counted.refused) == (False, False)
    assert added.writes == {"kv:x": 6}


def test_an_object_whose_target_has_taken_everything_does_not_get_stuck() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.put("kv:x", 2)
    world.settle()
    world.take(events.Stuck("kv:x", world.kernel.version("kv:x"), "no"))
    assert world.kernel.stuck == {}


def test_a_person_lets_it_be_tried_again() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    get_stuck(world, a, "kv:x")
    assert b.unread
    world.take(events.Resolved("kv:x", "retry"))
    assert world.kernel.stuck == {}
    assert [effect.value for effect in world.kernel.ready().apply] == [1]
    world.settle()
    assert world.live == {"kv:x": 1}
    assert b.told() == [], "there is nothing to tell any more"


def test_a_person_accepts_what_is_there_as_an_outsiders_change() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    get_stuck(world, a, "kv:x")
    world.take(events.Resolved("kv:x", "accept", 2))
    world.settle()
    assert world.kernel.stuck == {}
    assert not world.kernel.has_effects
    assert world.live == {"kv:x": 2}
    assert b.read("kv:x").seen.value == 2


def test_accepting_what_should_be_there_is_to_know_that_it_has_arrived() -> None:
    world = World({"kv:x": 1})
    a, _ = world.join("A", "B")
    get_stuck(world, a, "kv:x")
    world.take(events.Resolved("kv:x", "accept", 1))
    assert not world.kernel.has_effects
    assert world.held.objects == ()
    put = a.put("kv:y", 1)
    world.settle()
    above = a.put("kv:y", 2)
    world.settle()
    a.undo(above)
    refuse(world, "kv:y")
    world.take(events.Resolved("kv:y", "accept", 1))
    assert not world.kernel.has_effects
    assert world.kernel.edits("kv:y") == []
    assert put.accepted == {"kv:y"}


def test_what_a_person_accepts_lies_above_what_should_be_there() -> None:
    world = World({"kv:x": {"n": 1, "m": 1}})
    a, b = world.join("A", "B")
    put = a.put("kv:x", {"n": 2, "m": 1})
    world.settle()
    above = b.put("kv:x", {"n": 3, "m": 1})
    world.settle()
    b.undo(above)
    refuse(world, "kv:x")
    assert [moved.calls[0].before for moved in b.inbox.moved] == []
    world.take(events.Resolved("kv:x", "accept", {"n": 3, "m": 1}))
    assert not world.kernel.has_effects
    assert b.read("kv:x").seen.value == {"n": 3, "m": 1}
    a.amend(put, value={"n": 2, "m": 5})
    world.settle()
    assert world.live == {"kv:x": {"n": 3, "m": 5}}


def test_a_decision_about_what_is_not_stuck_changes_nothing() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.read("kv:x")
    before = world.state
    world.take(events.Resolved("kv:x", "accept", 9))
    world.take(events.Resolved("kv:unknown", "accept", 9))
    assert world.state == before


def test_another_value_is_tried_and_the_notice_that_was_not_told_yet_stays() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    get_stuck(world, a, "kv:x")
    b.put("kv:x", 7)
    assert world.kernel.stuck == {}
    assert [effect.value for effect in world.kernel.ready().apply] == [7]
    world.settle()
    assert world.live == {"kv:x": 7}


def test_a_value_from_outside_frees_a_stuck_object() -> None:
    world = World({"kv:x": 1})
    a, _ = world.join("A", "B")
    get_stuck(world, a, "kv:x")
    world.outside("kv:x", 5)
    assert world.kernel.stuck == {}
    world.settle()
    assert world.live == {"kv:x": 5}


def test_what_a_declared_call_wrote_is_stuck_when_it_cannot_be_taken_back() -> None:
    world = World()
    a, b = world.join("A", "B")
    act = a.act(writes=["sys:1", "sys:2"])
    world.apply()
    reading = b.act(reads=["sys:1"])
    world.take(events.ReversalBegun(act.id, NOTHING_TOUCHED))
    world.take(events.ReversalFailed(act.id, "gone"))
    assert world.kernel.stuck == {"sys:1": "gone", "sys:2": "gone"}
    assert act.phase.value == "standing"
    assert [moved.calls[0].kind for moved in a.inbox.moved] == ["stuck", "stuck"]
    assert [moved.calls[0].call_id for moved in b.inbox.moved] == [reading.id]
    assert world.kernel.underway(act.id) is None


def test_what_may_have_been_taken_back_stays_stuck_whoever_else_has_written_it_and_goes() -> None:
    world = World()
    a, b = world.join("A", "B")
    below, above = a.act(writes=["sys:1"]), b.act(writes=["sys:1"])
    world.apply()
    world.take(events.ReversalBegun(above.id, NOTHING_TOUCHED))
    world.take(events.CallReversed(above.id, below.as_cause))
    world.take(events.ReversalBegun(below.id, NOTHING_TOUCHED))
    world.take(events.ReversalFailed(below.id, "gone"))
    b.abort()
    assert world.kernel.stuck == {"sys:1": "gone"}
    world.take(events.Resolved("sys:1", "retry"))
    assert world.kernel.stuck == {}


@pytest.mark.parametrize("finished", [False, True])
def test_an_agent_is_told_of_a_stuck_object_before_it_ends_or_makes_an_irreversible_call(
    finished: bool,
) -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    if finished:
        b.finish()
    get_stuck(world, a, "kv:x")
    assert b.gate("wait") is Gate.TELL
    a.told()
    a.finish()
    world.advance()
    assert a.phase == "committed"
    assert "something to read" in str(world.kernel.may_commit(b.participant))


# ---- the runtime -------------------------------------------------------------------------------------------


class Finalized(coagent.targets.Memory):
    """Will not change any more, once it is told so."""

    final = False

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        if self.final:
            raise TargetError("it has finalizers", "Remove them.")
        await super().put(key, value, expected=expected)

    async def put_many(self, changes: Sequence[tuple[Key, Value, Sequence[Value]]]) -> None:
        for key, value, expected in changes:
            await self.put(key, value, expected=expected)


@tool
async def write(state: State, key: str, value: Value) -> None:
    """Write an object."""
    await state.put(key, value)


@pytest.mark.parametrize("how", ["accept", "retry"])
def test_a_person_decides_about_an_object_that_its_target_will_not_take_back(how: str) -> None:
    async def main() -> None:
        live = Finalized({"kv:x": 1, "kv:y": 1})
        async with coagent.open_domain("memory:", targets=[live], tools=[write]) as domain:
            a, b = await domain.join("A"), await domain.join("B")
            written = await a.call("write", key="kv:x", value=2)
            live.final = True
            await a.undo(written.call_id)
            assert set(domain.kernel.stuck) == {"kv:x"}
            live.final = False
            await b.call("write", key="kv:y", value=2)
            assert live.snapshot() == {"kv:x": 2, "kv:y": 2}, "others go on"
            live.final = how == "accept"
            await domain.resolve("kv:x", "accept" if how == "accept" else "retry")
            assert domain.kernel.stuck == {}
            assert live.snapshot() == {"kv:x": 2 if how == "accept" else 1, "kv:y": 2}
            assert not domain.kernel.has_effects

    anyio.run(main)
