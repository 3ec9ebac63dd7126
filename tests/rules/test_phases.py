"""The tables of phases and the kernel agree: a row takes it there, and what has no row changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from kernel_world import NOTHING_TOUCHED, Agent, World

from coagent.protocol import events
from coagent.protocol.baselines.locking import Locking
from coagent.protocol.calls import OUTSIDE, Call, Observation
from coagent.protocol.events import Event
from coagent.protocol.legality import OBJECTIONS
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.phases import AGENT_PHASES, CALL_PHASES, AgentPhase, CallPhase

AGENT_EVENTS = sorted({name for _, name in AGENT_PHASES})
CALL_EVENTS = sorted({name for _, name in CALL_PHASES})
OF_OTHER_PROTOCOLS = {"Blocked", "Restarted"}
OF_OBJECTS = {"EffectApplied", "EffectRefused", "Stuck", "Resolved", "OutsideWrite"}

# ---- agents ------------------------------------------------------------------------------------------------


def agent_in(phase: AgentPhase, event: str, kernel: Mtpo | None = None) -> tuple[World, Agent, Event]:
    """Return a world with an agent in a phase, and an event about it that only its phase could forbid."""
    world = World({"kv:x": 1}, kernel=kernel, early=True)
    if event == "Promoted":
        world.join("Z")
    [agent] = world.join("A")
    standing = agent.read("kv:x")
    ends = phase is AgentPhase.ABORTING and event == "CallAmended"
    amended = agent.begin("act", writes=["sys:1"]) if ends else standing
    staged = None if event in ("Committed", "Promoted") else agent.stage("mail")
    if phase in (AgentPhase.FINISHED, AgentPhase.COMMITTED):
        agent.finish()
    if phase is AgentPhase.COMMITTED:
        world.advance()
    if phase is AgentPhase.ABORTING:
        world.take(events.AbortBegun(agent.rank, ""))
    if phase is AgentPhase.ABORTED:
        agent.abort()
    order = world.kernel.promotion(agent.participant)
    made: dict[str, Event] = {
        "Attached": events.Attached(agent.rank, "another"),
        "CallObserved": events.CallObserved(agent.rank, "read", {}, Observation.failed("no")),
        "CallStaged": events.CallStaged(agent.rank, "send", {"text": "another"}),
        "CallBegun": events.CallBegun(agent.rank, "act", {}, NOTHING_TOUCHED),
        "CallUndone": events.CallUndone(standing.id),
        "CallAmended": events.CallAmended(amended.id, amended.arguments, standing.seen),
        "StagedAmended": events.StagedAmended("" if staged is None else staged.id, {"text": "another"}),
        "NoticesDelivered": events.NoticesDelivered(agent.rank, ()),
        "Promoted": events.Promoted(agent.rank, -1 if order is None else order),
        "Said": events.Said(agent.rank, "I shall look first"),
        "Finished": events.Finished(agent.rank),
        "Committed": events.Committed(agent.rank),
        "AbortBegun": events.AbortBegun(agent.rank, "", "another"),
        "Aborted": events.Aborted(agent.rank, ""),
        "Blocked": events.Blocked(agent.rank, ()),
        "Restarted": events.Restarted(agent.rank),
    }
    return world, agent, made[event]


@pytest.mark.parametrize("event", AGENT_EVENTS)
@pytest.mark.parametrize("phase", AgentPhase, ids=lambda phase: phase.value)
def test_an_event_takes_an_agent_where_the_table_says_and_no_other_event_happens(
    phase: AgentPhase, event: str
) -> None:
    world, agent, happens = agent_in(phase, event)
    assert agent.phase == phase.value
    following = None if event in OF_OTHER_PROTOCOLS else AGENT_PHASES.get((phase, event))
    if following is None:
        world.refuses(happens)
        assert agent.phase == phase.value
    else:
        world.take(happens)
        assert agent.phase == following.value


@pytest.mark.parametrize("event", sorted(OF_OTHER_PROTOCOLS))
@pytest.mark.parametrize("phase", AgentPhase, ids=lambda phase: phase.value)
def test_where_locks_are_the_table_holds_too(phase: AgentPhase, event: str) -> None:
    world, agent, happens = agent_in(phase, event, Locking())
    assert agent.phase == phase.value
    following = AGENT_PHASES.get((phase, event))
    if following is None:
        assert world.kernel.objection(happens) is not None
    else:
        world.take(happens)
        assert agent.phase == following.value


def test_an_agent_begins_active() -> None:
    [agent] = World().join("A")
    assert agent.phase == AgentPhase.ACTIVE.value


@pytest.mark.parametrize("phase", [AgentPhase.ACTIVE, AgentPhase.FINISHED], ids=lambda phase: phase.value)
def test_what_becomes_of_a_call_by_itself_leaves_its_agent_where_it_is(phase: AgentPhase) -> None:
    world = World()
    [agent] = world.join("A")
    act = agent.act(writes=["sys:1"])
    staged = agent.stage("mail")
    world.apply()
    if phase is AgentPhase.FINISHED:
        agent.finish()
    for event in (
        events.ReversalBegun(act.id, NOTHING_TOUCHED),
        events.ReversalFailed(act.id, "no"),
        events.ReversalBegun(act.id, NOTHING_TOUCHED),
        events.CallReversed(act.id, act.as_cause),
        events.RunBegun(act.id, NOTHING_TOUCHED),
        events.CallReexecuted(act.id, world.declared_run(act, writes=["sys:1"])),
        events.RunBegun(staged.id, NOTHING_TOUCHED),
        events.CallRan(staged.id, Observation.failed("no")),
        events.OutsideWrite("kv:x", 2),
    ):
        world.take(event)
        assert agent.phase == phase.value


# ---- calls -------------------------------------------------------------------------------------------------


def call_in(phase: CallPhase) -> tuple[World, Agent, Call]:
    """Return a world with a call in a phase."""
    world = World({"kv:x": 1})
    [agent] = world.join("A")
    if phase is CallPhase.STAGED:
        return world, agent, agent.stage("mail")
    if phase is CallPhase.RUNNING:
        return world, agent, agent.begin("act", writes=["sys:1"])
    if phase is CallPhase.UNKNOWN:
        call = agent.begin("act", writes=["sys:1"])
        world.take(events.RunLost(call.id))
        return world, agent, call
    if phase is CallPhase.LAPSED:
        return world, agent, agent.edit("kv:t", "absent", "new")
    if phase in (CallPhase.STANDING, CallPhase.WITHDRAWN):
        call = agent.put("kv:x", 2)
        if phase is CallPhase.WITHDRAWN:
            agent.undo(call)
        return world, agent, call
    call = agent.act(writes=["sys:1"])
    world.apply()
    world.take(events.ReversalBegun(call.id, NOTHING_TOUCHED))
    if phase is CallPhase.REVERSED:
        world.take(events.CallReversed(call.id, OUTSIDE))
    return world, agent, call


def call_event(event: str, call: Call) -> Event:
    """Return an event about a call, with a run that saw and wrote nothing."""
    seen = Observation({}, {}, {}, {}, "done")
    made: dict[str, Event] = {
        "RunBegun": events.RunBegun(call.id, NOTHING_TOUCHED, call.runner, call.intent, None, "prepared"),
        "CallRan": events.CallRan(call.id, seen),
        "RunLost": events.RunLost(call.id),
        "CallReexecuted": events.CallReexecuted(call.id, seen),
        "ReversalBegun": events.ReversalBegun(call.id, NOTHING_TOUCHED),
        "CallReversed": events.CallReversed(call.id, OUTSIDE),
        "ReversalFailed": events.ReversalFailed(call.id, "no"),
        "CallUndone": events.CallUndone(call.id),
        "CallAmended": events.CallAmended(call.id, call.arguments, seen),
        "StagedAmended": events.StagedAmended(call.id, {"text": "another"}),
    }
    return made[event]


@pytest.mark.parametrize("event", CALL_EVENTS)
@pytest.mark.parametrize("phase", CallPhase, ids=lambda phase: phase.value)
def test_an_event_takes_a_call_where_the_table_says_and_no_other_event_happens(
    phase: CallPhase, event: str
) -> None:
    world, _, call = call_in(phase)
    assert call.phase is phase
    happens = call_event(event, call)
    following = CALL_PHASES.get((phase, event))
    if following is None:
        world.refuses(happens)
        assert call.phase is phase
    else:
        world.take(happens)
        assert call.phase is following


@pytest.mark.parametrize("event", CALL_EVENTS)
def test_nothing_happens_to_a_call_that_there_is_not(event: str) -> None:
    world, agent, _ = call_in(CallPhase.STANDING)
    nobody = Call("A.99", agent.name, agent.rank, agent.participant.position, "put", {})
    world.refuses(call_event(event, nobody))


@pytest.mark.parametrize("ended", ["commit", "abort"])
@pytest.mark.parametrize("event", CALL_EVENTS)
def test_nothing_happens_to_the_calls_of_an_agent_that_has_ended(event: str, ended: str) -> None:
    world, agent, call = call_in(CallPhase.STANDING)
    if ended == "abort":
        agent.abort()
    else:
        world.settle()
        agent.finish()
        agent.commit()
    world.refuses(call_event(event, call))


@pytest.mark.parametrize(
    ("begin", "phase"),
    [
        (lambda agent: agent.read("kv:x"), CallPhase.STANDING),
        (lambda agent: agent.edit("kv:t", "absent", "new"), CallPhase.LAPSED),
        (lambda agent: agent.stage("mail"), CallPhase.STAGED),
        (lambda agent: agent.begin("act"), CallPhase.RUNNING),
        (lambda agent: agent.begin("send", irreversible=True), CallPhase.RUNNING),
    ],
)
def test_a_call_begins_in_the_phase_of_how_it_was_made(
    begin: Callable[[Agent], Call], phase: CallPhase
) -> None:
    [agent] = World().join("A")
    assert begin(agent).phase is phase


def test_a_call_lapses_when_its_agent_is_told_that_it_failed() -> None:
    world = World({"kv:t": "one"})
    a, b = world.join("A", "B")
    call = b.edit("kv:t", "one", "two")
    a.put("kv:t", "three")
    world.settle()
    assert call.phase is CallPhase.STANDING
    b.told()
    assert call.phase is CallPhase.LAPSED
    world.take(events.RunBegun(call.id, NOTHING_TOUCHED))
    assert call.phase is CallPhase.RUNNING
    world.take(events.CallRan(call.id, Observation({}, {}, {}, {}, "done")))
    assert call.phase is CallPhase.LAPSED, "a trial does not bring it back"


# ---- the tables themselves ---------------------------------------------------------------------------------


def test_every_kind_of_event_is_about_an_agent_or_a_call_or_an_object_and_is_asked_about() -> None:
    kinds = {kind.__name__ for kind in get_args(Event)}
    assert kinds == {"Joined", *OF_OBJECTS, *AGENT_EVENTS, *CALL_EVENTS}
    assert {kind.__name__ for kind in OBJECTIONS} == kinds


@pytest.mark.parametrize(
    ("table", "first", "last"),
    [
        (AGENT_PHASES, {AgentPhase.ACTIVE}, {AgentPhase.COMMITTED, AgentPhase.ABORTED}),
        (
            CALL_PHASES,
            {CallPhase.STANDING, CallPhase.LAPSED, CallPhase.STAGED, CallPhase.RUNNING},
            {CallPhase.WITHDRAWN},
        ),
    ],
)
def test_every_phase_is_reached_and_every_phase_leads_to_an_end(
    table: dict[tuple[object, str], object], first: set[object], last: set[object]
) -> None:
    phases = {phase for phase, _ in table} | set(table.values())
    reached = set(first)
    while more := {end for (begin, _), end in table.items() if begin in reached} - reached:
        reached |= more
    assert reached == phases
    ending = set(last)
    while more := {begin for (begin, _), end in table.items() if end in ending} - ending:
        ending |= more
    assert ending == phases
    assert not {begin for begin, _ in table} & last, "nothing follows an end"


@pytest.mark.parametrize("event", sorted(OF_OBJECTS))
def test_what_is_about_objects_may_always_happen_and_changes_nothing_where_it_is_old(event: str) -> None:
    world = World({"kv:x": 1})
    [agent] = world.join("A")
    agent.put("kv:x", 2)
    version = world.kernel.version("kv:x")
    agent.put("kv:x", 3)
    made: dict[str, Event] = {
        "EffectApplied": events.EffectApplied("kv:x", version),
        "EffectRefused": events.EffectRefused("kv:x", version, "no"),
        "Stuck": events.Stuck("kv:x", version, "no"),
        "Resolved": events.Resolved("kv:x", "accept", 9),
        "OutsideWrite": events.OutsideWrite("kv:x", 2),
    }
    before = world.state
    world.take(made[event])
    assert world.state == before
