"""The state that all rules work on, and the one question that keeps it right.

Whenever a write enters, changes or leaves at position p of object o: *who above p, up to and including the
next writer of o, saw something else than what the object's prefix leaves now?* Those calls are dirty. Beyond
the next writer nobody needs to be asked: what readers there saw is what that writer left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coagent.protocol.calls import (
    BOTTOM,
    NOTHING,
    OUTSIDE,
    Call,
    CallId,
    Cause,
    Observation,
    Position,
    Rank,
    call_id,
)
from coagent.protocol.cascade import Cascade
from coagent.protocol.decisions import LiveChange
from coagent.protocol.invariants import check
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.objects import Objects
from coagent.protocol.participants import Disturbance, Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.protocol.premises import read_changed, scan_changed
from coagent.protocol.trajectory import OutsideEdit, Trajectory
from coagent.protocol.values import UNLOADED, Traced, Value, same, selected

_ACTIVE = AgentPhase.ACTIVE


class MtpoState(Kernel):
    """Agents, calls and trajectories, and what follows when a call sees or writes something else.

    Args:
        early: Whether agents may be promoted past those that they have nothing to do with (rule 10).
    """

    def __init__(self, *, early: bool = False) -> None:
        self.early = early
        self.agents: dict[Rank, Participant] = {}
        self._order: list[Participant] = []  # those that have not ended, lowest order first
        self._names: dict[str, Rank] = {}  # of those that have not ended
        self._top: Rank = Rank(-1)  # the highest rank ever given
        self._floor: Rank = Rank(-1)  # nobody may be ranked at or below it
        self._calls: dict[CallId, Call] = {}
        self._objects = Objects()
        self._dirty = Cascade()
        self._declared: dict[CallId, Call] = {}  # those of declared tools: what they did is in their systems
        self._under_way: dict[CallId, Call] = {}  # those whose run, or reversal, has begun and not ended
        self._withdrawals = 0  # how often something was taken out that may have been in somebody's way
        self._transitions: dict[type[Any], Callable[[Any], Any]] = {}

    # ---- runs ----------------------------------------------------------------------------------------------

    def _new_call(self, rank: Rank, tool: str, arguments: Mapping[str, Value]) -> Call:
        agent = self.agents[rank]
        agent.phase = _ACTIVE
        if not agent.called:
            agent.called = True
            self._floor = max(self._floor, rank)
        identity = call_id(agent.name, agent.next_sequence)
        call = Call(identity, agent.name, rank, self.position(agent), tool, arguments)
        agent.stand(agent.order, agent.next_sequence + 1)
        self._calls[identity] = agent.calls[identity] = call
        return call

    def _observe(self, call: Call, observation: Observation, root: Cause | None) -> None:
        """Put what a run saw and wrote in the place of what the call saw and wrote before.

        What it saw may have changed while the event was on its way: then the call is dirty at once.
        """
        old = call.seen
        call.seen = observation
        objects, position = self._objects, call.position
        stale: Cause | None = None
        since = {} if observation.writes else observation.bases
        for (key, selector), value in observation.reads.items():
            trajectory = objects.track(key)
            if key in since and not trajectory.base_known:
                self._learn_base(trajectory, since[key])
            if trajectory.base_known:
                now = trajectory.filtered(position)
                if now is not value and not same(selected(now, selector), value):
                    stale = self._last_cause(trajectory, position)
            elif selector is None:
                self._learn_base(trajectory, value)
            trajectory.add_reader(call)
        if observation.scans:
            changed = objects.changed_under_scans(observation, position)
            if changed is not None:
                stale = self._last_cause(changed, position)
            for scan in observation.scans:
                objects.scans.add(scan, call)
            for key in since:
                if not objects.base_known(key):
                    trajectory = objects.track(key)
                    self._learn_base(trajectory, since[key])
                    objects.maybe_forget(trajectory)
        silent = observation.error is not None or call.lapsed
        writes = NOTHING.writes if silent else observation.writes
        if observation.declared:
            self._declared[call.id] = call
        elif old.declared:
            self._declared.pop(call.id, None)
        if writes or call.writes:
            self._rewrite(call, writes, observation.bases, root)
        if old.reads or old.scans:  # only now: so far they may be all that keeps a base known
            self._forget_reads(call, old)
        if stale is not None:
            self._mark(call, stale)

    def _last_cause(self, trajectory: Trajectory, position: Position) -> Cause:
        """Return who wrote what is there at a position."""
        below = [writer for writer in trajectory.writers if writer.position < position]
        writer = below[-1] if below else None
        return writer.as_cause if isinstance(writer, Call) else OUTSIDE

    def _learn_base(self, trajectory: Trajectory, value: Value) -> None:
        """Take what the target holds for the base; whoever saw something else of it saw it change."""
        trajectory.learn_base(value)
        for reader in trajectory.readers:
            if read_changed(reader, trajectory.key, value):
                self._mark(reader, OUTSIDE)
        if self._objects.scans:
            for reader in self._objects.scans.readers(trajectory.key, BOTTOM, None):
                if scan_changed(reader, trajectory.key, value, value):
                    self._mark(reader, OUTSIDE)

    def _rewrite(
        self, call: Call, writes: Mapping[Key, Value], bases: Mapping[Key, Value], root: Cause | None
    ) -> None:
        """Replace the call's writes and ask whom that concerns."""
        before, call.writes = call.writes, writes
        objects = self._objects
        changed: list[tuple[Trajectory, Value, Value]] = []
        for key, old in before.items():
            if key not in writes:
                trajectory = objects.trajectories[key]
                trajectory.remove_writer(call)
                self._withdrawals += 1
                changed.append((trajectory, old, trajectory.filtered(call.position)))
        for key, value in writes.items():
            trajectory = objects.track(key)
            if not trajectory.base_known:
                self._learn_base(trajectory, bases[key])
            if key in before:
                changed.append((trajectory, before[key], value))
            else:
                changed.append((trajectory, trajectory.filtered(call.position), value))
                if not trajectory.writers:
                    objects.written.add(key)
                trajectory.add_writer(call)
        if call.accepted:
            call.accepted = frozenset(
                key for key in call.accepted if key in writes and same(writes[key], before.get(key))
            )
        for trajectory, old, new in changed:
            if not same(old, new):
                self._spread(trajectory, call.position, new, root or call.as_cause, trajectory.base)
            self._settle_edits(trajectory)
            objects.refresh_live(trajectory)
            if not trajectory.writers:
                objects.maybe_forget(trajectory)

    def _spread(
        self, trajectory: Trajectory, position: Position, value: Value, cause: Cause, base: Value
    ) -> None:
        """Mark the calls above `position` that saw another value than the one its prefix leaves now.

        What somebody outside has changed right above is applied again, and asks for itself (rule 9).
        """
        next_writer = trajectory.next_writer(position)
        until = None if next_writer is None else next_writer.position
        positions = trajectory.reader_positions
        key = trajectory.key
        if positions and positions[-1] > position:
            for reader in trajectory.readers_between(position, until):
                if read_changed(reader, key, value):
                    self._mark(reader, cause)
        if self._objects.scans:
            for reader in self._objects.scans.readers(key, position, until):
                if scan_changed(reader, key, value, base):
                    self._mark(reader, cause)
        if isinstance(next_writer, OutsideEdit):
            self._apply_edit(trajectory, next_writer, value, cause)

    def _mark(self, call: Call, cause: Cause) -> None:
        call.cause = cause
        if not call.irreversible:  # it has not run yet, or ran when its premises were final; it runs once
            self._dirty.add(call)

    def _review(self, call: Call) -> None:
        """Put the call into its agent's inbox, or take it out, by what the agent was told (rule 4)."""
        agent = self.agents[call.rank]
        if call.unheard:
            agent.pending[call.id] = call
        else:
            agent.pending.pop(call.id, None)

    def _tell(self, call: Call) -> None:
        """Take it that the agent knows what the call returns now."""
        call.told = call.seen
        if call.seen.error is not None:
            call.lapsed = True
            if call.under_way is None:  # else it is so once that has ended
                call.phase = CallPhase.LAPSED

    def _remove(self, call: Call, cause: Cause) -> None:
        """Take a call out of everything."""
        agent = self.agents[call.rank]
        del self._calls[call.id]
        del agent.calls[call.id]
        agent.pending.pop(call.id, None)
        self._dirty.pop(call.id)
        self._under_way.pop(call.id, None)
        self._withdrawals += 1
        call.phase = CallPhase.WITHDRAWN
        self._observe(call, NOTHING, cause)
        for key in [key for key, disturbed in agent.disturbed.items() if disturbed.call_id == call.id]:
            del agent.disturbed[key]

    def _forget_reads(self, call: Call, old: Observation) -> None:
        """Forget what the call read before, as far as it has not read it again."""
        for key in {key for key, _ in old.reads} - {key for key, _ in call.seen.reads}:
            trajectory = self._objects.trajectories.get(key)
            if trajectory is not None:
                trajectory.remove_reader(call)
                self._withdrawals += 1
                if not trajectory.readers:
                    self._objects.maybe_forget(trajectory)
        for prefix in {scan.prefix for scan in old.scans} - {scan.prefix for scan in call.seen.scans}:
            self._objects.scans.remove(prefix, call)
            self._withdrawals += 1

    # ---- outside writers (rule 9) --------------------------------------------------------------------------

    def _outside(self, trajectory: Trajectory, found: Value, saw: Value, seen_at: Position) -> None:
        """Take a value that no call wrote: the difference to what the target held last is somebody's edit.

        Args:
            trajectory: Of the object.
            found: What the target holds.
            saw: What it held before.
            seen_at: Where that was written.
        """
        key = trajectory.key
        below = [writer for writer in trajectory.writers if writer.position <= seen_at]
        if below:
            order, sequence, number = below[-1].position
            edit = OutsideEdit(key, Position((order, sequence, number + 1)), saw, found)
            now = below[-1].writes[key]
            trajectory.add_writer(edit)
            value = edit.apply(key, now)
            if not same(now, value):
                self._spread(trajectory, edit.position, value, OUTSIDE, trajectory.base)
            self._note_overruled(trajectory, edit, now)
        else:
            edit = OutsideEdit(key, BOTTOM, saw, found)
            self._change_base(trajectory, edit.apply(key, trajectory.base))
        self._objects.take_outside(trajectory, found, edit.position)
        self._objects.maybe_forget(trajectory)

    def _change_base(self, trajectory: Trajectory, value: Value, cause: Cause = OUTSIDE) -> None:
        before, trajectory.base = trajectory.base, value
        if not same(before, value):
            self._spread(trajectory, BOTTOM, value, cause, before)

    def _outside_untracked(self, key: Key, value: Value) -> None:
        """Somebody outside has changed an object of which agents know only parts, or the range it lies in."""
        for reader in self._saw_otherwise(key, value):
            self._mark(reader, OUTSIDE)

    def _saw_otherwise(self, key: Key, value: Value, *, has_changed: bool = True) -> list[Call]:
        """Return the calls that saw an untracked object otherwise: a part of it, or in a range."""
        trajectory = self._objects.trajectories.get(key)
        readers = () if trajectory is None else trajectory.readers
        found = [reader for reader in readers if read_changed(reader, key, value)]
        for reader in self._objects.scans.readers(key, BOTTOM, None):
            # A traced program saw it as it was before, and nobody knows how that was.
            traced = has_changed and any(
                isinstance(scan.selector, Traced) and scan.covers(key) and key not in seen
                for scan, seen in reader.seen.scans.items()
            )
            if traced or scan_changed(reader, key, value, value):
                found.append(reader)
        return found

    def concerns_a_premise(self, key: Key, value: Value, *, has_changed: bool = True) -> bool:
        if self._objects.base_known(key):
            return False
        return bool(self._saw_otherwise(key, value, has_changed=has_changed))

    def edits(self, key: Key) -> list[OutsideEdit]:
        trajectory = self._objects.trajectories.get(key)
        writers = () if trajectory is None else trajectory.writers
        return [writer for writer in writers if isinstance(writer, OutsideEdit)]

    def trajectory(self, key: Key) -> Trajectory | None:
        return self._objects.trajectories.get(key)

    def tracked_keys(self) -> list[Key]:
        return list(self._objects.trajectories)

    def scanned_prefixes(self) -> list[str]:
        return list(self._objects.scans.entries())

    def _apply_edit(self, trajectory: Trajectory, edit: OutsideEdit, prefix: Value, cause: Cause) -> None:
        """Apply again what somebody outside has changed, on what is below it now."""
        before = edit.writes[trajectory.key]
        value = edit.apply(trajectory.key, prefix)
        if not same(before, value):
            self._spread(trajectory, edit.position, value, cause, trajectory.base)
        self._note_overruled(trajectory, edit, prefix)

    def _note_overruled(self, trajectory: Trajectory, edit: OutsideEdit, wrote: Value) -> None:
        """Tell the agent, once, whose write below an edit has to give way to it."""
        key = trajectory.key
        if edit.clean:
            if not any(isinstance(one, OutsideEdit) and not one.clean for one in trajectory.writers):
                for writer in trajectory.writers:
                    agent = self.agents.get(writer.rank) if isinstance(writer, Call) else None
                    if (
                        agent is not None
                        and key in agent.disturbed
                        and agent.disturbed[key].kind == "overruled"
                    ):
                        del agent.disturbed[key]
            return
        call = self._overruled(trajectory, edit)
        agent = None if call is None else self.agents.get(call.rank)
        if call is not None and agent is not None and not agent.ended:
            agent.disturbed[key] = Disturbance("overruled", wrote, edit.writes[key], call.id, OUTSIDE)

    def _overruled(self, trajectory: Trajectory, edit: OutsideEdit) -> Call | None:
        """Return the call below an edit without which the edit would fit: not always the nearest one."""
        found: Call | None = None
        for writer in reversed(trajectory.writers):
            if writer.position >= edit.position:
                continue
            if edit.fits(writer.writes[trajectory.key]):
                break
            if isinstance(writer, Call):
                found = writer
        return found

    def _settle_edits(self, trajectory: Trajectory) -> None:
        """Make an outside edit below which no write is left part of the base."""
        while trajectory.writers and isinstance(edit := trajectory.writers[0], OutsideEdit):
            value = edit.apply(trajectory.key, trajectory.base)
            trajectory.remove_writer(edit)
            trajectory.accepted_at = [BOTTOM if at == edit.position else at for at in trajectory.accepted_at]
            self._change_base(trajectory, value)

    # ---- questions -----------------------------------------------------------------------------------------

    def lookup(self, key: Key, position: Position) -> Value:
        return self._objects.lookup(key, position)

    def live_value(self, key: Key) -> Value:
        trajectory = self._objects.trajectories.get(key)
        return UNLOADED if trajectory is None or not trajectory.base_known else trajectory.live()

    def take_live_changes(self) -> Sequence[LiveChange]:
        changes = self._objects.live_changes
        if changes:
            self._objects.live_changes = []
        return changes

    def call(self, call_id: CallId) -> Call | None:
        return self._calls.get(call_id)

    def check_invariants(self) -> None:
        check(self._calls, self._objects, self._dirty, self.agents)
        for call in self._dirty.in_order():
            assert self._calls.get(call.id) is call, f"{call} has to run again, though it does not stand"
