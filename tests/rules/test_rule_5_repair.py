"""Rule 5: an agent undoes and amends its own calls in place, and hears what of its own that changed."""

from __future__ import annotations

from kernel_world import NOTHING_TOUCHED, World

from coagent.protocol import events


def test_rule_5_undo_takes_a_call_back_and_readers_above_are_told() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    put = a.put("kv:x", 2)
    seen = b.read("kv:x")
    listed = b.keys("kv:")
    world.settle()
    a.undo(put)
    world.settle()
    assert world.live == {"kv:x": 1}
    assert world.reruns == [seen.id]
    assert b.told() == [("kv:x", 2, 1)]
    assert world.kernel.call(put.id) is None
    assert listed.seen.value == ["kv:x"]


def test_rule_5_undo_of_what_created_an_object_deletes_it_again() -> None:
    world = World()
    a, b = world.join("A", "B")
    created = a.create("kv:x", 1)
    b.keys("kv:")
    world.settle()
    a.undo(created)
    world.settle()
    assert world.live == {}
    assert b.told() == [("kv:", ["kv:x"], [])]


def test_rule_5_undo_of_a_call_in_the_middle_leaves_what_was_written_above_blindly() -> None:
    world = World({"kv:x": 0})
    [a] = world.join("A")
    middle = a.put("kv:x", 1)
    a.put("kv:x", 2)
    a.add("kv:x", 10)
    world.settle()
    a.undo(middle)
    assert not world.kernel.has_work
    assert not world.kernel.has_effects
    assert world.live == {"kv:x": 12}


def test_rule_5_the_agents_own_later_calls_that_rested_on_it_run_again_and_are_named() -> None:
    world = World({"kv:x": 1, "kv:y": 0})
    [a] = world.join("A")
    added = a.add("kv:x", 1)
    later = a.add("kv:x", 1)
    unrelated = a.read("kv:y")
    world.settle()
    a.undo(added)
    world.settle()
    assert world.reruns == [later.id]
    assert world.live == {"kv:x": 2, "kv:y": 0}
    assert [(news.call_id, news.after) for news in a.inbox.changed] == [(later.id, 2)]
    assert unrelated.seen.value == 0


def test_rule_5_an_undone_call_is_asked_about_nothing_any_more() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    read, scanned, added = b.read("kv:x"), b.keys("kv:"), b.add("kv:x", 1)
    for call in (read, scanned, added):
        b.undo(call)
    a.put("kv:x", 5)
    a.put("kv:new", 5)
    world.settle()
    assert world.reruns == []
    assert world.kernel.scanned_prefixes() == []
    assert world.live == {"kv:x": 5, "kv:new": 5}
    assert "no standing call" in world.refuses(events.CallUndone(read.id))
    assert "no standing call" in world.refuses(events.CallAmended(read.id, {}, read.seen))


def test_rule_5_undo_of_a_call_that_is_dirty_or_unread_takes_that_along() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    dirty, unread = b.read("kv:x"), b.read("kv:x")
    a.put("kv:x", 2)
    world.run_again(unread)
    assert b.unread
    b.undo(unread)
    assert not b.unread
    assert world.kernel.is_dirty(dirty)
    b.undo(dirty)
    assert not world.kernel.has_work
    assert not world.kernel.ready().reexecute
    assert not b.unread


def test_rule_5_amend_replaces_a_call_in_place() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    first = a.put("kv:x", 2)
    own = a.add("kv:x", 10)
    other = b.add("kv:x", 100)
    world.settle()
    assert world.live == {"kv:x": 112}
    position = first.position
    a.amend(first, value=5)
    world.settle()
    assert first.position == position
    assert first.arguments == {"key": "kv:x", "value": 5}
    assert world.reruns == [own.id, other.id]
    assert world.live == {"kv:x": 115}
    assert [news.call_id for news in a.inbox.changed] == [own.id]
    assert b.told() == [("kv:x", 12, 15)]


def test_rule_5_an_amended_call_may_write_elsewhere() -> None:
    world = World({"kv:x": 1, "kv:y": 2})
    a, b = world.join("A", "B")
    put = a.put("kv:x", 9)
    seen = b.read("kv:x")
    world.settle()
    a.amend(put, key="kv:y")
    world.settle()
    assert world.live == {"kv:x": 1, "kv:y": 9}
    assert world.reruns == [seen.id]


def test_rule_5_an_amended_call_has_run_and_need_not_run_again() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    added = b.add("kv:x", 1)
    a.put("kv:x", 5)
    assert world.kernel.is_dirty(added)
    b.amend(added, amount=2)
    assert not world.kernel.is_dirty(added)
    assert not world.kernel.ready().reexecute
    world.settle()
    assert world.reruns == []
    assert world.live == {"kv:x": 7}
    b.finish()
    assert not b.unread


def test_rule_5_what_an_amendment_returned_is_known_to_its_agent() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    seen = b.read("kv:x")
    a.put("kv:x", 2)
    world.settle()
    assert b.unread
    b.amend(seen)
    assert not b.unread
    assert seen.told.value == 2
    a.put("kv:x", 1)
    world.settle()
    assert b.told() == [("kv:x", 2, 1)]


def test_rule_5_an_amendment_that_fails_has_no_effect() -> None:
    world = World({"kv:t": "one\n"})
    [a] = world.join("A")
    edited = a.edit("kv:t", "one", "two")
    world.settle()
    a.amend(edited, old="three")
    world.settle()
    assert world.live == {"kv:t": "one\n"}
    assert not a.unread, "its agent was told as it failed"
    a.amend(edited, old="one", new="four")
    world.settle()
    assert world.live == {"kv:t": "four\n"}


def test_rule_5_an_amendment_over_what_has_changed_meanwhile_runs_again() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    seen = b.read("kv:x")
    old = world.observe(seen.position, "read", seen.arguments)
    a.put("kv:x", 2)
    world.take(events.CallAmended(seen.id, seen.arguments, old))
    assert world.kernel.is_dirty(seen)
    world.settle()
    assert b.told() == [("kv:x", 1, 2)]


def test_rule_5_repair_puts_a_finished_agent_to_work_again() -> None:
    world = World({"kv:x": 1})
    _, b = world.join("A", "B")
    first, second, mail = b.put("kv:x", 2), b.put("kv:y", 2), b.stage("mail")
    for repair in (
        lambda: b.undo(first),
        lambda: b.amend(second, value=3),
        lambda: b.amend_staged(mail, text="another"),
        lambda: b.undo(mail),
        lambda: b.read("kv:x"),
        lambda: b.stage("third"),
    ):
        b.finish()
        assert b.phase == "finished"
        repair()
        assert b.phase == "active"


def test_rule_5_a_staged_call_is_amended_before_it_runs_and_not_after() -> None:
    world = World()
    [a] = world.join("A")
    mail = a.stage("first")
    a.finish()
    a.amend_staged(mail, text="second")
    world.advance()
    assert world.sent == [], "its agent is at work again, and has to finish again"
    a.finish()
    world.take(events.RunBegun(mail.id, NOTHING_TOUCHED))
    assert "running" in world.refuses(events.StagedAmended(mail.id, {"text": "third"}))
    assert "running" in world.refuses(events.CallUndone(mail.id))
    world.take(events.CallRan(mail.id, world.observe(mail.position, "send", mail.arguments)))
    assert world.sent == ["second"]
    assert "standing" in world.refuses(events.StagedAmended(mail.id, {"text": "third"}))
    assert "irreversible" in world.refuses(events.CallUndone(mail.id))
    assert "irreversible" in world.refuses(events.CallAmended(mail.id, {}, mail.seen))


def test_rule_5_a_staged_call_that_was_undone_is_never_sent() -> None:
    world = World()
    [a] = world.join("A")
    mail, other = a.stage("first"), a.stage("second")
    a.undo(mail)
    a.finish()
    world.advance()
    assert world.sent == ["second"]
    assert a.phase == "committed"
    assert other.phase.value == "standing"


def test_rule_5_nobody_repairs_after_the_end() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    put, mine = a.put("kv:x", 2), b.put("kv:x", 3)
    a.finish()
    world.advance()
    b.abort()
    for call in (put, mine):
        assert "no standing call" in world.refuses(events.CallUndone(call.id))
        assert "no standing call" in world.refuses(events.CallAmended(call.id, {}, call.seen))
        assert "no standing call" in world.refuses(events.CallReexecuted(call.id, call.seen))
