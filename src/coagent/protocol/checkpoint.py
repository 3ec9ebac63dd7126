"""The whole state of a kernel as data, so that a log can be opened without replaying its history.

At quiescence that is next to nothing; otherwise it is what active agents have called, and what targets may
hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from coagent.protocol.calls import (
    Call,
    CallId,
    Cause,
    Footprint,
    Observation,
    Position,
    Rank,
    position_of,
)
from coagent.protocol.events import OnDeath
from coagent.protocol.keys import Key
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Disturbance, Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.protocol.trajectory import OutsideEdit, Trajectory
from coagent.protocol.values import Value


class AgentState(NamedTuple):
    """A participant."""

    name: str
    rank: Rank
    pinned: bool
    order: int
    phase: str
    next_sequence: int
    called: bool
    calls: tuple[CallId, ...]
    pending: tuple[CallId, ...]
    disturbed: Mapping[Key, Disturbance]
    owner: str = ""
    epoch: int = 0
    on_death: OnDeath = "abort"
    ends_because: str = ""


class CallState(NamedTuple):
    """A call; `told` is None where its agent knows of its last run."""

    id: CallId
    rank: Rank
    sequence: int
    tool: str
    arguments: Mapping[str, Value]
    seen: Observation
    told: Observation | None
    silent: bool
    cause: Cause | None
    phase: str
    lapsed: bool
    irreversible: bool
    refused: bool
    under_way: Footprint | None
    accepted: tuple[Key, ...]
    orphan: str | None
    runner: str = ""
    intent: str = ""
    prepared: Value = None


class EditState(NamedTuple):
    """What somebody outside has changed."""

    position: Position
    saw: Value
    found: Value
    value: Value
    clean: bool


class ObjectState(NamedTuple):
    """A trajectory, but for the calls in it."""

    key: Key
    base_known: bool
    base: Value
    accepted: tuple[Value, ...]
    accepted_at: tuple[Position, ...]
    version: int
    ever_written: bool
    edits: tuple[EditState, ...]


class KernelState(NamedTuple):
    """Everything that a kernel's answers depend on."""

    top: Rank
    floor: Rank
    versions: int
    forgotten: int
    agents: tuple[AgentState, ...]
    ended: tuple[Rank, ...]
    calls: tuple[CallState, ...]
    objects: tuple[ObjectState, ...]
    written: tuple[Key, ...]
    unapplied: tuple[Key, ...]
    stuck: Mapping[Key, str]
    dirty: tuple[CallId, ...]
    half_reversed: tuple[Key, ...] = ()


def state_of(kernel: Mtpo) -> KernelState:
    """Return the state of a kernel; it shares values with it, which are never changed in place."""
    objects = kernel._objects
    orphans = [call for call in kernel._under_way.values() if call.id not in kernel._calls]
    return KernelState(
        kernel._top,
        kernel._floor,
        objects.versions,
        objects.forgotten,
        tuple(_agent(agent) for agent in kernel.agents.values()),
        tuple(kernel._ended),
        tuple(_call(call, None) for call in kernel._calls.values())
        + tuple(_call(call, call.agent) for call in orphans),
        tuple(_object(trajectory) for trajectory in objects.trajectories.values()),
        tuple(objects.written.under("")),
        tuple(objects.unapplied),
        dict(objects.stuck),
        tuple(call.id for call in kernel._dirty.in_order()),
        tuple(sorted(objects.half_reversed)),
    )


def restore(kernel: Mtpo, state: KernelState) -> None:
    """Bring a new kernel into a state."""
    kernel._top, kernel._floor = state.top, state.floor
    objects = kernel._objects
    objects.versions, objects.forgotten = state.versions, state.forgotten
    for saved in state.agents:
        _restore_agent(kernel, saved)
    kernel._ended.extend(state.ended)
    kernel._sort()
    for one in state.objects:
        objects.trajectories[one.key] = _restored_object(one)
    for saved_call in state.calls:
        _restore_call(kernel, saved_call)
    for saved in state.agents:
        agent = kernel.agents[saved.rank]
        agent.calls = {call_id: kernel._calls[call_id] for call_id in saved.calls}
        agent.pending = {call_id: kernel._calls[call_id] for call_id in saved.pending}
    for key in state.written:
        objects.written.add(key)
    objects.unapplied = {key: objects.trajectories[key] for key in state.unapplied}
    objects.stuck, objects.half_reversed = dict(state.stuck), set(state.half_reversed)
    for call_id in state.dirty:
        kernel._dirty.add(kernel._calls[call_id])


def _agent(agent: Participant) -> AgentState:
    return AgentState(
        agent.name,
        agent.rank,
        agent.pinned,
        agent.order,
        agent.phase.value,
        agent.next_sequence,
        agent.called,
        tuple(agent.calls),
        tuple(agent.pending),
        dict(agent.disturbed),
        agent.owner,
        agent.epoch,
        agent.on_death,
        agent.ends_because,
    )


def _restore_agent(kernel: Mtpo, saved: AgentState) -> None:
    agent = kernel.agents[saved.rank] = Participant(saved.name, saved.rank, saved.pinned)
    agent.phase, agent.called = AgentPhase(saved.phase), saved.called
    agent.owner, agent.epoch, agent.on_death = saved.owner, saved.epoch, saved.on_death
    agent.ends_because = saved.ends_because
    agent.stand(saved.order, saved.next_sequence)
    agent.disturbed = dict(saved.disturbed)
    if not agent.ended:
        kernel._order.append(agent)
        kernel._names[agent.name] = agent.rank


def _call(call: Call, orphan: str | None) -> CallState:
    return CallState(
        call.id,
        call.rank,
        call.position[1],
        call.tool,
        call.arguments,
        call.seen,
        None if call.told is call.seen else call.told,
        call.writes != call.seen.writes,
        call.cause,
        call.phase.value,
        call.lapsed,
        call.irreversible,
        call.refused,
        call.under_way,
        tuple(sorted(call.accepted)),
        orphan,
        call.runner,
        call.intent,
        call.prepared,
    )


def _restore_call(kernel: Mtpo, saved: CallState) -> None:
    agent = kernel.agents.get(saved.rank)
    name = saved.orphan if agent is None or saved.orphan is not None else agent.name
    order = agent.order if agent is not None else saved.rank
    position = position_of(order, saved.sequence)
    call = Call(saved.id, name or "", saved.rank, position, saved.tool, saved.arguments)
    call.seen = saved.seen
    call.told = saved.seen if saved.told is None else saved.told
    call.writes = {} if saved.silent else saved.seen.writes
    call.cause, call.phase, call.lapsed = saved.cause, CallPhase(saved.phase), saved.lapsed
    call.irreversible, call.refused = saved.irreversible, saved.refused
    call.under_way, call.accepted = saved.under_way, frozenset(saved.accepted)
    call.runner, call.intent, call.prepared = saved.runner, saved.intent, saved.prepared
    if call.under_way is not None:
        kernel._under_way[call.id] = call
    if saved.orphan is not None:
        return
    kernel._calls[call.id] = call
    if call.seen.declared:
        kernel._declared[call.id] = call
    objects = kernel._objects
    for key, _ in call.seen.reads:
        objects.trajectories[key].add_reader(call)
    for scan in call.seen.scans:
        objects.scans.add(scan, call)
    for key in call.writes:
        objects.trajectories[key].add_writer(call)


def _object(trajectory: Trajectory) -> ObjectState:
    edits = tuple(
        EditState(writer.position, writer.saw, writer.found, writer.writes[trajectory.key], writer.clean)
        for writer in trajectory.writers
        if isinstance(writer, OutsideEdit)
    )
    return ObjectState(
        trajectory.key,
        trajectory.base_known,
        trajectory.base,
        tuple(trajectory.accepted),
        tuple(trajectory.accepted_at),
        trajectory.version,
        trajectory.ever_written,
        edits,
    )


def _restored_object(saved: ObjectState) -> Trajectory:
    trajectory = Trajectory(saved.key)
    trajectory.base_known, trajectory.base = saved.base_known, saved.base
    trajectory.accepted, trajectory.accepted_at = list(saved.accepted), list(saved.accepted_at)
    trajectory.version = saved.version
    for edit in saved.edits:
        writer = OutsideEdit(saved.key, edit.position, edit.saw, edit.found)
        writer.writes, writer.clean = {saved.key: edit.value}, edit.clean
        trajectory.add_writer(writer)
    trajectory.ever_written = saved.ever_written
    return trajectory
