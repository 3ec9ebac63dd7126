"""Rule 10: a finished agent passes those before it with which it has nothing to do, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from kernel_world import NOTHING_TOUCHED, Agent, World

import coagent
from coagent import State, TargetUnavailable, tool
from coagent.protocol import events
from coagent.protocol.calls import Observation
from coagent.protocol.keys import Key
from coagent.protocol.values import Value

Deed = Callable[[Agent], object]


def test_rule_10_an_agent_that_has_nothing_to_do_with_those_before_it_commits_before_them() -> None:
    world = World({"kv:x": 1, "kv:y": 1}, early=True)
    a, b = world.join("A", "B")
    a.put("kv:x", 2)
    b.put("kv:y", 2)
    b.finish()
    world.advance()
    assert b.phase == "committed"
    assert a.phase == "active"
    assert b.participant.order < a.participant.order
    assert world.live == {"kv:x": 2, "kv:y": 2}


def test_rule_10_with_the_order_fixed_nobody_passes_anybody() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    b.put("kv:y", 2)
    b.finish()
    world.advance()
    assert b.phase == "finished"
    assert world.kernel.promotion(b.participant) is None
    assert "may not be promoted" in world.refuses(events.Promoted(b.rank, a.participant.order - 1))
    assert world.kernel.waits_for(b.participant) == [a.participant]


def test_rule_10_an_agent_at_work_is_not_promoted_unasked() -> None:
    world = World(early=True)
    _, b = world.join("A", "B")
    b.put("kv:y", 2)
    world.settle()
    assert world.kernel.ready().promote is None
    assert not world.kernel.has_work
    b.finish()
    assert world.kernel.ready().promote == (b.rank, -1)


CONFLICTS: list[tuple[str, Deed, Deed]] = [
    ("write under a write", lambda low: low.put("kv:x", 2), lambda high: high.put("kv:x", 3)),
    ("write under a read", lambda low: low.put("kv:x", 2), lambda high: high.read("kv:x")),
    (
        "write and an unrelated scan under a write",
        lambda low: [low.put("kv:x", 2), low.keys("other:")],
        lambda high: high.put("kv:x", 3),
    ),
    ("read under a write", lambda low: low.read("kv:x"), lambda high: high.put("kv:x", 2)),
    ("part read under a write", lambda low: low.read_field("kv:f", "/n"), lambda high: high.put("kv:f", {})),
    ("write under a part read", lambda low: low.put("kv:f", {}), lambda high: high.read_field("kv:f", "/n")),
    ("scan under a creation", lambda low: low.keys("kv:"), lambda high: high.put("kv:new", 2)),
    ("scan under a deletion", lambda low: low.keys("kv:"), lambda high: high.delete("kv:x")),
    ("search under a write", lambda low: low.fields("kv:", "/n"), lambda high: high.put("kv:f", {})),
    ("creation under a scan", lambda low: low.put("kv:new", 2), lambda high: high.keys("kv:")),
    ("failed read under a creation", lambda low: low.add("kv:new", 2), lambda high: high.put("kv:new", 1)),
    (
        "a run that has begun under a write",
        lambda low: low.begin("act", reads=["kv:x"]),
        lambda high: high.put("kv:x", 1),
    ),
    (
        "a run that has begun under a read",
        lambda low: low.begin("act", writes=["kv:x"]),
        lambda high: high.read("kv:x"),
    ),
    (
        "a run that has begun under a scan",
        lambda low: low.begin("act", writes=["kv:x"]),
        lambda high: high.keys("kv:"),
    ),
    (
        "a run that scans under a write",
        lambda low: low.begin("act", scans=["kv:"]),
        lambda high: high.put("kv:new", 1),
    ),
]


@pytest.mark.parametrize(
    ("low", "high"), [deeds for _, *deeds in CONFLICTS], ids=[name for name, *_ in CONFLICTS]
)
def test_rule_10_nobody_passes_an_agent_with_which_they_conflict(low: Deed, high: Deed) -> None:
    world = World({"kv:x": 1, "kv:f": {"n": 1}}, early=True)
    a, b = world.join("A", "B")
    low(a)
    high(b)
    b.finish()
    world.advance()
    assert b.phase == "finished"
    assert world.kernel.waits_for(b.participant) == [a.participant]
    assert "may not be promoted" in world.refuses(events.Promoted(b.rank, -1))


NO_CONFLICTS: list[tuple[str, Deed, Deed]] = [
    ("reads of one object", lambda low: low.read("kv:x"), lambda high: high.read("kv:x")),
    ("scans of one range", lambda low: low.keys("kv:"), lambda high: high.keys("kv:")),
    ("a scan and a read", lambda low: low.keys("kv:"), lambda high: high.read("kv:x")),
    ("a glob that does not match", lambda low: low.keys("kv:", "*.md"), lambda high: high.put("kv:y", 1)),
    ("a write that no glob matches", lambda low: low.put("kv:y", 1), lambda high: high.keys("kv:", "*.md")),
    ("other objects", lambda low: low.add("kv:x", 1), lambda high: high.put("kv:f", {})),
    ("nothing at all", lambda low: None, lambda high: high.put("kv:x", 1)),
    ("no work of its own", lambda low: low.put("kv:x", 1), lambda high: None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high"), [deeds for _, *deeds in NO_CONFLICTS], ids=[name for name, *_ in NO_CONFLICTS]
)
def test_rule_10_what_is_no_conflict_holds_nobody_up(low: Deed, high: Deed) -> None:
    world = World({"kv:x": 1, "kv:f": {"n": 1}}, early=True)
    a, b = world.join("A", "B")
    low(a)
    high(b)
    b.finish()
    assert world.kernel.waits_for(b.participant) == []
    world.advance()
    assert (a.phase, b.phase) == ("active", "committed")
    assert not a.unread


def test_rule_10_a_run_that_has_begun_below_is_found_among_others_above() -> None:
    world = World(early=True)
    a, b, c = world.join("A", "B", "C")
    c.begin("act", writes=["sys:1"])
    a.begin("act", writes=["kv:x"])
    b.read("kv:x")
    b.finish()
    assert world.kernel.promotion(b.participant) is None
    assert world.kernel.waits_for(b.participant) == [a.participant]


def test_rule_10_a_run_that_has_failed_holds_nobody_up_any_more() -> None:
    world = World(early=True)
    a, b = world.join("A", "B")
    b.act(writes=["sys:1"])
    world.apply()
    run = a.begin("act", writes=["sys:1"])
    assert world.kernel.promotion(b.participant) is None
    a.ran(run, Observation.failed("no"))
    assert world.kernel.promotion(b.participant) == -1


def test_rule_10_a_run_that_has_begun_above_holds_nobody_up() -> None:
    world = World(early=True)
    _, b, c = world.join("A", "B", "C")
    b.read("kv:x")
    b.finish()
    c.begin("act", writes=["kv:x"])
    assert world.kernel.promotion(b.participant) == -1
    assert world.kernel.waits_for(b.participant) == []


def test_rule_10_a_finished_agent_of_which_a_call_has_to_run_again_is_passed() -> None:
    world = World({"kv:x": 1}, early=True)
    a, b = world.join("A", "B")
    a.read("kv:x")
    a.finish()
    b.finish()
    world.outside("kv:x", 2)
    assert world.kernel.ready().promote == (b.rank, -1)


def test_rule_10_a_chain_of_conflicts_holds_as_one_does() -> None:
    world = World(early=True)
    a, b, c = world.join("A", "B", "C")
    a.put("kv:x", 1)
    b.read("kv:x")
    b.put("kv:y", 1)
    c.read("kv:y")
    c.finish()
    world.advance()
    assert c.phase == "finished"
    assert world.kernel.waits_for(c.participant) == [b.participant]
    b.finish()
    world.advance()
    assert (b.phase, c.phase) == ("finished", "finished"), "B waits for A"


def test_rule_10_who_has_ended_holds_nobody_up() -> None:
    world = World({"kv:x": 1}, early=True)
    a, b, c = world.join("A", "B", "C")
    b.read("kv:x")
    c.put("kv:x", 3)
    c.finish()
    world.advance()
    assert c.phase == "finished"
    b.finish()
    world.advance()
    assert b.phase == "committed", "it has nothing to do with A"
    assert c.phase == "committed", "nor has C, and B is gone"
    assert a.phase == "active"


@pytest.mark.parametrize("repair", ["undo", "amend", "abort"])
def test_rule_10_who_takes_back_what_conflicted_holds_nobody_up_any_more(repair: str) -> None:
    world = World({"kv:x": 1}, early=True)
    a, b = world.join("A", "B")
    read = a.read("kv:x")
    b.put("kv:x", 3)
    b.finish()
    world.advance()
    assert b.phase == "finished"
    if repair == "undo":
        a.undo(read)
    elif repair == "amend":
        a.amend(read, key="kv:y")
    else:
        a.abort()
    world.advance()
    assert b.phase == "committed"


def test_rule_10_who_conflicts_only_later_is_seen_later() -> None:
    """What held an agent up is remembered; what has come since is found all the same."""
    world = World({"kv:x": 1, "kv:y": 1}, early=True)
    a, b, c = world.join("A", "B", "C")
    kept = a.read("kv:x")
    c.put("kv:x", 3)
    c.put("kv:y", 3)
    c.finish()
    assert world.kernel.promotion(c.participant) is None
    b.read("kv:y")
    a.undo(kept)
    assert world.kernel.promotion(c.participant) is None
    assert world.kernel.waits_for(c.participant) == [b.participant]


def test_rule_10_a_pinned_rank_neither_passes_nor_is_passed() -> None:
    world = World(early=True)
    [a] = world.join("A")
    [b] = world.join("B", rank=5)
    [c] = world.join("C")
    b.put("kv:y", 1)
    c.put("kv:z", 1)
    b.finish()
    c.finish()
    world.advance()
    assert (b.phase, c.phase) == ("finished", "finished")
    assert world.kernel.promotion(b.participant) is None
    assert world.kernel.promotion(c.participant) is None
    assert world.kernel.waits_for(c.participant) == [a.participant, b.participant]
    assert world.kernel.waits_for(b.participant) == [a.participant]
    a.finish()
    world.advance()
    assert (b.phase, c.phase) == ("committed", "committed")
    assert not [event for event in world.events if isinstance(event, events.Promoted)]


def test_rule_10_nobody_is_promoted_with_a_notice_unread_or_a_call_that_has_to_run_again() -> None:
    world = World({"kv:x": 1}, early=True)
    a, b = world.join("A", "B")
    b.read("kv:x")
    b.finish()
    undone = a.put("kv:x", 2)
    a.undo(undone)
    assert world.kernel.promotion(b.participant) is None, "B's read has to be made again"
    world.outside("kv:x", 5)
    world.settle()
    assert b.unread
    assert world.kernel.promotion(b.participant) is None
    assert world.kernel.ready().promote is None
    b.told()
    assert world.kernel.promotion(b.participant) == -1


def test_rule_10_nobody_is_promoted_while_a_run_of_theirs_is_under_way() -> None:
    world = World(early=True)
    _, b = world.join("A", "B")
    call = b.begin("act", writes=["sys:1"])
    b.finish()
    assert world.kernel.promotion(b.participant) is None
    b.ran(call, world.declared_run(call, writes=["sys:1"]))
    assert world.kernel.promotion(b.participant) == -1
    world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED))
    assert world.kernel.promotion(b.participant) is None


def test_rule_10_a_promotion_goes_below_everybody_and_to_no_other_place() -> None:
    world = World(early=True)
    a, _, c = world.join("A", "B", "C")
    c.finish()
    for order in (-2, 0, 1, 2, 3):
        assert "may not be promoted" in world.refuses(events.Promoted(c.rank, order))
    world.take(events.Promoted(c.rank, -1))
    assert world.kernel.promotion(c.participant) is None, "it is the lowest already"
    assert world.kernel.promotion(a.participant) == -2


def test_rule_10_a_promoted_agent_keeps_its_rank_and_its_name() -> None:
    world = World(early=True)
    _, b = world.join("A", "B")
    put = b.put("kv:x", 1)
    b.finish()
    world.take(events.Promoted(b.rank, -1))
    assert (b.participant.rank, b.participant.order) == (1, -1)
    assert put.position == (-1, 1, 0)
    assert world.kernel.position(b.participant) == (-1, 2, 0)
    assert b.phase == "finished"
    assert b.read("kv:x").position == (-1, 2, 0)
    assert world.kernel.refusal("C", b.rank) is not None


def test_rule_10_a_promotion_changes_no_value_that_anybody_has_seen() -> None:
    world = World({"kv:x": 1, "kv:t": "base\n"}, early=True)
    a, b, c = world.join("A", "B", "C")
    b.keys("other:")
    b.append("kv:t", "B")
    world.settle()
    world.outside("kv:t", "base\nB\noutside\n")
    b.read("kv:x")
    a.read("kv:x")
    above = c.read("kv:t")
    b.finish()
    world.settle()
    assert b.told() == []
    ready = world.kernel.ready()
    assert ready.promote == (b.rank, -1)
    assert ready.commit is None, "one after the other"
    world.take(events.Promoted(*ready.promote))
    assert not world.kernel.has_effects
    assert not world.kernel.is_dirty(above)
    [edit] = world.kernel.edits("kv:t")
    assert edit.position == (-1, 2, 1), "what an outsider wrote right above moves with it"
    assert a.read("kv:t").seen.value == "base\nB\noutside\n", "A comes after B now"
    world.advance()
    assert b.phase == "committed"
    c.finish()
    world.advance()
    assert c.phase == "committed"


def test_rule_10_an_abort_after_a_promotion_takes_back_the_agents_own() -> None:
    world = World({"kv:t": "base\n"}, early=True)
    a, b = world.join("A", "B")
    b.append("kv:t", "B")
    b.finish()
    world.take(events.Promoted(b.rank, -1))
    a.append("kv:t", "A")
    world.settle()
    b.abort()
    world.settle()
    assert world.live == {"kv:t": "base\nA\n"}


def test_rule_10_after_a_promotion_the_new_order_counts_for_readers_and_notices() -> None:
    world = World({"kv:x": 1}, early=True)
    a, b = world.join("A", "B")
    put = b.put("kv:x", 2)
    b.finish()
    world.take(events.Promoted(b.rank, -1))
    a.read("kv:x")
    a.keys("kv:")
    b.amend(put, value=3)
    b.put("kv:y", 1)
    world.settle()
    assert a.told() == [("kv:x", 2, 3), ("kv:", ["kv:x"], ["kv:x", "kv:y"])]
    a.put("kv:x", 9)
    world.settle()
    assert not b.unread


def test_rule_10_a_scan_that_moved_is_found_at_its_new_place() -> None:
    world = World(early=True)
    a, b, c = world.join("A", "B", "C")
    listed = b.keys("kv:")
    b.finish()
    world.take(events.Promoted(b.rank, -1))
    a.put("kv:x", 1)
    assert not world.kernel.is_dirty(listed), "A comes after B now"
    c.keys("kv:")
    world.advance()
    assert b.phase == "committed"
    assert world.kernel.scanned_prefixes() == ["kv:"]
    c.abort()
    assert world.kernel.scanned_prefixes() == []


def test_rule_10_agents_that_may_pass_go_lowest_first() -> None:
    world = World(early=True)
    _, b, c = world.join("A", "B", "C")
    b.put("kv:b", 1)
    c.put("kv:c", 1)
    world.settle()
    c.finish()
    b.finish()
    assert world.kernel.ready().promote == (b.rank, -1)
    world.advance()
    committed = [event.rank for event in world.events if isinstance(event, events.Committed)]
    assert committed == [b.rank, c.rank]


def test_rule_10_two_that_may_pass_at_once_do_not_pass_each_other_for_ever() -> None:
    world = World(early=True)
    a, b, c = world.join("A", "B", "C")
    a.read("kv:b")
    a.read("kv:c")
    b.put("kv:b", 1)
    c.put("kv:c", 1)
    c.finish()
    b.finish()
    world.advance()
    assert (b.phase, c.phase) == ("finished", "finished")
    a.abort()
    world.advance()
    assert (b.phase, c.phase) == ("committed", "committed")


def test_rule_10_nobody_passes_one_who_is_about_to_commit() -> None:
    world = World(early=True)
    a, b = world.join("A", "B")
    a.finish()
    b.finish()
    assert world.kernel.ready().promote is None
    assert world.kernel.ready().commit == a.rank


def test_rule_10_a_finished_agent_that_waits_for_its_target_or_its_run_is_passed() -> None:
    world = World(early=True)
    a, b, c = world.join("A", "B", "C")
    a.put("kv:x", 1)
    a.finish()
    b.begin("act", writes=["sys:1"])
    b.finish()
    c.finish()
    assert world.kernel.ready().promote == (c.rank, -1)
    world.take(events.Promoted(c.rank, -1))
    assert world.kernel.ready().commit == c.rank


def test_rule_10_nobody_is_promoted_before_their_targets_have_accepted_what_they_wrote() -> None:
    world = World(early=True)
    _, b = world.join("A", "B")
    b.put("kv:x", 1)
    b.finish()
    assert world.kernel.ready().promote is None
    world.apply()
    assert world.kernel.has_work
    assert world.kernel.ready().promote == (b.rank, -1)


def test_rule_10_joiners_come_after_everybody_whatever_was_promoted() -> None:
    world = World(early=True)
    _, b = world.join("A", "B")
    b.finish()
    world.advance()
    [c] = world.join("C")
    assert c.rank == 2
    assert c.participant.order == 2


# ---- the runtime -------------------------------------------------------------------------------------------


class MayBeAway(coagent.targets.Memory):
    """Is not there while it is told so."""

    instant = False
    away = False

    def unchanged(self, key: Key) -> bool:
        return False

    async def get(self, key: Key) -> Value:
        if self.away:
            raise TargetUnavailable("it is away", "Bring it back.", by_itself=False)
        return await super().get(key)


@tool
async def write(state: State, key: str, value: Value) -> None:
    """Write an object."""
    await state.put(key, value)


@tool(effect="irreversible", gate="stage")
async def send(state: State, key: str) -> Value:
    """Tell the world."""
    return await state.get(key)


@pytest.mark.parametrize("staged", [False, True], ids=["its commit", "its staged call"])
def test_rule_10_one_whose_target_is_away_is_passed_though_its_turn_has_come(staged: bool) -> None:
    async def main() -> None:
        gone, here = MayBeAway({"gone:x": 1}), MayBeAway({"here:x": 1})
        domain = coagent.open_domain("memory:", targets=[gone, here], tools=[write, send], order="early")
        async with domain:
            domain.observe(seen.append)
            a, b, c, d = [await domain.join(name) for name in ("A", "B", "C", "D")]
            await a.call("write", key="gone:x", value=2)
            if staged:
                await a.call("send", key="gone:x")
            await b.call("write", key="gone:y", value=2)
            await c.call("write", key="here:x", value=2)
            await d.call("write", key="gone:x", value=3)
            gone.away = True
            for agent in (a, b, d):
                assert (await agent.finish()).state == "waiting"
            await c.finish()
            await domain.settle()
            assert c.state == "committed"
            assert (a.state, b.state, d.state) == ("finished", "finished", "finished")
            gone.away = False
            await domain.settle()
            assert (await a.finish(wait=True)).state == "committed"
            assert (await b.finish(wait=True)).state == "committed"
            assert (await d.finish(wait=True)).state == "committed"
        promoted = [event for event in seen if isinstance(event, events.Promoted)]
        assert promoted[0].rank == c.rank, "B is hindered as A is"
        assert {event.rank for event in promoted} <= {b.rank, c.rank}, "D has something to do with A"
        assert len(promoted) <= 2

    seen: list[events.Event] = []
    anyio.run(main)


def test_rule_10_with_the_order_fixed_nobody_passes_one_whose_target_is_away() -> None:
    async def main() -> None:
        gone, here = MayBeAway({"gone:x": 1}), MayBeAway({"here:x": 1})
        async with coagent.open_domain("memory:", targets=[gone, here], tools=[write]) as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await a.call("write", key="gone:x", value=2)
            await b.call("write", key="here:x", value=2)
            gone.away = True
            assert (await a.finish()).state == "waiting"
            assert (await b.finish()).state == "waiting"
            gone.away = False

    anyio.run(main)


@tool
async def look(state: State, key: str) -> Value:
    """Read an object."""
    return await state.get(key)


@tool(effect="irreversible", gate="wait")
async def pay(state: State, key: str) -> Value:
    """Do what cannot be taken back, once its turn has come."""
    return await state.get(key)


def test_rule_10_who_cannot_go_on_passes_nobody_for_an_irreversible_call() -> None:
    async def main() -> None:
        gone, here = MayBeAway({"gone:x": 1}), MayBeAway({"here:x": 1})
        domain = coagent.open_domain("memory:", targets=[gone, here], tools=[look, pay], order="early")
        async with domain:
            domain.observe(seen.append)
            _, b, c = [await domain.join(name) for name in ("A", "B", "C")]
            for agent in (b, c):
                await agent.call("look", key="gone:x")
            gone.away = True
            for agent in (b, c, b, c):
                with pytest.raises(TargetUnavailable):
                    await agent.call("pay", key="here:x")
            assert not [event for event in seen if isinstance(event, events.Promoted)]
            gone.away = False
            for agent in (b, c):
                assert (await agent.call("pay", key="here:x")).status == "done"
                assert (await agent.finish()).state == "committed"

    seen: list[events.Event] = []
    anyio.run(main)


def test_rule_10_nobody_passes_one_whose_irreversible_call_is_about_to_run() -> None:
    class Held(MayBeAway):
        """Answers no more once somebody was promoted, until it may."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.holding, self.go_on = anyio.Event(), anyio.Event()

        async def get(self, key: Key) -> Value:
            if any(isinstance(event, events.Promoted) for event in seen):
                self.holding.set()
                await self.go_on.wait()
            return await super().get(key)

    async def main() -> None:
        held, here = Held({"held:x": 1}), MayBeAway({"here:x": 1})
        domain = coagent.open_domain("memory:", targets=[held, here], tools=[look, pay], order="early")
        async with domain:
            domain.observe(seen.append)
            _, b, c = [await domain.join(name) for name in ("A", "B", "C")]
            await b.call("look", key="held:x")

            async def of_b() -> None:
                await b.call("pay", key="here:x")
                await b.finish()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(of_b)
                await held.holding.wait()
                tasks.start_soon(partial(c.call, "pay", key="here:x"))
                await anyio.wait_all_tasks_blocked()
                assert [event.rank for event in seen if isinstance(event, events.Promoted)] == [b.rank]
                held.go_on.set()
        called = [event.rank for event in seen if isinstance(event, events.CallBegun)]
        assert called == [b.rank, c.rank]

    seen: list[events.Event] = []
    anyio.run(main)


def test_rule_10_an_irreversible_call_passes_one_whose_target_is_away() -> None:
    async def main() -> None:
        gone, here = MayBeAway({"gone:x": 1}), MayBeAway({"here:x": 1})
        tools = [write, pay]
        async with coagent.open_domain("memory:", targets=[gone, here], tools=tools, order="early") as domain:
            a, b = await domain.join("A"), await domain.join("B")
            await a.call("write", key="gone:x", value=2)
            gone.away = True
            assert (await a.finish()).state == "waiting"
            assert (await b.call("pay", key="here:x")).status == "done"
            gone.away = False

    anyio.run(main)
