"""Rule 7: an agent commits when it has finished, has nothing unread, and all before it have committed."""

from __future__ import annotations

import pytest
from kernel_world import NOTHING_TOUCHED, World

from coagent.protocol import events
from coagent.protocol.mtpo import Mtpo


def test_rule_7_agents_commit_in_the_order_of_their_ranks() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    for agent in (c, a, b):
        agent.finish()
    world.advance()
    committed = [event.rank for event in world.events if isinstance(event, events.Committed)]
    assert committed == [a.rank, b.rank, c.rank]


def test_rule_7_who_finished_early_waits_for_those_before() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    b.finish()
    world.advance()
    assert b.phase == "finished"
    assert world.kernel.waits_for(b.participant) == [a.participant]
    assert world.kernel.waits_for(c.participant) == [a.participant, b.participant]
    assert "'A' comes before 'B'" in world.refuses(events.Committed(b.rank))
    assert "active" in world.refuses(events.Committed(a.rank)), "it has not finished"
    a.abort()
    assert world.kernel.waits_for(b.participant) == []
    world.advance()
    assert b.phase == "committed"


def test_rule_7_nobody_commits_over_an_unread_notice() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    b.finish()
    a.put("kv:x", 2)
    a.finish()
    world.advance()
    assert a.phase == "committed"
    assert b.phase == "finished"
    assert "something to read" in world.refuses(events.Committed(b.rank))
    assert b.told() == [("kv:x", 1, 2)]


def test_rule_7_nobody_commits_while_a_call_has_to_run_again() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.copy("kv:x", "kv:y")
    b.finish()
    a.put("kv:x", 2)
    world.apply()
    a.finish()
    a.commit()
    assert not b.unread
    assert world.kernel.ready().commit is None
    assert "has to run again" in world.refuses(events.Committed(b.rank))
    world.advance()
    assert b.phase == "committed"
    assert world.live == {"kv:x": 2, "kv:y": 2}


def test_rule_7_nobody_commits_while_a_run_of_theirs_has_not_ended() -> None:
    world = World()
    [a] = world.join("A")
    call = a.begin("act", writes=["sys:1"])
    a.finish()
    assert world.kernel.ready().commit is None
    assert "under way" in world.refuses(events.Committed(a.rank))
    a.ran(call, world.declared_run(call, writes=["sys:1"]))
    world.apply()
    world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED))
    assert "under way" in world.refuses(events.Committed(a.rank)), "nor a reversal"
    world.take(events.CallReversed(call.id, call.as_cause))
    assert "has to run again" in world.refuses(events.Committed(a.rank))


def test_rule_7_nobody_commits_before_their_targets_have_accepted_what_they_wrote() -> None:
    world = World()
    a, b = world.join("A", "B")
    a.put("kv:x", 1)
    a.finish()
    assert world.kernel.ready().commit is None
    assert "under way" in world.refuses(events.Committed(a.rank))
    b.put("kv:x", 2)
    assert world.kernel.ready().commit == a.rank, "what is outstanding is B's by now"
    a.commit()
    b.finish()
    assert "under way" in world.refuses(events.Committed(b.rank))
    world.advance()
    assert b.phase == "committed"
    assert world.live == {"kv:x": 2}


def test_rule_7_what_was_committed_is_the_base_of_those_after() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    a.put("kv:x", 2)
    a.add("kv:x", 1)
    a.finish()
    b.add("kv:x", 10)
    world.advance()
    assert a.phase == "committed"
    assert world.kernel.lookup("kv:x", (b.rank, 0, 0)) == 3
    b.abort()
    world.settle()
    assert world.live == {"kv:x": 3}


def test_rule_7_what_was_committed_is_not_taken_back() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    put = a.put("kv:x", 2)
    a.finish()
    world.advance()
    assert world.kernel.call(put.id) is None
    assert "no standing call" in world.refuses(events.CallUndone(put.id))
    assert "committed" in world.refuses(events.Aborted(a.rank, ""))
    assert "committed" in world.refuses(events.Finished(a.rank))


def test_rule_7_a_notice_wakes_an_agent_that_had_finished() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    b.finish()
    a.put("kv:x", 2)
    world.settle()
    assert b.phase == "finished"
    b.told()
    assert b.phase == "active"
    a.finish()
    world.advance()
    assert b.phase == "active", "it has to finish again"
    b.finish()
    world.advance()
    assert b.phase == "committed"


def test_rule_7_a_finished_agent_whose_premises_hold_is_not_woken() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    b.finish()
    a.put("kv:x", 1)
    a.put("kv:y", 1)
    a.finish()
    world.advance()
    assert (a.phase, b.phase) == ("committed", "committed")


def test_rule_7_a_call_puts_a_finished_agent_to_work_again() -> None:
    world = World()
    [a] = world.join("A")
    for call in (lambda: a.read("kv:x"), lambda: a.stage("mail"), lambda: a.begin("act", writes=["sys:1"])):
        a.finish()
        call()
        assert a.phase == "active"


def test_rule_7_an_agent_that_has_done_nothing_commits_too() -> None:
    world = World()
    [a] = world.join("A")
    a.finish()
    world.advance()
    assert a.phase == "committed"


def test_rule_7_nobody_joins_below_work_that_has_been_done() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A", rank=5)
    [b] = world.join("B", rank=3)
    assert world.kernel.next_rank() == 6
    b.read("kv:x")
    assert world.kernel.refusal("C", 4) is None
    assert "lowest free rank is 4" in str(world.kernel.refusal("C", 3 - 1))
    assert "belongs to agent 'B'" in str(world.kernel.refusal("C", 3))
    assert "already active" in world.refuses(events.Joined("A", 9))
    a.read("kv:x")
    assert "lowest free rank is 6" in world.refuses(events.Joined("C", 4))
    world.join("C", rank=6)


def test_rule_7_nobody_joins_below_an_agent_that_committed_without_a_call() -> None:
    world = World()
    [a] = world.join("A", rank=5)
    a.finish()
    world.advance()
    assert "lowest free rank is 6" in world.refuses(events.Joined("B", 4))


def test_rule_7_names_are_free_again_once_their_agent_has_ended_ranks_are_not() -> None:
    world = World()
    first, other = world.join("A", "B")
    first.finish()
    world.advance()
    other.abort()
    [again] = world.join("A")
    world.join("B")
    assert again.rank == 2
    assert "belongs to agent 'A'" in world.refuses(events.Joined("C", first.rank))


def test_rule_7_only_the_agents_that_ended_last_are_remembered() -> None:
    world = World()
    for number in range(100):
        [agent] = world.join(f"A{number}")
        agent.put("kv:x", number)
        if number % 2:
            agent.finish()
            world.advance()
        else:
            agent.abort()
    world.settle()
    assert len(world.kernel.agents) == 64
    assert min(world.kernel.agents) == 36
    assert world.kernel.next_rank() == 100


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_rule_7_nothing_is_held_once_everybody_has_ended(end: str) -> None:
    """No trajectory, reader, scan, call, declared call, run under way or effect stays behind."""
    world = World({"kv:x": 1, "kv:t": "one\n", "kv:f": {"n": 1}})
    a, b = world.join("A", "B")
    for agent in (b, a):
        agent.read("kv:x")
        agent.read("kv:absent")
        agent.read_field("kv:f", "/n")
        agent.keys("kv:")
        agent.keys("kv:", glob="*.txt")
        agent.fields("kv:", "/n")
        agent.count("kv:", to="kv:n")
        agent.add("kv:x", 1)
        agent.edit("kv:t", "absent", "new")
        agent.append("kv:t", agent.name)
        undone = agent.copy("kv:x", "kv:y")
        agent.amend(undone, to="kv:z")
        agent.undo(undone)
        agent.act(reads=["sys:1"], writes=[f"sys:{agent.name}"])
        if end == "commit":  # what has happened stays in the base, and is none of an abort
            agent.send("mail", log="kv:log")
        agent.stage("mail", key="kv:x", log="kv:sent")
        world.settle()
    world.outside("kv:t", world.live["kv:t"] + "outside\n")
    world.settle()
    for agent in (a, b):
        agent.told()
        if end == "abort":
            agent.abort()
            world.settle()
        else:
            agent.finish()
            world.advance()
            if agent.told():
                agent.finish()
                world.advance()
            assert agent.phase == "committed"
    held = world.held
    assert (held.calls, held.objects, held.written, held.unapplied, held.stuck, held.dirty) == (
        (), (), (), (), {}, ()
    )  # fmt: skip
    kernel = world.kernel
    assert not kernel.tracked_keys()
    assert not kernel.scanned_prefixes()
    assert not kernel.has_work
    assert not kernel.has_effects
    assert not list(kernel.written_under("", (0, 0, 0)))
    assert kernel.obstacles((-1, 0, 0), NOTHING_TOUCHED._replace(writes=frozenset({"sys:1"}))) == ((), (), ())
    assert kernel.ready() == ((), (), None, None, None)
    assert [(agent.calls, agent.pending, agent.disturbed) for agent in held.agents] == [((), (), {})] * 2
    # What its state as data leaves out, since it follows from the rest.
    for index in (kernel._dirty, kernel._objects.scans):
        assert not any(getattr(index, name) for name in index.__slots__), index
    assert not kernel._declared
    assert not kernel._under_way
    assert not kernel._calls
    assert not kernel._order
    assert not kernel._names


def test_rule_7_a_finished_agent_that_has_something_to_read_is_no_work() -> None:
    """Otherwise whoever asks whether there is any would ask for ever."""
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.read("kv:x")
    a.finish()
    world.outside("kv:x", 2)
    world.settle()
    assert a.unread
    assert not world.kernel.has_work


def test_rule_7_the_lowest_rank_of_all_may_be_given_and_no_lower_one() -> None:
    world = World()
    world.join("A", rank=0)
    assert world.kernel.refusal("B", 0) is not None
    assert World().kernel.refusal("A", 0) is None
    assert "lowest free rank is 0" in str(World().kernel.refusal("A", -1))


def test_rule_7_what_was_written_and_forgotten_is_counted_for_those_who_read_beside_it() -> None:
    """A value from a target is not to be trusted where its object has ceased to be tracked meanwhile."""
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    b.read("kv:y")
    before = world.kernel.forgotten
    b.abort()
    assert world.kernel.forgotten == before, "it was only read"
    a.put("kv:x", 2)
    a.put("kv:y", 2)
    world.settle()
    a.finish()
    a.commit()
    assert world.kernel.forgotten > before


def test_rule_7_logs_of_format_1_commit_as_soon_as_their_turn_has_come() -> None:
    world = World(kernel=Mtpo(commits_itself=True))
    a, b = world.join("A", "B")
    b.put("kv:x", 1)
    world.settle()
    b.finish()
    assert b.phase == "finished"
    a.finish()
    assert (a.phase, b.phase) == ("committed", "committed")


def test_rule_7_the_first_agent_is_never_told_anything_by_others_so_somebody_always_can_commit() -> None:
    world = World({"kv:x": 1})
    agents = world.join("A", "B", "C")
    for agent in agents:
        agent.read("kv:x")
        agent.keys("kv:")
    for agent in reversed(agents):
        agent.put("kv:x", agent.rank + 10)
        agent.put(f"kv:{agent.name}", 1)
        world.settle()
    for place, agent in enumerate(agents):
        assert not agent.unread
        agent.finish()
        world.advance()
        assert agent.phase == "committed"
        for other in agents[place + 1 :]:
            other.told()
    assert world.live == {"kv:x": 12, "kv:A": 1, "kv:B": 1, "kv:C": 1}
