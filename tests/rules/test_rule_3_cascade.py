"""Rule 3: what runs again may change more, and whoever saw that runs again in turn, always further up."""

from __future__ import annotations

from kernel_world import World

from coagent.protocol import events
from coagent.protocol.calls import Observation


def test_rule_3_a_change_goes_from_object_to_object() -> None:
    world = World({"kv:x": 1, "kv:y": 0, "kv:z": 0})
    a, b, c, d = world.join("A", "B", "C", "D")
    b.copy("kv:x", "kv:y")
    c.copy("kv:y", "kv:z")
    seen = d.read("kv:z")
    world.settle()
    a.put("kv:x", 5)
    world.settle()
    assert world.reruns == ["B.1", "C.1", "D.1"]
    assert world.live == {"kv:x": 5, "kv:y": 5, "kv:z": 5}
    assert seen.seen.value == 5
    assert seen.cause is not None
    assert seen.cause.call_id == "A.1", "who set it off, not who passed it on"


def test_rule_3_it_stops_where_a_result_is_the_same_again() -> None:
    world = World({"kv:x": 1, "kv:n": 0, "kv:z": 0})
    a, b, c = world.join("A", "B", "C")
    b.count("kv:", to="kv:n")
    c.copy("kv:n", "kv:z")
    world.settle()
    a.put("kv:x", 2)
    world.settle()
    assert world.reruns == [], "there are as many as before"
    a.delete("kv:x")
    a.put("kv:w", 1)
    world.settle()
    assert world.reruns == ["B.1"], "what C read is the same"


def test_rule_3_positions_only_rise() -> None:
    world = World({"kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    low, high = a.add("kv:x", 1), c.add("kv:x", 1)
    world.settle()
    b.put("kv:x", 50)
    world.settle()
    assert world.reruns == [high.id]
    assert low.seen.value == 2


def test_rule_3_a_call_that_fails_when_it_runs_again_is_withdrawn_and_its_agent_is_told() -> None:
    world = World({"kv:t": "one\n"})
    a, b, c = world.join("A", "B", "C")
    edited = b.edit("kv:t", "one", "two")
    seen = c.read("kv:t")
    world.settle()
    a.put("kv:t", "three\n")
    world.settle()
    assert world.live == {"kv:t": "three\n"}
    assert seen.seen.value == "three\n"
    assert edited.writes == {}
    assert [news.kind for news in b.inbox.moved[0].calls] == ["withdrawn"]
    assert [(news.before, news.after) for news in b.inbox.moved[0].calls] == [
        ("ok", "'one' does not occur in kv:t")
    ]
    assert b.told() == [("kv:t", "one\n", "three\n")]


def test_rule_3_a_withdrawn_call_that_succeeds_again_before_anybody_was_told_counts_again() -> None:
    world = World({"kv:t": "one\n"})
    a, b = world.join("A", "B")
    edited = b.edit("kv:t", "one", "two")
    late = a.put("kv:t", "three\n")
    world.settle()
    a.undo(late)
    world.settle()
    assert world.live == {"kv:t": "two\n"}
    assert edited.writes == {"kv:t": "two\n"}
    assert not b.unread


def test_rule_3_once_its_agent_knows_that_it_failed_only_an_amendment_brings_it_back() -> None:
    world = World({"kv:t": "one\n"})
    a, b, c = world.join("A", "B", "C")
    edited = b.edit("kv:t", "one", "two")
    late = a.put("kv:t", "three\n")
    world.settle()
    b.told()
    a.undo(late)
    world.settle()
    assert world.live == {"kv:t": "one\n"}, "it would go through, and has no effect"
    assert edited.writes == {}
    assert [news.kind for news in b.inbox.moved[0].calls] == ["would_succeed"]
    assert c.read("kv:t").seen.value == "one\n"
    b.told()
    b.amend(edited)
    world.settle()
    assert world.live == {"kv:t": "two\n"}
    assert world.reruns.count("C.1") == 1


def test_rule_3_a_call_that_failed_at_first_is_tried_again_when_its_premise_moves() -> None:
    world = World({"kv:t": "one\n"})
    a, b = world.join("A", "B")
    edited = b.edit("kv:t", "two", "three")
    assert edited.seen.error == "'two' does not occur in kv:t"
    assert not b.unread, "it was told so as it failed"
    a.put("kv:t", "two\n")
    world.settle()
    assert world.reruns == [edited.id]
    assert world.live == {"kv:t": "two\n"}
    assert [news.kind for news in b.inbox.moved[0].calls] == ["would_succeed"]


def test_rule_3_a_call_that_fails_in_another_way_says_so() -> None:
    world = World({"kv:t": "one\n"})
    a, b = world.join("A", "B")
    failed = b.create("kv:t", "mine\n")
    a.put("kv:t", "two\n")
    world.settle()
    assert world.reruns == [failed.id]
    assert not b.unread, "it fails as before"
    later = b.edit("kv:t", "three", "four")
    a.delete("kv:t")
    world.settle()
    assert {news.call_id: news.kind for news in b.inbox.moved[0].calls} == {failed.id: "would_succeed"}
    assert later.seen.error == "'three' does not occur in kv:t"


def test_rule_3_each_call_runs_once_for_each_round() -> None:
    world = World({"kv:x": 1, "kv:y": 1, "kv:z": 1})
    a, b, c = world.join("A", "B", "C")
    b.copy("kv:x", "kv:y")
    b.copy("kv:x", "kv:z")
    c.copy("kv:y", "kv:w")
    c.count("kv:", to="kv:n")
    world.settle()
    a.put("kv:x", 2)
    world.settle()
    assert sorted(world.reruns) == ["B.1", "B.2", "C.1"]


def test_rule_3_a_run_that_another_process_has_made_already_changes_nothing() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    added = b.add("kv:x", 1)
    a.put("kv:x", 5)
    again = events.CallReexecuted(added.id, world.observe(added.position, "add", added.arguments))
    world.take(again)
    state = world.state
    world.take(again)
    assert world.state == state


def test_rule_3_a_call_that_ran_again_over_what_has_changed_meanwhile_runs_once_more() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    added = b.add("kv:x", 1)
    put = a.put("kv:x", 5)
    seen = world.observe(added.position, "add", added.arguments)
    a.amend(put, value=7)
    world.take(events.CallReexecuted(added.id, seen))
    assert world.kernel.is_dirty(added)
    world.settle()
    assert world.live == {"kv:x": 8}


def test_rule_3_a_call_forgets_what_it_does_not_read_any_more() -> None:
    world = World({"kv:to": "kv:x", "kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    seen = world.observe(world.kernel.position(b.participant), "read", {"key": "kv:x"})
    follows = b.record(seen, "read", key="kv:x")
    b.amend(follows, key="kv:y")
    a.put("kv:x", 5)
    world.settle()
    assert world.reruns == []
    a.put("kv:y", 6)
    world.settle()
    assert world.reruns == [follows.id]
    scans = b.keys("kv:")
    b.amend(scans, prefix="other:")
    a.put("kv:new", 1)
    world.settle()
    assert world.reruns == [follows.id]
    assert world.kernel.scanned_prefixes() == ["other:"]


def test_rule_3_what_a_failed_run_would_have_written_does_not_count() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    seen = world.observe(world.kernel.position(a.participant), "put", {"key": "kv:x", "value": 2})
    failed = a.record(seen._replace(error="no"), "put", key="kv:x", value=2)
    assert failed.writes == {}
    assert world.kernel.ready().apply == ()


def test_a_failed_call_that_stands_since_a_trial_of_it_could_not_be_taken_back_is_news_to_its_agent() -> None:
    world = World()
    (agent,) = world.join("A")
    call = agent.begin("act", writes=["sys:1"])
    agent.ran(call, Observation.failed("no")._replace(declared=True))
    agent.finish()
    seen = world.declared_run(call, writes=["sys:1"])
    world.take(events.CallAmended(call.id, {}, seen, heard=False))
    assert agent.phase == "finished"
    [news] = agent.inbox.moved[0].calls
    assert (news.call_id, news.kind, news.before) == (call.id, "took_effect", "no")
    assert call.applied
    agent.told()
    assert agent.inbox.moved == []
