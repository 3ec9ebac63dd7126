"""MTPO, Monotonic Trajectory Pre-Order: the rules (arXiv 2606.15376; numbered in docs/concepts.md).

The state is one trajectory per touched object: its base, the writes above it in order of position, and the
calls that read it. Everything follows from one question, asked whenever a write enters, changes or leaves at
position p of object o: *who above p, up to and including the next writer of o, saw something else than what
the object's prefix leaves now?* Those calls are dirty (`state.py`). The lowest dirty call is re-executed at
its own position over its new prefix; its writes change in turn, so the question is asked again, always
further up, until nobody is dirty. Then the live values, those of the last positions, are moved to the targets
in one go.

Beyond the next writer nobody needs to be asked: what readers there saw is what that writer left. That is the
Thomas write rule where the next writer is blind, and the cascade where it reads before it writes.

A call that returns something else after its re-execution than what its agent was told is *pending* in that
agent's inbox until the agent is told, or until it returns the old result again.

The lowest active agent is never dirtied by others, so it can finish and commit; its writes become the base,
and by induction everybody commits.
"""

from __future__ import annotations

from collections import deque

from coagent.protocol import events
from coagent.protocol.calls import LOST, NOTHING, OUTSIDE, Call, Cause, Observation, Rank
from coagent.protocol.events import Event
from coagent.protocol.keys import Key
from coagent.protocol.participants import Disturbance, Participant
from coagent.protocol.phases import AGENT_PHASES, CALL_PHASES, AgentPhase, CallPhase
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.turns import Turns
from coagent.protocol.values import Value, same

_ENDED_KEPT = 64


class Mtpo(Turns):
    """The MTPO kernel.

    Args:
        early: Whether agents may be promoted past those that they have nothing to do with (rule 10).
        commits_itself: Whether agents commit as soon as their turn has come, as logs of format 1 have it.
    """

    name = "mtpo"
    reads_may_wait = True
    resumable = True
    """Whether its whole state can be told and restored (`checkpoint.py`)."""

    def __init__(self, *, early: bool = False, commits_itself: bool = False) -> None:
        super().__init__(early=early)
        self.commits_itself = commits_itself
        self._ended: deque[Rank] = deque()
        self._transitions = {
            events.CallObserved: self._call_observed,
            events.EffectApplied: self._effect_applied,
            events.Joined: self._joined,
            events.Attached: self._attached,
            events.Said: self._said,
            events.CallStaged: self._call_staged,
            events.CallBegun: self._call_begun,
            events.RunBegun: self._run_begun,
            events.RunLost: self._run_lost,
            events.CallRan: self._call_ran,
            events.CallReexecuted: self._call_reexecuted,
            events.ReversalBegun: self._reversal_begun,
            events.CallReversed: self._call_reversed,
            events.ReversalFailed: self._reversal_failed,
            events.CallUndone: self._call_undone,
            events.CallAmended: self._call_amended,
            events.StagedAmended: self._staged_amended,
            events.NoticesDelivered: self._notices_delivered,
            events.Finished: self._finished,
            events.Promoted: self._promoted,
            events.Committed: self._committed,
            events.AbortBegun: self._abort_begun,
            events.Aborted: self._aborted,
            events.EffectRefused: self._effect_refused,
            events.Stuck: self._stuck,
            events.Resolved: self._resolved,
            events.OutsideWrite: self._outside_write,
        }

    def take(self, event: Event) -> Call | Participant | None:
        self.steps += 1
        made: Call | Participant | None = self._transitions[type(event)](event)
        if self.commits_itself:
            self._commit_all()
        return made

    def step(self, event: Event) -> Call | Participant | None:
        if self.commits_itself and isinstance(event, events.CallReversed):
            call = self.call(event.call_id)
            if call is not None and call.applied:  # logs of format 1 do not say that a reversal begins
                self._reversal_begun(events.ReversalBegun(call.id, call.footprint))
        return super().step(event)

    def _commit_all(self) -> None:
        while (rank := self.ready().commit) is not None:
            self._committed(events.Committed(rank))

    # ---- joining and calling (rules 1 and 2) ---------------------------------------------------------------

    def _joined(self, event: events.Joined) -> Participant:
        order = self._order_for(event.rank, event.after)
        agent = self.agents[event.rank] = Participant(event.agent, event.rank, event.pinned)
        agent.owner, agent.on_death = event.owner, event.on_death
        self._names[event.agent] = event.rank
        # A call of an aborted agent of that name may be under way still: no other call may have its id.
        taken = [call.position[1] for call in self._under_way.values() if call.agent == event.agent]
        agent.stand(order, max(taken, default=0) + 1)
        self._order.append(agent)
        self._sort()
        self._top = max(self._top, event.rank)
        return agent

    def _attached(self, event: events.Attached) -> Participant:
        agent = self.agents[event.rank]
        agent.epoch += event.owner != agent.owner
        agent.owner, agent.on_death = event.owner, event.on_death
        return agent

    def _said(self, event: events.Said) -> None:
        """Nothing follows from words."""

    def _call_observed(self, event: events.CallObserved) -> Call:
        call = self._new_call(event.rank, event.tool, event.arguments)
        if event.irreversible:
            call.irreversible = True
        self._observe(call, event.observation, None)
        self._tell(call)
        return call

    def _call_staged(self, event: events.CallStaged) -> Call:
        call = self._new_call(event.rank, event.tool, event.arguments)
        call.irreversible, call.phase = True, CallPhase.STAGED
        call.seen = call.told = NOTHING._replace(value="staged")
        return call

    # ---- runs that may have an effect before they are recorded ---------------------------------------------

    def _call_begun(self, event: events.CallBegun) -> Call:
        call = self._new_call(event.rank, event.tool, event.arguments)
        call.irreversible, call.phase = event.irreversible, CallPhase.RUNNING
        return self._start(call, event)

    def _run_begun(self, event: events.RunBegun) -> Call:
        call = self._calls.get(event.call_id) or self._under_way[event.call_id]
        call.phase = CALL_PHASES[call.phase, "RunBegun"]
        if event.arguments is not None:  # it is amended
            call.arguments, call.lapsed = event.arguments, False
        call.prepared = event.prepared
        return self._start(call, event)

    def _reversal_begun(self, event: events.ReversalBegun) -> Call:
        call = self._next_phase(event)
        return self._start(call, event)

    def _run_lost(self, event: events.RunLost) -> Call:
        call = self._under_way[event.call_id]
        call.phase = CallPhase.UNKNOWN
        if call.told == NOTHING:
            call.told = LOST
        self._withdrawals += 1  # nobody is kept from anything by it any more
        return call

    def _start(self, call: Call, event: events.CallBegun | events.RunBegun | events.ReversalBegun) -> Call:
        call.under_way, call.runner = event.footprint, event.owner
        if not isinstance(event, events.ReversalBegun):
            call.intent = event.intent
        self._under_way[call.id] = call
        return call

    def _stop(self, call: Call) -> None:
        """The call is not under way any more."""
        call.under_way, call.runner = None, ""
        if self._under_way.pop(call.id, None) is not None:
            self._withdrawals += 1  # what it kept others from may be more than it has touched
        if call.phase in (CallPhase.RUNNING, CallPhase.UNKNOWN):
            call.phase = CallPhase.LAPSED if call.lapsed else CallPhase.STANDING

    def _call_ran(self, event: events.CallRan) -> Call:
        call = self._under_way[event.call_id]
        agent = self.agents.get(call.rank)
        gone = agent is not None and agent.owner != call.runner
        self._stop(call)
        if call.id not in self._calls:
            self._happened(call, event.observation)
            return call
        # A staged call returned "staged": what it returns now was not promised.
        promised = call.told == NOTHING
        self._observe(call, event.observation, None)
        if call.told == LOST or (promised and gone):
            # Whoever waited for it is gone, and whoever speaks for the agent now has gone on without it.
            self._review(call)
        elif promised or event.observation.error is None:
            self._tell(call)
        else:
            self._review(call)
        return call

    def _happened(self, call: Call, observation: Observation) -> None:
        """An irreversible call ran although its agent has been aborted meanwhile: what it wrote stands."""
        for key, value in observation.writes.items() if observation.error is None else ():
            trajectory = self._objects.track(key)
            if not trajectory.base_known:
                self._learn_base(trajectory, observation.bases[key])
            self._make_base(trajectory, value, call.as_cause)

    # ---- cascade (rules 2 and 3) ---------------------------------------------------------------------------

    def _call_reexecuted(self, event: events.CallReexecuted) -> Call | None:
        call = self._calls[event.call_id]
        if self._dirty.pop(call.id) is None and call.phase not in (CallPhase.RUNNING, CallPhase.UNKNOWN):
            return None  # done by another process already
        self._stop(call)
        if call.phase is CallPhase.REVERSED:
            call.phase = CALL_PHASES[CallPhase.REVERSED, "CallReexecuted"]
        call.refused = False
        self._observe(call, event.observation, call.cause)
        self._review(call)
        return call

    def _call_reversed(self, event: events.CallReversed) -> Call:
        call = self._next_phase(event)
        self._stop(call)
        call.cause = event.cause
        self._dirty.add(call)
        return call

    def _reversal_failed(self, event: events.ReversalFailed) -> Call:
        call = self._next_phase(event)
        self._stop(call)
        for key in call.writes:
            self._objects.half_reversed.add(key)
            self._get_stuck(self._objects.trajectories[key], event.error)
        return call

    def _notices_delivered(self, event: events.NoticesDelivered) -> None:
        agent = self.agents[event.rank]
        self._next_agent_phase(agent, event)
        for call_id in event.call_ids:
            call = agent.pending.pop(call_id, None)
            if call is not None:
                self._tell(call)
        for key in event.keys:
            agent.disturbed.pop(key, None)

    # ---- repair (rule 5) -----------------------------------------------------------------------------------

    def _call_undone(self, event: events.CallUndone) -> Call:
        call = self._calls[event.call_id]
        self._next_agent_phase(self.agents[call.rank], event)
        self._stop(call)
        self._remove(call, call.as_cause)
        return call

    def _call_amended(self, event: events.CallAmended) -> Call:
        call = self._calls[event.call_id]
        agent = self.agents[call.rank]
        if event.heard:
            self._next_agent_phase(agent, event)
        self._stop(call)
        call.phase = CallPhase.STANDING
        call.arguments = event.arguments
        call.lapsed = call.refused = False
        self._dirty.pop(call.id)
        self._observe(call, event.observation, call.as_cause)
        if event.heard:
            agent.pending.pop(call.id, None)
            self._tell(call)
        else:
            self._review(call)
        return call

    def _staged_amended(self, event: events.StagedAmended) -> Call:
        call = self._calls[event.call_id]
        self._next_agent_phase(self.agents[call.rank], event)
        call.arguments = event.arguments
        return call

    # ---- the end of an agent (rules 7, 8 and 10) -----------------------------------------------------------

    def _finished(self, event: events.Finished) -> None:
        self._next_agent_phase(self.agents[event.rank], event)

    def _promoted(self, event: events.Promoted) -> Participant:
        agent = self.agents[event.rank]
        self._move(agent, event.order)
        return agent

    def _committed(self, event: events.Committed) -> Participant:
        agent = self.agents[event.rank]
        touched = self._touched(agent)
        for call in agent.calls.values():
            for prefix in {scan.prefix for scan in call.seen.scans}:
                self._objects.scans.remove(prefix, call)
        for trajectory in touched:
            trajectory.fold(agent.order)
            self._settle_edits(trajectory)  # whose news is not for an agent that has committed
        self._end(agent, AgentPhase.COMMITTED, touched)
        return agent

    def _touched(self, agent: Participant) -> list[Trajectory]:
        keys = dict.fromkeys(key for call in agent.calls.values() for key, _ in call.seen.reads)
        keys.update(dict.fromkeys(key for call in agent.calls.values() for key in call.writes))
        return [self._objects.trajectories[key] for key in keys]

    def _end(self, agent: Participant, phase: AgentPhase, touched: list[Trajectory]) -> None:
        agent.phase = phase
        for call_id in agent.calls:
            del self._calls[call_id]
            self._declared.pop(call_id, None)
        agent.calls = {}
        agent.pending = {}
        agent.disturbed = {}
        self._order.remove(agent)
        if phase is AgentPhase.COMMITTED:
            self._floor = max(self._floor, agent.rank)
        for trajectory in touched:
            self._objects.maybe_forget(trajectory)
        self._names.pop(agent.name, None)
        self._withdrawals += 1
        self._ended.append(agent.rank)
        if len(self._ended) > _ENDED_KEPT:
            del self.agents[self._ended.popleft()]

    def _abort_begun(self, event: events.AbortBegun) -> Participant:
        agent = self.agents[event.rank]
        self._next_agent_phase(agent, event)
        agent.epoch += event.owner != agent.owner
        agent.owner, agent.ends_because = event.owner, event.reason
        return agent

    def _aborted(self, event: events.Aborted) -> Participant:
        agent = self.agents[event.rank]
        self._withdraw_all(agent)
        self._end(agent, AgentPhase.ABORTED, [])
        return agent

    def _withdraw_all(self, agent: Participant) -> None:
        """Take out all that the agent has done, newest first; what has happened stands all the same.

        That comes last, oldest first: the base ends as the last of it has left it, and whoever was built on
        that sees nothing else on the way.
        """
        cause = Cause(agent.name, None, None, agent.rank)
        calls = list(agent.calls.values())
        standing = {call.id for call in calls if call.has_happened or call.applied}
        withdrawn = [call for call in reversed(calls) if call.id not in standing]
        for call in [*withdrawn, *(call for call in calls if call.id in standing)]:
            under_way, phase = call.under_way, call.phase
            if call.id in standing:
                self._keep(call)
            self._remove(call, cause)
            if under_way is not None:  # it will be heard of when it has ended
                call.phase, self._under_way[call.id] = phase, call

    def _keep(self, call: Call) -> None:
        """Make the writes of a call that has happened part of the base: all below was settled when it ran."""
        for key, value in call.writes.items():
            trajectory = self._objects.trajectories[key]
            if trajectory.writers[0].position[0] >= call.position[0]:
                self._make_base(trajectory, value, call.as_cause)

    def _make_base(self, trajectory: Trajectory, value: Value, cause: Cause) -> None:
        self._change_base(trajectory, value, cause)
        self._settle_edits(trajectory)
        self._objects.refresh_live(trajectory)
        self._objects.maybe_forget(trajectory)

    # ---- targets (rules 2 and 9) ---------------------------------------------------------------------------

    def _effect_applied(self, event: events.EffectApplied) -> None:
        stuck = self._objects.stuck
        if not stuck or event.key not in stuck:
            self._objects.applied(event.key, event.version)
        elif self._objects.applied(event.key, event.version) is not None and event.key not in stuck:
            self._not_stuck(event.key)

    def _effect_refused(self, event: events.EffectRefused) -> Call | None:
        trajectory = self._objects.outstanding(event.key, event.version)
        if trajectory is None:
            return None
        call = self.to_blame(trajectory)
        if call is None:
            self._get_stuck(trajectory, event.error)
            return None
        self._dirty.pop(call.id)
        failed = Observation.failed(event.error, call.seen.reads, call.seen.scans)
        self._observe(call, failed, call.as_cause)
        call.refused = True
        self._review(call)
        return call

    def to_blame(self, trajectory: Trajectory) -> Call | None:
        """Return the call whose write a target refuses; None where it had held that, or nobody wrote it."""
        writer = trajectory.writers[-1] if trajectory.writers else None
        if not isinstance(writer, Call) or trajectory.key in writer.accepted or writer.has_happened:
            return None
        return writer

    def _stuck(self, event: events.Stuck) -> None:
        trajectory = self._objects.outstanding(event.key, event.version)
        if trajectory is not None:
            self._get_stuck(trajectory, event.error)

    def _get_stuck(self, trajectory: Trajectory, error: str) -> None:
        """Leave an object to a person, and tell everybody who has touched it, once."""
        key = trajectory.key
        self._objects.stuck[key] = error
        concerned = [call for call in trajectory.writers if isinstance(call, Call)] + trajectory.readers
        for call in [*self._held_of(trajectory), *concerned]:
            agent = self.agents[call.rank]
            agent.disturbed[key] = Disturbance("stuck", None, error, call.id, OUTSIDE)

    def _held_of(self, trajectory: Trajectory) -> list[Call]:
        """Return the standing calls of which the target may hold a write, also one that has been withdrawn.

        A call whose amendment, or run on another prefix, was refused has no effect, as far as its agent
        knows; but the target will not give back what it had written at first.
        """
        places = set(trajectory.accepted_at)
        orders = {order for order, _, _ in places}
        agents = [agent for agent in self._order if agent.order in orders]
        return [call for agent in agents for call in agent.calls.values() if call.position in places]

    def _resolved(self, event: events.Resolved) -> None:
        if self._objects.stuck.pop(event.key, None) is None:
            return
        self._objects.half_reversed.discard(event.key)
        self._not_stuck(event.key)
        trajectory = self._objects.trajectories.get(event.key)
        if event.how == "accept" and trajectory is not None and trajectory.base_known:
            if same(event.value, trajectory.live()):
                self._objects.applied(event.key, trajectory.version)
            else:  # whatever it was before: it is what stands now in the place of what should
                self._outside(trajectory, event.value, trajectory.live(), trajectory.live_position)

    def _not_stuck(self, key: Key) -> None:
        """An object is as it should be: whoever has not been told that it is not need not be."""
        for agent in self._order:
            known = agent.disturbed.get(key)
            if known is not None and known.kind == "stuck":
                del agent.disturbed[key]

    def _outside_write(self, event: events.OutsideWrite) -> None:
        trajectory = self._objects.trajectories.get(event.key)
        if event.behind:
            self._outside_behind(event.key, event.value, *event.behind)
        elif trajectory is None or not trajectory.base_known:
            self._outside_untracked(event.key, event.value)
        elif not any(same(event.value, value) for value in trajectory.accepted):
            self._outside(trajectory, event.value, *trajectory.seen_by(event.value))

    def _outside_behind(self, key: Key, value: Value, saw: Value, live: Value) -> None:
        """Somebody outside has changed a host's copy that had yet to take the live value.

        The change is made to what is live now; there the other copies have to follow, whether anybody at
        work has touched the object or not.
        """
        trajectory = self._objects.track(key)
        if not trajectory.base_known:
            self._learn_base(trajectory, live)
        if any(same(value, one) for one in trajectory.accepted):
            self._objects.maybe_forget(trajectory)
            return
        self._outside(trajectory, value, saw, trajectory.live_position)

    # ---- phases --------------------------------------------------------------------------------------------

    def _next_phase(self, event: events.ReversalBegun | events.CallReversed | events.ReversalFailed) -> Call:
        call = self._calls[event.call_id]
        call.phase = CALL_PHASES[call.phase, type(event).__name__]
        return call

    def _next_agent_phase(self, agent: Participant, event: Event) -> None:
        agent.phase = AGENT_PHASES[agent.phase, type(event).__name__]
