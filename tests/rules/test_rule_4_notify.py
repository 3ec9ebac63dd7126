"""Rule 4: an agent is told of each call whose premise really changed, once, from below."""

from __future__ import annotations

import pytest
from kernel_world import World

from coagent.protocol import events
from coagent.protocol.calls import OUTSIDE, Observation
from coagent.protocol.decisions import Gate
from coagent.protocol.inbox import CallNews, Proposal, StaleLiteral
from coagent.protocol.keys import Scan
from coagent.protocol.values import Traced


def test_rule_4_a_premise_that_changed_below_is_told_with_what_it_was_and_is_and_who_changed_it() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    seen = b.read("kv:x")
    a.put("kv:x", 2)
    world.settle()
    [moved] = b.inbox.moved
    assert (moved.key, moved.part, moved.before, moved.after, moved.own) == ("kv:x", None, 1, 2, False)
    assert (moved.cause.agent, moved.cause.call_id, moved.cause.tool) == ("A", "A.1", "put")
    assert moved.calls == [CallNews(seen.id, "read", "result_changed", 1, 2)]
    assert b.inbox.call_ids == (seen.id,)
    assert b.inbox.changed == []


def test_rule_4_a_notice_is_told_once_and_never_again() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", 2)
    world.settle()
    assert b.unread
    assert b.told() == [("kv:x", 1, 2)]
    assert not b.unread
    assert b.told() == []
    world.settle()
    assert b.told() == []


def test_rule_4_nobody_is_told_before_the_call_has_run_again() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", 2)
    assert not b.unread
    world.rerun()
    assert b.unread


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"n": 1, "m": 1}, {"n": 1, "m": 2}),
        ({"n": 1}, {"n": 1, "new": 1}),
        ({"n": {"deep": 1}}, {"n": {"deep": 1}, "m": 1}),
    ],
)
def test_rule_4_a_field_that_was_not_read_tells_nobody(before: object, after: object) -> None:
    world = World({"kv:x": before})
    a, b, c = world.join("A", "B", "C")
    b.read_field("kv:x", "/n")
    c.fields("kv:", "/n")
    a.put("kv:x", after)
    world.settle()
    assert world.reruns == []


def test_rule_4_the_field_that_was_read_is_told_alone() -> None:
    world = World({"kv:x": {"n": 1, "m": 1}})
    a, b = world.join("A", "B")
    b.read_field("kv:x", "/n")
    a.put("kv:x", {"n": 2, "m": 2})
    world.settle()
    assert [(moved.part, moved.before, moved.after) for moved in b.inbox.moved] == [("/n", 1, 2)]


def test_rule_4_lines_that_were_not_looked_at_tell_nobody() -> None:
    world = World({"kv:t": "1\n2\n3\n"})
    a, b = world.join("A", "B")
    b.read_lines("kv:t", 1, 2)
    a.put("kv:t", "1\n2\n4\n5\n")
    world.settle()
    assert world.reruns == []
    a.put("kv:t", "1\n0\n")
    world.settle()
    assert b.told() == [("kv:t", "1\n2\n", "1\n0\n")]


def test_rule_4_an_equal_value_tells_nobody() -> None:
    world = World({"kv:x": {"n": [1, 2]}})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", {"n": [1, 2]})
    world.settle()
    assert world.reruns == []
    assert not b.unread


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, None), ("1", 1), ([], {})])
def test_rule_4_values_of_another_type_are_not_equal(before: object, after: object) -> None:
    world = World({"kv:x": before})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", after)
    world.settle()
    assert b.told() == [("kv:x", before, after)]


def test_rule_4_a_result_that_is_the_same_although_a_premise_moved_tells_nobody() -> None:
    world = World({"kv:x": 1, "kv:y": 0})
    a, b = world.join("A", "B")
    b.copy("kv:x", "kv:y")
    a.put("kv:x", 2)
    world.settle()
    assert world.live["kv:y"] == 2
    assert not b.unread, "it was told 'ok', and is"


def test_rule_4_a_premise_that_is_back_at_what_the_agent_last_saw_is_not_told() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    put = a.put("kv:x", 2)
    world.settle()
    assert b.unread
    a.undo(put)
    world.settle()
    assert not b.unread
    assert b.told() == []


def test_rule_4_once_told_the_new_value_is_the_premise() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    put = a.put("kv:x", 2)
    world.settle()
    b.told()
    a.undo(put)
    world.settle()
    assert b.told() == [("kv:x", 2, 1)]


def test_rule_4_several_changes_are_told_as_one_from_the_first_to_the_last() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    for number in (2, 3, 4):
        a.put("kv:x", number)
        world.settle()
    assert b.told() == [("kv:x", 1, 4)]


def test_rule_4_notices_coalesce_by_premise_and_name_every_call_that_saw_it() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    first, second = b.read("kv:x"), b.read("kv:x")
    third = b.read("kv:y")
    a.put("kv:x", 2)
    a.put("kv:y", 3)
    world.settle()
    assert [[news.call_id for news in moved.calls] for moved in b.inbox.moved] == [
        [first.id, second.id],
        [third.id],
    ]
    assert b.told() == [("kv:x", 1, 2), ("kv:y", 1, 3)]


def test_rule_4_calls_that_saw_other_values_of_one_object_are_told_apart() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", 2)
    b.read("kv:x")
    world.settle()
    a.put("kv:x", 3)
    world.settle()
    assert b.told() == [("kv:x", 1, 3), ("kv:x", 2, 3)]


def test_rule_4_what_an_agent_reads_of_its_own_writes_moved_because_of_what_it_had_read_before() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    added = b.add("kv:x", 1)
    again = b.read("kv:x")
    a.put("kv:x", 5)
    world.settle()
    [moved] = b.inbox.moved
    assert (moved.key, moved.before, moved.after) == ("kv:x", 1, 5)
    assert [news.call_id for news in moved.calls] == [added.id, again.id]


def test_rule_4_notices_go_from_lower_to_higher_ranks_only() -> None:
    world = World({"kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    for agent in (a, b, c):
        agent.read("kv:x")
        agent.keys("kv:")
    b.put("kv:x", 2)
    b.put("kv:y", 2)
    world.settle()
    assert a.told() == []
    assert b.told() == []
    assert [key for key, _, _ in c.told()] == ["kv:x", "kv:"]


def test_rule_4_a_notice_names_the_later_writes_that_may_rest_on_it_and_where_the_old_value_stands() -> None:
    world = World({"kv:x": "nginx:1.0"})
    a, b = world.join("A", "B")
    b.put("kv:before", "nginx:1.0")
    b.read("kv:x")
    copied = b.put("kv:y", {"image": "nginx:1.0"})
    b.read("kv:y")
    other = b.put("kv:z", "other")
    a.put("kv:x", "nginx:1.1")
    world.settle()
    [moved] = b.inbox.moved
    assert moved.dependents == [copied.id, other.id], "later ones, and writes only"
    assert moved.stale_literals == [StaleLiteral(copied.id, "value", "nginx:1.0", "nginx:1.1")]


def test_rule_4_a_staged_call_may_rest_on_a_premise_too() -> None:
    world = World({"kv:x": "old"})
    a, b = world.join("A", "B")
    b.read("kv:x")
    mail = b.stage("the value is old")
    a.put("kv:x", "new")
    world.settle()
    [moved] = b.inbox.moved
    assert moved.dependents == [mail.id]
    assert moved.stale_literals == [StaleLiteral(mail.id, "text", "old", "new")]


def test_rule_4_a_delivery_speaks_of_the_calls_that_it_names_and_leaves_the_others() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    first, second = b.read("kv:x"), b.read("kv:y")
    a.put("kv:x", 2)
    a.put("kv:y", 2)
    world.settle()
    world.take(events.NoticesDelivered(b.rank, (first.id,)))
    assert b.unread
    assert b.inbox.call_ids == (second.id,)
    assert b.told() == [("kv:y", 1, 2)]


def test_rule_4_a_delivery_of_what_is_no_news_any_more_changes_nothing() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    seen = b.read("kv:x")
    a.put("kv:x", 2)
    world.settle()
    world.take(events.NoticesDelivered(b.rank, (seen.id,), ("kv:x",)))
    state = world.state
    world.take(events.NoticesDelivered(b.rank, (seen.id,), ("kv:x",)))
    assert world.state == state


def test_rule_4_an_irreversible_call_never_runs_over_an_unread_notice() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    mail = b.stage("mail")
    a.put("kv:x", 2)
    world.settle()
    assert b.gate("wait") is Gate.TELL
    a.finish()
    a.commit()
    assert b.gate("wait") is Gate.TELL, "also when its turn has come"
    assert not world.kernel.its_turn(b.participant)
    b.told()
    b.finish()
    assert world.kernel.ready().run is mail


def test_rule_4_a_staged_call_waits_for_what_was_noticed_after_its_agent_finished() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    mail = b.stage("mail")
    b.finish()
    a.put("kv:x", 2)
    a.finish()
    world.take(events.EffectApplied("kv:x", world.kernel.version("kv:x")))
    world.live["kv:x"] = 2
    a_commits = world.kernel.ready()
    assert a_commits.commit == a.rank
    a.commit()
    assert world.kernel.ready().run is None, "a premise of B's has yet to be read again"
    world.rerun()
    assert world.kernel.ready().run is None, "and then to be told"
    world.advance()
    assert world.sent == []
    b.told()
    assert world.kernel.ready().run is None, "it is at work again"
    b.finish()
    assert world.kernel.ready().run is mail


def test_rule_4_an_agent_does_not_finish_over_an_unread_notice() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", 2)
    world.settle()
    assert "something to read" in world.refuses(events.Finished(b.rank))
    b.told()
    b.finish()


def test_rule_4_what_an_agents_own_repair_changed_is_told_as_its_own() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    put = a.put("kv:x", 2)
    seen = a.read("kv:x")
    a.amend(put, value=3)
    world.settle()
    inbox = a.inbox
    assert inbox.moved == []
    assert [(news.call_id, news.before, news.after) for news in inbox.changed] == [(seen.id, 2, 3)]
    assert a.told() == []
    assert not a.unread


def test_rule_4_what_an_agents_own_staged_call_changed_when_it_ran_is_news_of_its_own() -> None:
    world = World({"kv:log": "none"})
    [a] = world.join("A")
    mail = a.stage("mail", log="kv:log")
    seen = a.read("kv:log")
    a.finish()
    world.advance()
    [moved] = a.inbox.moved
    assert (moved.key, moved.before, moved.after, moved.own) == ("kv:log", "none", "mail", True)
    assert moved.cause.call_id == mail.id
    assert a.inbox.changed == []
    assert a.told() == [("kv:log", "none", "mail")]
    assert seen.seen.value == "mail"


def test_rule_4_a_call_that_read_something_else_altogether_is_told_by_its_result() -> None:
    world = World({"kv:x": 1, "kv:y": 9})
    a, b = world.join("A", "B")
    call = b.read("kv:x")
    a.put("kv:x", 2)
    elsewhere = world.observe(call.position, "read", {"key": "kv:y"})
    world.take(events.CallReexecuted(call.id, elsewhere))
    assert [(moved.key, moved.part, moved.before, moved.after) for moved in b.inbox.moved] == [
        ("kv:y", "result", 1, 9)
    ]


def test_rule_4_the_cause_is_the_call_or_the_agent_that_set_it_off_however_it_got_there() -> None:
    world = World({"kv:x": 1, "kv:t": "1\n2\n"})
    a, b, c = world.join("A", "B", "C")
    put, text = a.put("kv:x", 2), b.edit("kv:t", "1", "one")
    copied = b.copy("kv:x", "kv:y")
    world.settle()
    world.outside("kv:t", "one\n2\n3\n")
    reads = [c.read("kv:x"), c.read("kv:y"), c.keys("kv:"), c.read("kv:t")]
    a.amend(put, value=3)
    a.put("kv:new", 1)
    b.amend(text, new="ONE")
    world.settle()
    assert [call.cause and call.cause.call_id for call in reads] == [put.id, put.id, "A.2", text.id]
    assert copied.cause == put.as_cause
    a.undo(put)
    world.settle()
    assert [call.cause and call.cause.call_id for call in reads[:2]] == [put.id, put.id]


def test_rule_4_an_outsider_is_the_cause_for_all_who_saw_it() -> None:
    world = World({"kv:x": {"n": 1}, "kv:y": 1})
    a, b, c = world.join("A", "B", "C")
    a.put("kv:y", 2)
    world.settle()
    calls = [b.fields("kv:", "/n"), b.keys("kv:"), b.read("kv:y"), c.read("kv:z")]
    world.outside("kv:x", {"n": 2})
    world.outside("kv:new", 1)
    world.outside("kv:y", 3)
    world.outside("kv:z", 3)
    assert [call.cause for call in calls] == [OUTSIDE] * 4


def test_rule_4_a_notice_of_what_lapsed_fails_otherwise_now_says_from_what_to_what() -> None:
    world = World({"kv:t": "one"})
    a, b = world.join("A", "B")
    failed = b.call("pop", key="kv:t")
    assert failed.seen.error == "'one' cannot be popped"
    a.put("kv:t", "two")
    world.settle()
    assert [moved.calls for moved in b.inbox.moved] == [
        [CallNews(failed.id, "pop", "failure_changed", "'one' cannot be popped", "'two' cannot be popped")]
    ]


def test_rule_4_a_range_is_named_with_its_glob_and_the_part_that_was_looked_for() -> None:
    world = World({"kv:x": {"n": 1}})
    a, b = world.join("A", "B")
    b.keys("kv:", glob="*")
    b.fields("kv:", "/n")
    b.call("fields", prefix="kv:", path="/n", glob="*")
    a.put("kv:x", {"n": 2})
    a.put("kv:y", {"n": 3})
    world.settle()
    assert [(moved.key, moved.part) for moved in b.inbox.moved] == [
        ("kv:", "*"), ("kv:", "/n"), ("kv:", "*, /n")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "argument", "carried"),
    [
        (7, 8, 7, "7"),
        (7, 8, {"replicas": 7}, "7"),
        (7, 8, [1, [7]], "7"),
        ("abc", "abd", ["xx abc xx"], "abc"),
        (7, 8, 70, None),
        (7, 8, "7", "7"),
        (7, 8, "17", None),
        (7, 8, [70, {"n": 71}], None),
        (7, 8, True, None),
        ("ab", "cd", "xx ab xx", None),
    ],
)
def test_rule_4_the_old_value_is_found_in_arguments_as_a_whole_or_within_a_text(
    before: object, after: object, argument: object, carried: str | None
) -> None:
    world = World({"kv:x": before})
    a, b = world.join("A", "B")
    b.read("kv:x")
    written = b.put("kv:y", argument)
    a.put("kv:x", after)
    world.settle()
    [moved] = b.inbox.moved
    expected = [] if carried is None else [StaleLiteral(written.id, "value", carried, str(after))]
    assert moved.stale_literals == expected


def test_rule_4_of_what_a_traced_program_looked_at_that_is_named_which_has_changed() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    looked = Scan("kv:", None, Traced("content"))
    run = world.observe(world.kernel.position(b.participant), "read", {"key": "kv:x"})
    call = b.record(run._replace(scans={looked: {}}, reads={}), "read", key="kv:x")
    a.put("kv:x", 2)
    again = run._replace(scans={looked: {"kv:x": [2]}}, reads={}, value=2)
    world.take(events.CallReexecuted(call.id, again))
    assert b.inbox.moved[0].part is None
    assert b.told() == [("kv:x", 1, 2)]


def test_rule_4_a_file_whose_old_content_is_forgotten_is_still_the_one_that_is_named() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    looked = Scan("kv:", None, Traced("content"))
    call = b.record(Observation({}, {looked: {}}, {}, {}, "1"))
    a.put("kv:x", 2)
    world.take(events.CallReexecuted(call.id, Observation({}, {looked: {"kv:x": [2]}}, {}, {}, "2")))
    world.apply()
    a.finish()
    a.commit()
    [moved] = b.inbox.moved
    assert (moved.key, moved.part, moved.before, moved.after) == ("kv:x", "result", "1", "2")


def test_rule_4_a_later_call_is_proposed_with_the_new_value_where_the_old_one_stands() -> None:
    world = World({"kv:x": "image = app:1.0\nreplicas = 2\n"})
    a, b = world.join("A", "B")
    b.read("kv:x")
    written = b.put("kv:y", {"text": "deploys app:1.0", "n": 2})
    b.put("kv:z", "deploys app:1.0-beta")
    a.put("kv:x", "image = app:1.1\nreplicas = 2\n")
    world.settle()
    [moved] = b.inbox.moved
    value = {"text": "deploys app:1.1", "n": 2}
    assert moved.proposals == [Proposal(written.id, "put", {"value": value})]


def test_rule_4_what_the_agent_was_asked_to_write_is_no_stale_value() -> None:
    world = World({"kv:x": "basic"})
    a, b = world.join("A", "B")
    b.read("kv:x")
    b.put("kv:y", "basic")
    a.put("kv:x", "premium")
    world.settle()
    [moved] = world.kernel.inbox(b.participant, said="Set the plan of y to basic.").moved
    assert moved.stale_literals == moved.proposals == []
    [moved] = world.kernel.inbox(b.participant, said="Set it to basically what x has.").moved
    assert [one.new for one in moved.stale_literals] == ["premium"]


def test_rule_4_what_a_call_returned_is_looked_for_beside_what_it_read() -> None:
    world = World({"kv:x": 60, "kv:y": 40})
    a, b = world.join("A", "B")
    read = b.record(Observation({("kv:x", None): 60, ("kv:y", None): 40}, {}, {}, {}, {"sum": 100}))
    written = b.put("kv:z", "total 100 of 1000")
    a.put("kv:x", 210)
    seen = Observation({("kv:x", None): 210, ("kv:y", None): 40}, {}, {}, {}, {"sum": 250})
    world.take(events.CallReexecuted(read.id, seen))
    [moved] = b.inbox.moved
    assert moved.proposals == [Proposal(written.id, "put", {"value": "total 250 of 1000"})]


def test_rule_4_premises_that_moved_alike_are_told_apart_by_object_and_together_by_premise() -> None:
    world = World({"kv:x": 1, "kv:y": 1, "kv:z": 1})
    a, b = world.join("A", "B")
    calls = [b.read(f"kv:{name}") for name in "xyzx"]
    for name in "xyz":
        a.put(f"kv:{name}", 2)
    world.settle()
    assert [(moved.key, [news.call_id for news in moved.calls]) for moved in b.inbox.moved] == [
        ("kv:x", [calls[0].id, calls[3].id]),
        ("kv:y", [calls[1].id]),
        ("kv:z", [calls[2].id]),
    ]


def test_rule_4_of_several_premises_only_those_are_named_that_have_moved() -> None:
    world = World({"kv:x": 1, "kv:y": 1})
    a, b = world.join("A", "B")
    x, y = ("kv:x", None), ("kv:y", None)
    read = b.record(Observation({y: 1, x: 1}, {}, {}, {}, "1 1"))
    a.put("kv:x", 2)
    world.take(events.CallReexecuted(read.id, Observation({y: 1, x: 2}, {}, {}, {}, "1 2")))
    assert b.told() == [("kv:x", 1, 2)]


def test_rule_4_what_a_program_looked_at_hides_no_premise_behind_it() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    traced, listed = Scan("kv:", None, Traced("content")), Scan("kv:")
    read = b.record(Observation({}, {traced: {}, listed: ["kv:x"]}, {}, {}, "x"))
    a.put("kv:y", 2)
    again = Observation({}, {traced: {}, listed: ["kv:x", "kv:y"]}, {}, {}, "x y")
    world.take(events.CallReexecuted(read.id, again))
    assert b.told() == [("kv:", ["kv:x"], ["kv:x", "kv:y"])]


def test_rule_4_a_scan_is_found_after_another_one_of_equal_length_has_gone() -> None:
    world = World()
    a, b, c = world.join("A", "B", "C")
    b.keys("kv:")
    listed = c.keys("xy:")
    b.abort()
    a.put("xy:1", 1)
    assert world.kernel.is_dirty(listed)
