"""MTPO, Monotonic Trajectory Pre-Order: the transition rules (arXiv 2606.15376; the design's section 3).

The state is one trajectory per touched object: its base, the writes above it in order of position, and the
calls that read it. Everything follows from one question, asked whenever a write enters, changes or leaves at
position p of object o: *who above p, up to and including the next writer of o, saw something else than what
the object's prefix leaves now?* Those calls are dirty. The lowest dirty call is re-executed at its own
position over its new prefix; its writes change in turn, so the question is asked again, always further up,
until nobody is dirty. Then the live values, those of the last positions, are moved to the targets in one go.

Beyond the next writer nobody needs to be asked: what readers there saw is what that writer left. That is the
Thomas write rule where the next writer is blind, and the cascade where it reads before it writes.

A call that returns something else after its re-execution than what its agent was told is *pending* in that
agent's inbox until the agent is told, or until it returns the old result again.

The lowest active agent is never dirtied by others, so it can finish and commit; its writes become the base,
and by induction everybody commits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from coagent.protocol.calls import NOTHING, Call, Cause, Observation, Position, Rank, Reads, Scans
from coagent.protocol.cascade import Cascade
from coagent.protocol.conflicts import conflicting
from coagent.protocol.decisions import Ready
from coagent.protocol.events import (
    Aborted,
    CallAmended,
    CallObserved,
    CallReexecuted,
    CallReversed,
    CallStaged,
    CallUndone,
    EffectApplied,
    EffectRefused,
    Event,
    Finished,
    Joined,
    NoticesDelivered,
    OutsideWrite,
    StagedAmended,
    StagedRan,
    StagedStarted,
)
from coagent.protocol.invariants import check
from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key, Scan
from coagent.protocol.objects import Objects
from coagent.protocol.participants import Participant, Phase
from coagent.protocol.premises import read_changed, scan_changed
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import UNLOADED, Value, same

OUTSIDE = Cause("outside", None, None, -1)
_ENDED_KEPT = 64


class Mtpo(Kernel):
    """The MTPO kernel."""

    name = "mtpo"

    def __init__(self) -> None:
        self.agents: dict[Rank, Participant] = {}
        self._order: list[Rank] = []  # of the agents that have not ended, ascending
        self._active_names: set[str] = set()
        self._ended: deque[Rank] = deque()
        self._top: Rank = -1  # the highest rank ever given
        self._floor: Rank = -1  # nobody may be ranked at or below it
        self._calls: dict[str, Call] = {}
        self._objects = Objects()
        self._dirty = Cascade()
        self._declared: dict[str, Call] = {}  # the declared calls whose effect is in their target
        self._transitions: dict[type[Any], Callable[[Any], None]] = {
            CallObserved: self._call_observed,
            EffectApplied: self._effect_applied,
            Joined: self._joined,
            CallStaged: self._call_staged,
            StagedStarted: self._staged_started,
            StagedRan: self._staged_ran,
            CallReexecuted: self._call_reexecuted,
            CallReversed: self._call_reversed,
            CallUndone: self._call_undone,
            CallAmended: self._call_amended,
            StagedAmended: self._staged_amended,
            NoticesDelivered: self._notices_delivered,
            Finished: self._finished,
            Aborted: self._aborted,
            EffectRefused: self._effect_refused,
            OutsideWrite: self._outside_write,
        }

    # ---- the interface -------------------------------------------------------------------------------------

    def step(self, event: Event) -> None:
        self._transitions[type(event)](event)

    @property
    def forgotten(self) -> int:
        return self._objects.forgotten

    @property
    def has_work(self) -> bool:
        return bool(self._objects.unapplied or self._dirty) or (
            bool(self._order) and self._staged_call_due() is not None
        )

    def lowest_dirty(self) -> Call | None:
        return self._dirty.lowest()

    def ready(self) -> Ready:
        lowest = self._dirty.lowest()
        blocked = self._dirty.written() if lowest is not None else ()
        run = self._staged_call_due() if self._order else None
        return Ready(lowest, self._objects.effects(blocked), run)

    def refusal(self, agent: str, rank: Rank | None) -> str | None:
        if agent in self._active_names:
            return f"an agent named {agent!r} is already active"
        if rank is None:
            return None
        if rank in self.agents:
            return f"rank {rank} belongs to agent {self.agents[rank].name!r}"
        if rank <= self._floor:
            return f"rank {rank} lies below work already done (the lowest free rank is {self._floor + 1})"
        return None

    def next_rank(self) -> Rank:
        return self._top + 1

    def position(self, agent: Participant) -> Position:
        return (agent.rank, agent.next_sequence)

    def may_call(self, agent: Participant) -> bool:
        return True

    def may_run_irreversible(self, agent: Participant) -> bool:
        return self._order[0] == agent.rank and not agent.pending and not self._dirty.concerns(agent.rank)

    def lookup(self, key: Key, position: Position) -> Value:
        return self._objects.lookup(key, position)

    def written_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        return self._objects.written_under(prefix, position)

    def base_known(self, key: Key) -> bool:
        return self._objects.base_known(key)

    def holds(self, observation: Observation, position: Position) -> bool:
        return self._objects.holds(observation, position)

    def live_value(self, key: Key) -> Value:
        trajectory = self._objects.trajectories.get(key)
        return UNLOADED if trajectory is None or not trajectory.base_known else trajectory.live()

    def take_live_changes(self) -> Sequence[tuple[Key, Value]]:
        changes, self._objects.live_changes = self._objects.live_changes, []
        return changes

    def call(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def applied_above(
        self, position: Position, reads: frozenset[Key], scans: frozenset[Scan], writes: frozenset[Key]
    ) -> list[Call]:
        return conflicting(self._declared.values(), position, reads, scans, writes)

    # ---- joining and calling (rules 1 and 2) ---------------------------------------------------------------

    def _joined(self, event: Joined) -> None:
        self.agents[event.rank] = Participant(event.agent, event.rank)
        self._active_names.add(event.agent)
        self._order.append(event.rank)
        self._order.sort()
        self._top = max(self._top, event.rank)

    def _new_call(self, rank: Rank, tool: str, arguments: Any) -> Call:
        agent = self.agents[rank]
        agent.phase = Phase.ACTIVE
        if not agent.called:
            agent.called = True
            self._floor = max(self._floor, rank)
        position = self.position(agent)
        call = Call(f"{agent.name}.{agent.next_sequence}", agent.name, rank, position, tool, arguments)
        agent.next_sequence += 1
        self._calls[call.id] = agent.calls[call.id] = call
        return call

    def _call_observed(self, event: CallObserved) -> None:
        call = self._new_call(event.rank, event.tool, event.arguments)
        call.irreversible = event.irreversible
        self._observe(call, event.observation, None)
        call.told()

    def _call_staged(self, event: CallStaged) -> None:
        call = self._new_call(event.rank, event.tool, event.arguments)
        call.irreversible = call.staged = True
        call.value = "staged"
        call.told()

    def _observe(self, call: Call, observation: Observation, root: Cause | None) -> None:
        """Put what a run saw and wrote in the place of what the call saw and wrote before."""
        old_reads, old_scans = call.reads, call.scans
        call.reads, call.scans = observation.reads, observation.scans
        call.value, call.error, call.refused = observation.value, observation.error, False
        for (key, selector), seen in observation.reads.items():
            trajectory = self._objects.track(key)
            if selector is None and not trajectory.base_known:
                self._learn_base(trajectory, seen)
            trajectory.add_reader(call)
        for scan in observation.scans:
            self._objects.scans.add(scan, call)
        silent = call.error is not None or call.dormant
        writes = {} if silent else observation.writes
        if observation.declared or call.applied:
            call.declared, call.prepared = True, observation.prepared
            call.applied = bool(writes)
            if call.applied:
                self._declared[call.id] = call
            else:
                self._declared.pop(call.id, None)
        if writes or call.writes:
            self._rewrite(call, writes, observation.bases, root)
        if old_reads or old_scans:  # only now: so far they may be all that keeps a base known
            self._forget_reads(call, old_reads, old_scans)

    def _learn_base(self, trajectory: Trajectory, value: Value) -> None:
        """Take what the target holds for the base; whoever read a part of something else saw it change."""
        trajectory.learn_base(value)
        for reader in trajectory.readers:
            if read_changed(reader, trajectory.key, value):
                self._mark(reader, OUTSIDE)

    def _rewrite(self, call: Call, writes: Any, bases: Any, root: Cause | None) -> None:
        """Replace the call's writes and ask whom that concerns."""
        before, call.writes = call.writes, writes
        changed: list[tuple[Trajectory, Value, Value]] = []
        for key, old in before.items():
            if key not in writes:
                trajectory = self._objects.trajectories[key]
                trajectory.remove_writer(call)
                changed.append((trajectory, old, trajectory.filtered(call.position)))
        for key, value in writes.items():
            trajectory = self._objects.track(key)
            if not trajectory.base_known:
                self._learn_base(trajectory, bases[key])
            if key in before:
                changed.append((trajectory, before[key], value))
            else:
                changed.append((trajectory, trajectory.filtered(call.position), value))
                if not trajectory.writers:
                    self._objects.written.add(key)
                trajectory.add_writer(call)
        for trajectory, old, new in changed:
            if not same(old, new):
                cause = root or call.as_cause
                self._spread(trajectory, call.position, new, cause, trajectory.base)
                self._objects.refresh_live(trajectory)
            if not trajectory.writers:
                self._objects.maybe_forget(trajectory)

    def _spread(
        self, trajectory: Trajectory, position: Position, value: Value, cause: Cause, base: Value
    ) -> None:
        """Mark the calls above `position` that saw another value than the one its prefix leaves now."""
        positions = trajectory.reader_positions
        readers_above = bool(positions) and positions[-1] > position
        if not readers_above and not self._objects.scans:
            return
        until = trajectory.next_write(position)
        key = trajectory.key
        if readers_above:
            for reader in trajectory.readers_between(position, until):
                if read_changed(reader, key, value):
                    self._mark(reader, cause)
        for reader in self._objects.scans.readers(key, position, until):
            if scan_changed(reader, key, value, base):
                self._mark(reader, cause)

    def _mark(self, call: Call, cause: Cause) -> None:
        call.cause = cause
        if call.irreversible:
            return  # it has not run yet, or ran when its premises were final; it never runs twice
        self._dirty.add(call)

    # ---- cascade (rules 2 and 3) ---------------------------------------------------------------------------

    def _call_reexecuted(self, event: CallReexecuted) -> None:
        call = self._dirty.pop(event.call_id)
        if call is None:
            return  # withdrawn meanwhile, or already done by another process
        self._observe(call, event.observation, call.cause)
        self._review(call)
        self._advance()

    def _call_reversed(self, event: CallReversed) -> None:
        call = self._calls[event.call_id]
        call.applied = False
        self._declared.pop(call.id, None)
        call.cause = event.cause
        self._dirty.add(call)

    def _review(self, call: Call) -> None:
        """Put the call into its agent's inbox, or take it out, by what the agent was told (rule 4)."""
        agent = self.agents[call.rank]
        if call.error == call.told_error and same(call.value, call.told_value):
            agent.pending.pop(call.id, None)
        else:
            agent.pending[call.id] = call

    def _notices_delivered(self, event: NoticesDelivered) -> None:
        agent = self.agents[event.rank]
        agent.phase = Phase.ACTIVE
        for call_id in event.call_ids:
            call = agent.pending.pop(call_id, None)
            if call is not None:
                call.told()

    # ---- repair (rule 5) -----------------------------------------------------------------------------------

    def _call_undone(self, event: CallUndone) -> None:
        call = self._calls[event.call_id]
        self.agents[call.rank].phase = Phase.ACTIVE
        self._remove(call, call.as_cause)
        self._advance()

    def _remove(self, call: Call, cause: Cause) -> None:
        agent = self.agents[call.rank]
        del self._calls[call.id]
        del agent.calls[call.id]
        agent.pending.pop(call.id, None)
        self._dirty.pop(call.id)
        self._observe(call, NOTHING, cause)

    def _call_amended(self, event: CallAmended) -> None:
        call = self._calls[event.call_id]
        agent = self.agents[call.rank]
        agent.phase = Phase.ACTIVE
        call.arguments = event.arguments
        call.dormant = False
        self._dirty.pop(call.id)
        self._observe(call, event.observation, call.as_cause)
        agent.pending.pop(call.id, None)
        call.told()

    def _staged_amended(self, event: StagedAmended) -> None:
        call = self._calls[event.call_id]
        self.agents[call.rank].phase = Phase.ACTIVE
        call.arguments = event.arguments

    # ---- irreversible calls (rule 6) -----------------------------------------------------------------------

    def _staged_call_due(self) -> Call | None:
        agent = self.agents[self._order[0]]
        if agent.phase is not Phase.FINISHED or agent.pending or self._dirty.concerns(agent.rank):
            return None
        return next((call for call in agent.calls.values() if call.staged and not call.started), None)

    def _staged_started(self, event: StagedStarted) -> None:
        self._calls[event.call_id].started = True

    def _staged_ran(self, event: StagedRan) -> None:
        call = self._calls[event.call_id]
        call.staged = False
        self._observe(call, event.observation, None)
        if call.error is None:
            call.told()  # what it returned was not promised to the agent, so it is no news
        else:
            self._review(call)
        self._advance()

    # ---- the end of an agent (rules 7 and 8) ---------------------------------------------------------------

    def _finished(self, event: Finished) -> None:
        self.agents[event.rank].phase = Phase.FINISHED
        self._advance()

    def _advance(self) -> None:
        """Commit the agents whose turn has come, lowest first."""
        while self._order:
            agent = self.agents[self._order[0]]
            if (
                agent.phase is not Phase.FINISHED
                or agent.pending
                or self._dirty.concerns(agent.rank)
                or self._owes(agent)
            ):
                return
            self._commit(agent)

    def _owes(self, agent: Participant) -> bool:
        """Tell whether a staged call has yet to run, or the target has yet to accept a write of the agent."""
        if any(call.staged for call in agent.calls.values()):
            return True
        return any(
            trajectory.writers and trajectory.writers[-1].rank == agent.rank
            for trajectory in self._objects.unapplied.values()
        )

    def _commit(self, agent: Participant) -> None:
        touched = self._touched(agent)
        for trajectory in touched:
            trajectory.fold(agent.rank)
        for call in agent.calls.values():
            for scan in call.scans:
                self._objects.scans.fold(scan, agent.rank)
        self._end(agent, Phase.COMMITTED, touched)

    def _touched(self, agent: Participant) -> list[Trajectory]:
        keys = dict.fromkeys(key for call in agent.calls.values() for key, _ in call.reads)
        keys.update(dict.fromkeys(key for call in agent.calls.values() for key in call.writes))
        return [self._objects.trajectories[key] for key in keys]

    def _end(self, agent: Participant, phase: Phase, touched: Sequence[Trajectory]) -> None:
        agent.phase = phase
        for call_id in agent.calls:
            del self._calls[call_id]
            self._declared.pop(call_id, None)
        agent.calls = {}
        agent.pending = {}
        self._order.remove(agent.rank)
        if phase is Phase.COMMITTED:
            self._floor = max(self._floor, agent.rank)
        for trajectory in touched:
            self._objects.maybe_forget(trajectory)
        self._active_names.discard(agent.name)
        self._ended.append(agent.rank)
        if len(self._ended) > _ENDED_KEPT:
            del self.agents[self._ended.popleft()]

    def _aborted(self, event: Aborted) -> None:
        agent = self.agents[event.rank]
        self._withdraw_all(agent)
        self._end(agent, Phase.ABORTED, ())
        self._advance()

    def _withdraw_all(self, agent: Participant) -> None:
        """Take out all that the agent has done, newest first."""
        cause = Cause(agent.name, None, None, agent.rank)
        for call in reversed(list(agent.calls.values())):
            if call.irreversible and not call.staged:
                self._keep(call)  # it has happened, whatever becomes of its agent
            self._remove(call, cause)

    def _keep(self, call: Call) -> None:
        """Make the writes of an irreversible call part of the base: it ran when all below it was settled."""
        for key, value in call.writes.items():
            trajectory = self._objects.trajectories[key]
            if trajectory.writers[0].rank >= call.rank:
                trajectory.base = value

    # ---- targets (rules 2 and 9) ---------------------------------------------------------------------------

    def _effect_applied(self, event: EffectApplied) -> None:
        if self._objects.applied(event.key, event.version):
            self._advance()

    def _effect_refused(self, event: EffectRefused) -> None:
        trajectory = self._objects.refused(event.key, event.version)
        if trajectory is None:
            return
        call = trajectory.writers[-1]
        self._dirty.pop(call.id)
        observation = Observation(call.reads, call.scans, {}, {}, None, event.error)
        self._observe(call, observation, call.as_cause)
        call.refused = True
        self._review(call)

    def _outside_write(self, event: OutsideWrite) -> None:
        trajectory = self._objects.trajectories.get(event.key)
        if trajectory is None or not trajectory.base_known:
            return
        before = trajectory.base
        self._objects.found_outside(trajectory, event.value)
        if not same(before, event.value):
            self._spread(trajectory, (-1, 0), event.value, OUTSIDE, before)
        self._objects.maybe_forget(trajectory)

    # ---- bookkeeping ---------------------------------------------------------------------------------------

    def _forget_reads(self, call: Call, reads: Reads, scans: Scans) -> None:
        """Forget what the call read before, as far as it has not read it again."""
        for key in {key for key, _ in reads} - {key for key, _ in call.reads}:
            trajectory = self._objects.trajectories.get(key)
            if trajectory is not None:
                trajectory.remove_reader(call)
                if not trajectory.readers:
                    self._objects.maybe_forget(trajectory)
        prefixes = {scan.prefix for scan in call.scans}
        for scan in scans:
            if scan.prefix not in prefixes:
                self._objects.scans.remove(scan, call)

    def check_invariants(self) -> None:
        check(self._calls, self._objects.trajectories, self._dirty, self.agents)
