"""What must be true of every situation, of every action, and of every end; `docs/model.md` says it in words.

Beside the kernel's own numbered invariants, all this is worked out by hand: from the programs, the state
before, and who has committed, never by asking the kernel for a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from befalling import Action
from ideal_agents import Edit, Turn, result_of, serial_run
from kernel_world import NOTHING_TOUCHED
from situations import Situation
from small_tools import TOOLS, Failed, View

from coagent.protocol import events
from coagent.protocol.calls import OUTSIDE, Call, CallId, Observation, Position, Rank
from coagent.protocol.keys import Key
from coagent.protocol.phases import CallPhase
from coagent.protocol.values import Value, same


class ByHand:
    """The state at a position, worked out from who has committed and from what stands below it."""

    def __init__(self, situation: Situation, agent: str, sequence: int) -> None:
        self.objects = dict(situation.base)
        self.sent: list[str] = []
        for name in situation.places:
            _, participant = next(one for one in situation.playing() if one[0].name == name)
            for call in sorted(participant.calls.values(), key=_sequence):
                if name != agent or call.position[1] < sequence:
                    self.objects.update(call.writes)
            if name == agent:
                break
        self.objects = {key: value for key, value in self.objects.items() if value is not None}

    def value_at(self, key: Key, _: Position) -> Value:
        return self.objects.get(key)

    def range_at(self, prefix: Key, _: Position) -> dict[Key, Value]:
        return {key: value for key, value in self.objects.items() if key.startswith(prefix)}


def _sequence(call: Call) -> int:
    return call.position[1]


# ---- every situation ---------------------------------------------------------------------------------------


def check_situation(now: Situation) -> None:
    """Check a situation; the kernel's numbered invariants are checked after every event as it is.

    Raises:
        AssertionError: It must not be.
    """
    _check_order(now)
    _check_reads(now)
    _check_causes(now)
    _check_targets(now)


def _check_order(now: Situation) -> None:
    """The order by hand is the kernel's, and no two agents stand at one place."""
    orders = [now.participant(now.players[name]).order for name in now.places]
    assert orders == sorted(set(orders)), f"{now.places} stand at {orders}"


def _check_reads(now: Situation) -> None:
    """Every call that need not run again has seen, and returns, what stands below it (rules 1 to 3)."""
    for _, agent in now.playing():
        for call in agent.calls.values():
            if now.kernel.is_dirty(call) or call.irreversible:
                continue
            check_seen(now, call, call.seen)


def check_seen(now: Situation, call: Call, seen: Observation) -> None:
    """Check that a run at a call's position has seen just what stands below it.

    Raises:
        AssertionError: It has seen something else.
    """
    below = ByHand(now, call.agent, call.position[1])
    view = View(below, call.position)
    error = None
    value: Value = None
    try:
        value = TOOLS[call.tool](view, **call.arguments)
    except Failed as failure:
        error = str(failure)
    touched = {*(key for key, _ in view.reads), *(key for key, _ in seen.reads)}
    covered = {key for scan in view.scans for key in now.unsure if scan.covers(key)}
    if touched & now.unsure or covered:
        return
    shown = f"{call} saw {_short(seen)}"
    assert same(dict(seen.reads), view.reads), f"{shown}, and below it stands {view.reads}"
    assert same(dict(seen.scans), view.scans), f"{shown}, and below it stands {view.scans}"
    if not call.refused and not call.lapsed:
        assert (seen.error is None) == (error is None), f"{shown}, and ends with {error}"
        assert same(seen.value, value), f"{shown}, and returns {value!r}"


def _short(seen: Observation) -> str:
    return f"{dict(seen.reads)} {dict(seen.scans)} -> {seen.value!r} {seen.error or ''}".rstrip()


def _check_causes(now: Situation) -> None:
    """What an agent is told comes from below, from outside, or from itself (rule 4)."""
    for player, agent in now.playing():
        for call in agent.pending.values():
            cause = call.cause
            if cause is None:
                assert call.refused or call.irreversible, f"{call} is news for no reason"
                continue
            if cause == OUTSIDE or cause.rank == agent.rank:
                continue
            other = now.kernel.agents.get(cause.rank)
            if other is not None and not other.ended:
                assert other.order < agent.order, f"{player.name} is told from above, by {other.name}: {call}"


def _check_targets(now: Situation) -> None:
    """Where nothing is outstanding, every target holds what all writes together leave."""
    kernel = now.kernel
    if kernel.has_effects or now.puts or kernel.stuck:
        return
    top = ByHand(now, "", 0)
    for key in {*top.objects, *now.world.live}:
        there = now.world.live.get(key)
        if key in now.unseen:
            continue
        if key in now.unsure:
            assert not kernel.base_known(key) or same(there, kernel.live_value(key)), f"{key} is {there!r}"
        else:
            wanted = top.objects.get(key)
            assert same(there, wanted), f"the target of {key} holds {there!r}, and should hold {wanted!r}"


def check_illegal(now: Situation) -> None:
    """Check that what may not happen changes nothing, nor what has happened already.

    Raises:
        AssertionError: It does.
    """
    kernel = now.kernel
    before, tried = repr(now.world.held), 0
    passed_over = kernel.passed_over
    for event in _all_sorts(now):
        if kernel.objection(event) is not None:
            kernel.step(event)
            tried += 1
    for key in kernel.tracked_keys():
        kernel.step(events.EffectApplied(key, kernel.version(key) - 1))
        kernel.step(events.EffectRefused(key, -1, "late"))
        kernel.step(events.Stuck(key, -1, "late"))
    for _, agent in now.playing():
        for call in agent.calls.values():
            if call.phase is CallPhase.STANDING and not kernel.is_dirty(call):
                kernel.step(events.CallReexecuted(call.id, Observation.failed("somebody else was faster")))
    assert kernel.passed_over == passed_over + tried, "what may not happen was not passed over"
    kernel.passed_over = passed_over
    assert repr(now.world.held) == before, "what may not happen, or had happened, has changed something"


def _all_sorts(now: Situation) -> Iterator[events.Event]:
    """Yield an event of every sort about every agent and call, and about some that there are not."""
    nothing = Observation({}, {}, {}, {}, None)
    calls = [CallId("nobody.1")]
    for player in now.players.values():
        rank = Rank(99) if player.rank is None else player.rank
        yield events.Finished(rank)
        yield events.Committed(rank)
        yield events.Promoted(rank, -7)
        yield events.AbortBegun(rank, "", "somebody")
        yield events.Aborted(rank, "")
        yield events.Attached(rank, "somebody")
        yield events.NoticesDelivered(rank, ())
        yield events.CallObserved(rank, "read", {"key": "kv:x"}, nothing)
        yield events.CallStaged(rank, "send", {"text": ""})
        yield events.Joined(player.name, rank)
        yield events.Joined("another", now.kernel.next_rank(), False, Rank(99))
        calls += [made.call_id for made in player.made]
        calls.append(CallId(f"{player.name}.9"))
    for call_id in calls:
        yield events.RunBegun(call_id, NOTHING_TOUCHED)
        yield events.RunLost(call_id)
        yield events.CallRan(call_id, nothing)
        yield events.CallReexecuted(call_id, nothing)
        yield events.ReversalBegun(call_id, NOTHING_TOUCHED)
        yield events.ReversalFailed(call_id, "")
        yield events.CallReversed(call_id, OUTSIDE)
        yield events.CallUndone(call_id)
        yield events.CallAmended(call_id, {}, nothing)
        yield events.StagedAmended(call_id, {})


# ---- every action ------------------------------------------------------------------------------------------


class Before:
    """What is kept of a situation to judge an action by.

    Args:
        now: The situation.
        action: What is about to happen in it.
    """

    def __init__(self, now: Situation, action: Action) -> None:
        self.concerned = _concerned(now)
        self.bound = _bound(now, action)
        if action.kind == "promote":
            _check_promotion(now, action.about)
        elif action.kind == "commit":
            _check_commit(now, action.about)
        elif action.kind == "begin":
            _check_final(now, action.about.rpartition(".")[0])
        elif action.kind == "act" and now.waits_for_turn(action.about):
            _check_final(now, action.about)

    def check(self, now: Situation) -> None:
        """Check that what has happened concerns nobody below where it has (rules 4 and 8).

        Raises:
            AssertionError: It does.
        """
        if self.bound is None:
            return
        for call_id in _concerned(now) - self.concerned:
            call = now.kernel.call(call_id)
            assert call is not None, f"{call_id} is concerned, and does not stand"
            assert call.position >= self.bound, f"{call} is concerned from above"


_NOBODY: Final = Position((2**62, 0, 0))


def _bound(now: Situation, action: Action) -> Position | None:
    """Return below which position nothing may follow from an action; None where that cannot be said."""
    kind, kernel = action.kind, now.kernel
    if kind in ("see", "miss", "resolve") or now.unsure:
        return None
    if kind == "act":
        player = now.players[action.about]
        made = now.move(player).made
        call = None if made is None else kernel.call(made.call_id)
        return now.participant(player).position if call is None else call.position
    if kind == "record":
        return now.participant(now.players[action.about]).position
    if kind in ("rerun", "ran", "accept", "drop"):
        call = kernel.underway(CallId(action.about)) or kernel.call(CallId(action.about))
        assert call is not None
        return None if now.players[call.agent].end else call.position
    if kind in ("abort", "end"):
        return Position((now.participant(now.players[action.about]).order, 0, 0))
    if kind == "refuse":
        blamed = (
            next(
                writer
                for key, trajectory in kernel._objects.unapplied.items()
                for writer in reversed(trajectory.writers)
                if key == action.about
            )
            if kernel._objects.unapplied[Key(action.about)].writers
            else None
        )
        return None if blamed is None else blamed.position
    return _NOBODY


def _concerned(now: Situation) -> frozenset[CallId]:
    waiting = {call.id for call in now.kernel._dirty.in_order()}
    return frozenset(waiting.union(*(agent.pending for _, agent in now.playing())))


def _check_promotion(now: Situation, name: str) -> None:
    """Whoever passes others has nothing to do with any of them, and none of them is pinned (rule 10)."""
    assert now.case.early, "nobody passes anybody in a fixed order"
    assert name not in now.case.pinned, f"{name} is pinned, and passes nobody"
    agent = now.participant(now.players[name])
    assert not agent.unread, f"{name} passes others with something to read"
    for other_name in now.places[: now.places.index(name)]:
        other = now.participant(now.players[other_name])
        assert other_name not in now.case.pinned, f"{name} passes {other_name}, which is pinned"
        for one in agent.calls.values():
            for its in other.calls.values():
                clash = _clash(one, its) or _clash(its, one)
                assert not clash, f"{name} passes {other_name}, though {one} and {its} meet at {clash}"


def _clash(writer: Call, other: Call) -> set[Key]:
    touched = {key for key, _ in other.seen.reads} | set(other.writes)
    return {
        key for key in writer.writes if key in touched or any(scan.covers(key) for scan in other.seen.scans)
    }


def _check_final(now: Situation, name: str) -> None:
    """Nothing below is open any more, and the agent knows all that has changed (rules 6 and 7)."""
    assert now.places[0] == name, f"{name} goes before {now.places[0]}"
    player = now.players[name]
    agent = now.participant(player)
    assert not agent.unread, f"{name} has something to read"
    for made in player.made:
        call = agent.calls[made.call_id]
        assert not now.kernel.is_dirty(call), f"{call} has to run again"
        if not call.irreversible:
            check_seen(now, call, call.seen)
            news = not same(made.result, result_of(call.seen))
            assert not news, f"{name} was never told that {call} returns {call.seen.value!r}"


def _check_commit(now: Situation, name: str) -> None:
    """An agent commits in its turn, having been told everything, with just what its program asks for."""
    _check_final(now, name)
    move = now.move(now.players[name])
    if not now.overtaken:
        assert move.kind == "finish", f"{name} commits, and its program would {move}"


# ---- every end ---------------------------------------------------------------------------------------------


def check_end(end: Situation) -> None:
    """Compare an end with the committed agents one after another (the guarantee of section 3).

    Raises:
        AssertionError: No such run ends so.
    """
    if end.overtaken:
        return
    turns = [
        Turn(
            name,
            end.case.programs[name],
            [index for index, made in enumerate(end.players[name].made) if made.refused],
        )
        for name in end.committed
    ]
    found = _ending(end.world.live, end.sent, {name: _results(end, name) for name in end.committed}, end)
    initial, staging = end.case.initial, end.case.staging
    plain = serial_run(initial, turns, staging)
    written = end.kept | {key: value for key, value in end.case.outside.items() if key not in end.outside}
    if not written:
        wanted = [_ending(plain.state, plain.sent, plain.results, end)]
    else:
        [(key, value)] = written.items()
        wanted = [
            _ending(run.state, run.sent, run.results, end)
            for before in range(plain.calls + 1)
            for run in [serial_run(initial, turns, staging, Edit(before, key, value))]
        ]
    assert found in wanted, f"the end is {found}, one after another {wanted[0]}" + (
        f", and with an outsider in between {wanted[1:]}" if wanted[1:] else ""
    )


def _results(end: Situation, name: str) -> list[Value]:
    return [made.result for made in end.players[name].made]


def _ending(
    state: Mapping[Key, Value],
    sent: list[tuple[str, str]],
    results: Mapping[str, list[Value]],
    end: Situation,
) -> tuple[dict[Key, Value], list[tuple[str, str]], dict[str, list[Value]]]:
    """Return what is compared; where agents pass others, the order of messages counts within each alone."""
    counted = [one for one in sent if one[0] in end.committed]
    if end.case.early:
        counted.sort(key=lambda one: one[0])
    return dict(state), counted, dict(results)
