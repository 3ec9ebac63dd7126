"""Rule 6: what cannot be taken back never runs early, never over an unread notice, and once."""

from __future__ import annotations

import pytest
from kernel_world import NOTHING_TOUCHED, World

from coagent.protocol import events
from coagent.protocol.calls import Observation
from coagent.protocol.decisions import Gate
from coagent.protocol.keys import Key


def test_rule_6_a_staged_call_returns_staged_and_does_nothing() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    mail = a.stage("mail", log="kv:log")
    assert mail.seen.value == "staged"
    assert mail.phase.value == "staged"
    assert mail.writes == {}
    assert not a.unread
    world.advance()
    assert world.sent == []
    assert b.read("kv:log").seen.value is None


def test_rule_6_staged_calls_run_in_order_when_their_agent_commits() -> None:
    world = World()
    a, b = world.join("A", "B")
    b.stage("first of B")
    a.stage("first of A")
    b.stage("second of B")
    a.stage("second of A")
    b.finish()
    world.advance()
    assert world.sent == [], "A comes before B"
    a.finish()
    world.advance()
    assert world.sent == ["first of A", "second of A", "first of B", "second of B"]
    assert (a.phase, b.phase) == ("committed", "committed")


def test_rule_6_a_staged_call_does_not_run_before_its_agent_has_finished() -> None:
    world = World()
    [a] = world.join("A")
    mail = a.stage("mail")
    world.advance()
    assert world.kernel.ready().run is None
    a.finish()
    assert world.kernel.ready().run is mail
    a.read("kv:x")
    assert world.kernel.ready().run is None, "it is at work again"


def test_rule_6_a_staged_call_sees_the_state_at_its_own_position() -> None:
    world = World({"kv:x": 1})
    a, b, c = world.join("A", "B", "C")
    b.stage("x is", key="kv:x")
    b.put("kv:x", 3)
    c.put("kv:x", 4)
    a.put("kv:x", 2)
    a.finish()
    b.finish()
    world.advance()
    assert world.sent == ["x is 2"]


def test_rule_6_what_a_staged_call_writes_counts_at_its_position_from_when_it_has_run() -> None:
    world = World({"kv:log": "none"})
    a, b = world.join("A", "B")
    a.stage("mail", log="kv:log")
    b.read("kv:log")
    a.finish()
    world.advance()
    assert a.phase == "committed"
    assert world.live == {"kv:log": "mail"}
    assert b.told() == [("kv:log", "none", "mail")]


def test_rule_6_nothing_is_staged_twice_at_once_and_the_next_one_waits_for_the_end_of_the_one_before() -> (
    None
):
    world = World()
    [a] = world.join("A")
    first, second = a.stage("first"), a.stage("second")
    a.finish()
    world.take(events.RunBegun(first.id, NOTHING_TOUCHED))
    assert world.kernel.ready().run is None
    assert world.kernel.first_staged(a.participant) is None
    assert "under way" in world.refuses(events.Committed(a.rank))
    assert "running" in world.refuses(events.RunBegun(first.id, NOTHING_TOUCHED))
    world.take(events.CallRan(first.id, world.observe(first.position, "send", first.arguments)))
    assert world.kernel.ready().run is second
    assert "does not run" in world.refuses(events.CallRan(first.id, first.seen)), "it runs once"


def test_rule_6_nothing_that_was_staged_runs_while_it_is_not_known_what_comes_of_another_call() -> None:
    world = World()
    [a] = world.join("A")
    call = a.begin("act", text="of a process that has stood still since")
    mail = a.stage("mail")
    a.finish()
    assert world.kernel.ready().run is None
    world.take(events.RunLost(call.id))
    assert world.kernel.ready().run is None
    world.take(events.CallRan(call.id, Observation.failed("it has not run")))
    assert a.unread, "it may want to have sent nothing"
    assert world.kernel.ready().run is None
    a.told()
    a.finish()
    assert world.kernel.ready().run is mail


def test_rule_6_an_agent_does_not_commit_over_a_call_that_is_still_staged() -> None:
    world = World()
    [a] = world.join("A")
    a.stage("mail")
    a.finish()
    assert world.kernel.ready().commit is None
    assert "under way" in world.refuses(events.Committed(a.rank))


def test_rule_6_a_staged_call_that_fails_is_told_and_its_agent_decides_what_then() -> None:
    world = World()
    [a] = world.join("A")
    mail = a.stage("mail")
    a.finish()
    world.take(events.RunBegun(mail.id, NOTHING_TOUCHED))
    world.take(events.CallRan(mail.id, Observation.failed("no such address")))
    assert a.unread
    assert world.kernel.ready().commit is None
    [moved] = a.inbox.moved
    assert [(news.kind, news.before, news.after) for news in moved.calls] == [
        ("withdrawn", "staged", "no such address")
    ]
    a.told()
    assert a.phase == "active"
    a.finish()
    world.advance()
    assert a.phase == "committed"


def test_rule_6_a_call_that_was_begun_at_once_is_known_to_its_agent_however_it_ends() -> None:
    world = World()
    [a] = world.join("A")
    call = a.begin("send", irreversible=True, text="mail")
    a.ran(call, Observation.failed("no such address"))
    assert not a.unread, "its agent got that as the result"
    assert call.phase.value == "lapsed"


def test_rule_6_the_gate_stages_what_is_to_be_staged_whatever_else_there_is() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    assert b.gate("stage") is Gate.STAGE
    a.put("kv:x", 2)
    world.settle()
    assert b.unread
    assert b.gate("stage") is Gate.STAGE
    assert a.gate("stage") is Gate.STAGE


def test_rule_6_the_gate_holds_a_call_until_every_agent_before_has_ended() -> None:
    world = World()
    a, b = world.join("A", "B")
    assert a.gate("wait") is Gate.RUN, "nobody comes before it"
    assert b.gate("wait") is Gate.WAIT
    a.finish()
    assert b.gate("wait") is Gate.WAIT, "to have finished is not to have ended"
    a.commit()
    assert b.gate("wait") is Gate.RUN


def test_rule_6_the_gate_opens_when_the_agent_before_was_aborted() -> None:
    world = World()
    a, b = world.join("A", "B")
    a.abort()
    assert b.gate("wait") is Gate.RUN


def test_rule_6_the_gate_shows_a_notice_first() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    b.read("kv:x")
    a.put("kv:x", 2)
    world.settle()
    assert b.gate("wait") is Gate.TELL
    a.finish()
    world.advance()
    assert a.phase == "committed"
    assert b.gate("wait") is Gate.TELL, "its turn has come, and it has not read what it should"
    b.told()
    assert b.gate("wait") is Gate.RUN


def test_rule_6_the_gate_waits_while_a_call_of_the_agent_has_to_run_again() -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    a.read("kv:x")
    world.outside("kv:x", 2)
    assert not a.unread
    assert a.gate("wait") is Gate.WAIT
    assert not world.kernel.its_turn(a.participant)
    world.settle()
    assert a.gate("wait") is Gate.TELL
    a.told()
    assert a.gate("wait") is Gate.RUN


def test_rule_6_the_gate_lets_what_was_staged_before_go_first() -> None:
    world = World()
    [a] = world.join("A")
    mail = a.stage("first")
    assert a.gate("wait") is Gate.FIRST
    assert world.kernel.first_staged(a.participant) is mail
    world.run_staged(mail)
    assert a.gate("wait") is Gate.RUN


def test_rule_6_what_has_run_is_not_run_again_whatever_becomes_of_what_it_saw() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    mail = b.send("x is", key="kv:x")
    a.put("kv:x", 2)
    world.settle()
    assert world.sent == ["x is 1"]
    assert world.reruns == []
    assert not world.kernel.is_dirty(mail)
    assert not b.unread, "nothing can be made of it"


def test_rule_6_what_has_run_is_neither_undone_nor_amended_nor_run_again() -> None:
    world = World()
    [a] = world.join("A")
    mail = a.send("mail", log="kv:log")
    world.settle()
    for event in (
        events.CallUndone(mail.id),
        events.CallAmended(mail.id, {}, mail.seen),
    ):
        assert "irreversible" in world.refuses(event)
    assert world.live == {"kv:log": "mail"}


def test_rule_6_what_runs_just_now_is_not_amended_or_undone_by_its_agent() -> None:
    world = World()
    [a] = world.join("A")
    mail = a.begin("send", irreversible=True, text="mail")
    assert "running" in world.refuses(events.CallUndone(mail.id))
    assert "irreversible" in world.refuses(events.CallAmended(mail.id, {}, mail.seen))
    assert "running" in world.refuses(events.StagedAmended(mail.id, {}))
    assert "under way" in str(world.kernel.may_commit(a.participant))


def test_rule_6_an_irreversible_call_may_be_recorded_in_one_event_after_it_has_run() -> None:
    world = World({"kv:x": 1})
    a, b = world.join("A", "B")
    seen = world.observe(world.kernel.position(b.participant), "send", {"text": "mail", "key": "kv:x"})
    call = world.take(events.CallObserved(b.rank, "send", {"text": "mail"}, seen, True))
    assert call.irreversible
    a.put("kv:x", 2)
    assert not world.kernel.is_dirty(call)
    assert "irreversible" in world.refuses(events.CallUndone(call.id))


def test_rule_6_a_staged_call_goes_after_its_agent_was_promoted_not_before() -> None:
    world = World(early=True)
    a, b = world.join("A", "B")
    mail = b.stage("mail")
    b.finish()
    ready = world.kernel.ready()
    assert ready.promote is not None
    assert ready.run is None
    world.advance()
    assert world.sent == ["mail"]
    assert b.phase == "committed"
    assert a.phase == "active"
    order = [type(event).__name__ for event in world.events]
    assert order.index("Promoted") < order.index("RunBegun")
    assert mail.phase.value == "standing"


def test_rule_6_nothing_is_final_while_an_irreversible_call_of_an_aborted_agent_still_runs() -> None:
    world = World({"kv:log": "none"})
    a, b = world.join("A", "B")
    mail = a.begin("send", irreversible=True, text="mail", log="kv:log")
    b.read("kv:log")
    a.abort()
    assert b.gate("wait") is Gate.WAIT
    b.stage("it is", key="kv:log")
    b.finish()
    world.advance()
    assert (b.phase, world.sent) == ("finished", [])
    a.ran(mail, world.observe(mail.position, "send", mail.arguments))
    world.settle()
    assert b.told() == [("kv:log", "none", "mail")]
    b.finish()
    world.advance()
    assert (b.phase, world.sent) == ("committed", ["mail", "it is mail"])


def test_rule_6_nobody_waits_for_such_a_call_once_nobody_knows_whether_it_has_run() -> None:
    world = World({"kv:log": "none"})
    a, b = world.join("A", "B")
    mail = a.begin("send", irreversible=True, text="mail", log="kv:log")
    a.abort()
    b.finish()
    world.advance()
    assert b.phase == "finished"
    world.take(events.RunLost(mail.id))
    world.advance()
    assert b.phase == "committed"


@pytest.mark.parametrize("aborted", [False, True])
def test_rule_6_a_run_is_not_recorded_where_nothing_says_what_it_has_overwritten(aborted: bool) -> None:
    world = World({"kv:x": 1})
    [a] = world.join("A")
    call = a.begin("send", irreversible=True, text="mail")
    if aborted:
        a.abort()
    seen = Observation({}, {}, {Key("kv:x"): 2}, {}, "sent")
    assert world.refuses(events.CallRan(call.id, seen)) == "nothing says what 'kv:x' was before"
    a.ran(call, seen._replace(bases={Key("kv:x"): 1}))
    world.settle()
    assert world.live["kv:x"] == 2


def test_rule_6_a_run_that_is_heard_of_after_others_have_committed_is_not_put_over_them() -> None:
    world = World({"kv:x": 1})
    a, c = world.join("A", "C")
    call = a.begin("send", irreversible=True, text="mail")
    seen = Observation({(Key("kv:x"), None): 1}, {}, {Key("kv:x"): 9}, {Key("kv:x"): 1}, "sent")
    world.take(events.RunLost(call.id))  # its process was thought to be dead
    a.abort()
    c.put("kv:x", 2)
    c.finish()
    world.advance()
    assert c.phase == "committed"
    assert world.kernel.tracked_keys() == [], "what stood before is forgotten, and so is that C came later"
    a.ran(call, seen)
    [effect] = world.kernel.effects()
    assert 2 not in effect.expected, "the base is of before: the guard fails, and what is there is reported"
    world.take(events.OutsideWrite(Key("kv:x"), 2))
    world.settle()
    assert world.live["kv:x"] == 2
    assert world.kernel.tracked_keys() == []
