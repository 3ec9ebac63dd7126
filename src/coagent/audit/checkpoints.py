"""A replay that begins at a checkpoint, where the records before it are gone or of an old format."""

from __future__ import annotations

import json
from typing import Any

from coagent.audit.actors import Agent, Call
from coagent.audit.objects import Stuck, Thing, Write
from coagent.audit.records import NotUnderstood, plain, read_footprint, read_seen
from coagent.audit.replay import Replay


def begin(replay: Replay, number: int, text: str) -> None:
    """Bring a replay that has seen nothing into the state of a checkpoint.

    Args:
        replay: The replay.
        number: The number of the last record before it.
        text: The checkpoint.

    Raises:
        NotUnderstood: It is none of this format.
    """
    try:
        fields = json.loads(text, object_hook=plain)
        top, _, versions, _, agents, _, calls, objects, written, unapplied, stuck, _, *rest = fields
        half_reversed = rest[0] if rest else []
        replay.number, replay.top = number, top
        replay.things.versions = versions
        for object_fields in objects:
            _restore_object(replay, object_fields)
        for agent_fields in agents:
            _restore_agent(replay, number, agent_fields)
        for call_fields in calls:
            _restore_call(replay, number, call_fields)
        for agent_fields in agents:
            _restore_inbox(replay, agent_fields)
        for object_fields in objects:
            _restore_edits(replay, object_fields)
        for key in unapplied:
            thing = replay.things.all[key]
            thing.lagging = True
            replay.things.lagging[key] = thing
        for key in written:
            replay.things.note_writes(replay.things.all[key])
        for key, error in stuck.items():
            replay.things.stuck[key] = Stuck(number, error, key in half_reversed)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise NotUnderstood(f"{type(error).__name__}: {error}"[:200]) from None


def _restore_object(replay: Replay, fields: list[Any]) -> None:
    key, known, base, accepted, _, version, ever_written, _ = fields
    thing = replay.things.all[key] = Thing(key)
    if known:
        thing.base, thing.sure = base, True
    thing.accepted, thing.accepted_by = list(accepted), [None] * len(accepted)
    thing.version = version
    thing.written = "outside" if ever_written else ""


def _restore_agent(replay: Replay, number: int, fields: list[Any]) -> None:
    name, rank, pinned, order, phase, sequence, *_ = fields
    if phase in ("committed", "aborted"):
        return
    agent = Agent(name, rank, order, pinned, number)
    agent.phase, agent.sequence, agent.owner = phase, sequence, fields[10]
    replay.agents[rank] = replay.names[name] = agent


def _restore_call(replay: Replay, number: int, fields: list[Any]) -> None:
    call_id, rank, sequence, tool, arguments, seen, told, silent, _, phase, lapsed, irreversible = fields[:12]
    under_way, accepted, orphan, runner = fields[13:17]
    agent = replay.agents.get(rank)
    if agent is None or orphan is not None:
        agent = Agent(orphan or call_id.rpartition(".")[0], rank, rank, False, number)
        agent.phase = "aborted"
    call = Call(agent, sequence, sequence, tool, arguments, number)
    call.phase, call.lapsed, call.irreversible, call.runner = phase, lapsed, irreversible, runner
    call.touching = None if under_way is None else read_footprint(under_way)
    if orphan is not None:
        replay.left[call.id] = call
        return
    replay.calls[call.id] = agent.calls[call.id] = call
    observed = read_seen(seen)
    call.seen = observed
    call.told = observed if told is None else read_seen(told)
    call.writes = {} if silent else observed.writes
    call.accepted = set(accepted)
    things = replay.things
    for key in {key for key, _, _ in observed.reads}:
        things.touch(things.track(key), agent, reads=True)
    if observed.scans:
        agent.scanning[call.id] = call
    for key, value in call.writes.items():
        thing = things.track(key)
        write = Write(call, value)
        thing.enter(write)
        thing.written = call.id
        things.touch(thing, agent, reads=False)
        things.note_writes(thing)
        if observed.declared:
            replay.declared.add(key)


def _restore_inbox(replay: Replay, fields: list[Any]) -> None:
    agent = replay.agents.get(fields[1])
    if agent is not None:
        agent.pending = {call_id: agent.calls[call_id] for call_id in fields[8]}
        agent.disturbed = {key: entry[3] for key, entry in fields[9].items() if entry[0] == "stuck"}


def _restore_edits(replay: Replay, fields: list[Any]) -> None:
    """Put outsiders' edits above the writes that they saw, and say what wrote what targets may hold."""
    key, _, _, _, accepted_at, _, _, edits = fields
    thing = replay.things.all[key]
    for position, saw, result, value, _ in edits:
        below = thing.below(tuple(position))
        if below is None:
            raise NotUnderstood(f"an edit of {key!r} stands above nothing")
        edit = Write(below.call, value, position[2], saw, result)
        thing.enter(edit)
    by_place = {write.position: write for write in thing.writes}
    thing.accepted_by = [by_place.get(tuple(position)) for position in accepted_at]
