"""The replay: what each record means for the state, and whether it may happen in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coagent.audit.actors import LOST, NOTHING, OF_AGENTS, OF_CALLS, STAGED, Agent, Call
from coagent.audit.findings import Finding
from coagent.audit.parts import UNKNOWN, same
from coagent.audit.picture import Show, brief
from coagent.audit.places import order_for, unpassable
from coagent.audit.records import Footprint, NotUnderstood, Seen, parsed
from coagent.audit.state import State


class Replay(State):
    """Takes records, one after another."""

    def __init__(self, protocol: str, order: str, show: Show = brief) -> None:
        super().__init__(protocol, order, show)
        self.top = -1
        self.acts: dict[str, Callable[..., None]] = {
            "Joined": self._joined, "Attached": self._attached, "Said": self._said,
            "CallObserved": self._call_observed,
            "CallStaged": self._call_staged, "CallBegun": self._call_begun, "RunBegun": self._run_begun,
            "RunLost": self._run_lost, "CallRan": self._call_ran, "CallReexecuted": self._call_reexecuted,
            "ReversalBegun": self._reversal_begun, "CallReversed": self._call_reversed,
            "ReversalFailed": self._reversal_failed, "CallUndone": self._call_undone,
            "CallAmended": self._call_amended, "StagedAmended": self._staged_amended,
            "NoticesDelivered": self._notices_delivered, "Finished": self._finished,
            "Promoted": self._promoted, "Committed": self._committed, "AbortBegun": self._abort_begun,
            "Aborted": self._aborted,
            "Blocked": self._blocked, "Restarted": self._restarted, "EffectApplied": self._effect_applied,
            "EffectRefused": self._effect_refused, "Stuck": self._stuck, "Resolved": self._resolved,
            "OutsideWrite": self._outside_write,
        }  # fmt: skip

    def feed(self, number: int, text: str) -> None:
        """Take the next record."""
        self.tally.records += 1
        self.number = number
        try:
            record = parsed(number, text)
            self.acts[record.kind](*record.fields)
        except NotUnderstood as error:
            self._damaged(f"record {number} is no event of this format ({error})")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            self._damaged(f"record {number} makes no sense here ({type(error).__name__}: {error})"[:300])

    def _damaged(self, text: str) -> None:
        self.findings.add(Finding("damaged log", "unreadable record", text, self.number))

    def illegal(self, text: str, agent: Agent | None = None, call: Call | None = None) -> None:
        """Note an event that may not happen."""
        self.tally.passed_over += 1
        agent = call.agent if call is not None and agent is None else agent
        self.findings.add(
            Finding(
                "damaged log",
                "event out of place",
                f"record {self.number}: {text}",
                self.number,
                agents=() if agent is None else (agent.name,),
                calls=() if call is None else (call.id,),
            )
        )

    # ---- who may do what -----------------------------------------------------------------------------------

    def _agent(self, rank: int, kind: str) -> Agent | None:
        """Return an agent that may do this now; an active one that had finished is active again."""
        agent = self.agents.get(rank)
        if agent is None:
            self.illegal(f"{kind} of rank {rank}, which nobody at work has")
            return None
        if kind not in OF_AGENTS[agent.phase]:
            self.illegal(f"{kind} of agent {agent.name!r}, which is {agent.phase}", agent)
            return None
        return agent

    def _standing(self, call_id: str, kind: str) -> Call | None:
        """Return a call to which this may happen now, in its next phase."""
        call = self.calls.get(call_id)
        if call is None:
            self.illegal(f"{kind} of {call_id!r}, which is no standing call")
            return None
        return self._next(call, kind)

    def _next(self, call: Call, kind: str) -> Call | None:
        phase = OF_CALLS.get(call.phase, {}).get(kind)
        if phase is None:
            self.illegal(f"{kind} of {call.id}, which is {call.phase}", call=call)
            return None
        call.phase = phase
        return call

    def _repaired(self, call_id: str, kind: str, *, heard: bool = True) -> Call | None:
        """Return a call that its agent may withdraw or replace, which is at work then if it knows of that."""
        call = self.calls.get(call_id)
        if call is not None and (call.happened or call.applied):
            why = "is irreversible and has run" if call.happened else "has to be reversed first"
            self.illegal(f"{kind} of {call_id}, which {why}", call=call)
            return None
        if call is not None and call.agent.phase == "aborting":
            if kind not in OF_AGENTS["aborting"] or (kind == "CallAmended" and call.touching is None):
                self.illegal(f"{kind} of {call_id}, whose agent is being aborted", call=call)
                return None
            return self._standing(call_id, kind)
        call = self._standing(call_id, kind)
        if call is not None and heard:
            call.agent.phase = "active"
            call.agent.kept.clear()
        return call

    def _new_call(self, agent: Agent, tool: str, arguments: Any) -> Call:
        place = self.tally.calls if self.by_arrival else agent.sequence
        call = Call(agent, agent.sequence, place, tool, arguments, self.number)
        agent.sequence += 1
        agent.phase = "active"
        self.calls[call.id] = agent.calls[call.id] = call
        self.tally.calls += 1
        return call

    def _runs_for_good(self, call: Call) -> None:
        """An irreversible call begins to run: nothing may be unread, and nobody below."""
        if self.by_arrival:
            return
        agent = call.agent
        below = [other.name for other in self.agents.values() if other.order < agent.order]
        if agent.pending or agent.disturbed:
            unread = ", ".join(agent.pending) or ", ".join(agent.disturbed)
            self.illegal(
                f"{call.id} cannot be taken back, and ran over an unread notice ({unread})", call=call
            )
        elif below:
            self.illegal(
                f"{call.id} cannot be taken back, and ran while {below[0]!r} was below it", call=call
            )

    # ---- agents --------------------------------------------------------------------------------------------

    def _joined(
        self, name: str, rank: int, pinned: bool, after: int | None, owner: str, on_death: str
    ) -> None:
        if name in self.names or rank in self.agents:
            self.illegal(f"an agent {name!r} of rank {rank} joins, and there is one")
            return
        if after is not None and after not in self.agents:
            self.illegal(f"agent {name!r} joins after rank {after}, which nobody at work has")
            return
        agent = Agent(name, rank, order_for(self, rank, after), pinned, self.number)
        agent.owner = owner
        agent.sequence += max(
            (call.sequence for call in self.left.values() if call.agent.name == name), default=0
        )
        self.agents[rank] = self.names[name] = agent
        self.top = max(self.top, rank)
        self.tally.joined += 1

    def _attached(self, rank: int, owner: str, on_death: str) -> None:
        agent = self._agent(rank, "Attached")
        if agent is not None:
            agent.owner = owner

    def _said(self, rank: int, text: str, goal: bool, ago_ms: int) -> None:
        self._agent(rank, "Said")

    def _finished(self, rank: int) -> None:
        agent = self._agent(rank, "Finished")
        if agent is None:
            return
        if agent.pending or agent.disturbed:
            unread = ", ".join([*agent.pending, *agent.disturbed])
            self.illegal(f"agent {agent.name!r} finishes with something to read ({unread})", agent)
            return
        agent.phase = "finished"

    def _blocked(self, rank: int, by: list[int]) -> None:
        self._agent(rank, "Blocked")

    def _restarted(self, rank: int) -> None:
        agent = self._agent(rank, "Restarted")
        if agent is not None:
            self.withdraw_all(agent)
            agent.phase = "active"

    def _promoted(self, rank: int, order: int) -> None:
        agent = self._agent(rank, "Promoted")
        if agent is None:
            return
        why = unpassable(self, agent, order)
        if why is not None:
            self.illegal(f"agent {agent.name!r} is promoted, though {why}", agent)
            return
        agent.order = order
        for call in agent.calls.values():
            for key in call.writes:
                self.things.all[key].writes.sort(key=lambda write: write.position)

    def _committed(self, rank: int) -> None:
        agent = self._agent(rank, "Committed")
        if agent is not None:
            self.commit(agent)

    def commit(self, agent: Agent) -> None:
        """Let an agent commit, having looked at what it rests on."""
        self.tally.committed += 1
        self.fold(agent)
        self.end(agent, "committed")

    def _abort_begun(self, rank: int, reason: str, owner: str) -> None:
        agent = self._agent(rank, "AbortBegun")
        if agent is not None:
            agent.phase, agent.owner = "aborting", owner

    def _aborted(self, rank: int, reason: str) -> None:
        agent = self._agent(rank, "Aborted")
        if agent is None:
            return
        busy = [
            call.id
            for call in agent.calls.values()
            if call.touching is not None and not call.irreversible and call.phase != "unknown"
        ]
        if busy:
            self.illegal(f"agent {agent.name!r} aborts while {busy[0]} is under way", agent)
            return
        self.abort(agent)

    def abort(self, agent: Agent) -> None:
        """Let an agent abort."""
        self.tally.aborted += 1
        self.withdraw_all(agent)
        self.end(agent, "aborted")

    # ---- calls ---------------------------------------------------------------------------------------------

    def _call_observed(
        self, rank: int, tool: str, arguments: Any, seen: Seen, irreversible: bool, *_times: int | None
    ) -> None:
        agent = self._agent(rank, "CallObserved")
        if agent is None:
            return
        call = self._new_call(agent, tool, arguments)
        call.irreversible = irreversible
        if irreversible:
            self._runs_for_good(call)
        if irreversible or seen.writes:
            agent.kept.clear()
        self.observe(call, seen)
        if irreversible:
            self.ran_for_good(call)
        self.tell(call)

    def _call_staged(self, rank: int, tool: str, arguments: Any) -> None:
        agent = self._agent(rank, "CallStaged")
        if agent is not None:
            call = self._new_call(agent, tool, arguments)
            call.irreversible, call.phase = True, "staged"
            agent.kept.clear()
            call.seen = call.told = STAGED

    def _call_begun(
        self,
        rank: int,
        tool: str,
        arguments: Any,
        footprint: Footprint,
        irreversible: bool,
        owner: str,
        _: str,
    ) -> None:
        agent = self._agent(rank, "CallBegun")
        if agent is not None:
            call = self._new_call(agent, tool, arguments)
            call.irreversible, call.phase = irreversible, "running"
            agent.kept.clear()
            if irreversible:
                self._runs_for_good(call)
            call.touching, call.runner = footprint, owner

    def _run_begun(
        self, call_id: str, footprint: Footprint, owner: str, intent: str, arguments: Any, prepared: Any
    ) -> None:
        call = self.calls.get(call_id) or self.left.get(call_id)
        if call is None:
            self.illegal(f"RunBegun of {call_id!r}, which is no standing call")
            return
        if call.phase == "running" and prepared is None:
            self.illegal(f"RunBegun of {call_id}, which is running", call=call)
            return
        never = call.phase != "running" and (call.irreversible or arguments is not None)
        if never and call.agent.phase == "aborting":
            self.illegal(f"RunBegun of {call_id}, whose agent is being aborted", call=call)
            return
        if call.phase == "staged" and call_id in self.calls:
            self._runs_for_good(call)
        if self._next(call, "RunBegun") is None:
            return
        if arguments is not None:
            call.arguments, call.lapsed = arguments, False
        call.touching, call.runner = footprint, owner

    def _run_lost(self, call_id: str) -> None:
        call = self.calls.get(call_id) or self.left.get(call_id)
        if call is None or self._next(call, "RunLost") is None:
            if call is None:
                self.illegal(f"RunLost of {call_id!r}, which does not run")
            return
        if call.told is NOTHING:
            call.told = LOST

    def _stop(self, call: Call) -> None:
        call.touching = None
        self.left.pop(call.id, None)

    def _call_ran(self, call_id: str, seen: Seen) -> None:
        call = self.calls.get(call_id) or self.left.get(call_id)
        if call is None or call.phase not in ("running", "unknown"):
            self.illegal(f"CallRan of {call_id!r}, which does not run", call=call)
            return
        gone = call.id in self.calls and call.agent.owner != call.runner
        self._stop(call)
        call.phase, call.runner = "lapsed" if call.lapsed else "standing", ""
        if call.id not in self.calls:
            for key, value in {} if seen.error is not None else seen.writes.items():
                thing = self.things.track(key)
                if not thing.sure and not thing.writes and key in seen.bases:
                    thing.learn(seen.bases[key])
                self.make_base(thing, value, call.id)
            return
        promised = call.told is NOTHING
        lost = call.told is LOST
        self.observe(call, seen)
        if call.irreversible:
            self.ran_for_good(call)
        if lost or (promised and gone):
            self.review(call)
        elif promised or seen.error is None:
            self.tell(call)
        else:
            self.review(call)

    def _call_reexecuted(self, call_id: str, seen: Seen, _took_ms: int | None) -> None:
        call = self._standing(call_id, "CallReexecuted")
        if call is not None:
            self._stop(call)
            if call.lapsed:
                call.phase = "lapsed"
            self.observe(call, seen)
            self.review(call)

    def _reversal_begun(self, call_id: str, footprint: Footprint, owner: str) -> None:
        call = self._standing(call_id, "ReversalBegun")
        if call is not None:
            call.touching, call.runner = footprint, owner

    def _call_reversed(self, call_id: str, cause: Any) -> None:
        call = self._standing(call_id, "CallReversed")
        if call is not None:
            self._stop(call)

    def _reversal_failed(self, call_id: str, error: str) -> None:
        call = self._standing(call_id, "ReversalFailed")
        if call is not None:
            self._stop(call)
            for key in call.writes:
                self.get_stuck(self.things.all[key], error, half_reversed=True)

    def _call_undone(self, call_id: str, person: str) -> None:
        call = self._repaired(call_id, "CallUndone")
        if call is not None:
            self._stop(call)
            self.remove(call)

    def _call_amended(
        self, call_id: str, arguments: Any, seen: Seen, heard: bool, _took_ms: int | None
    ) -> None:
        call = self._repaired(call_id, "CallAmended", heard=heard)
        if call is not None:
            self._stop(call)
            call.arguments, call.lapsed = arguments, False
            self.observe(call, seen)
            if heard:
                self.tell(call)
            else:
                self.review(call)

    def _staged_amended(self, call_id: str, arguments: Any) -> None:
        call = self._repaired(call_id, "StagedAmended")
        if call is not None:
            call.arguments = arguments

    # ---- notices -------------------------------------------------------------------------------------------

    def _notices_delivered(self, rank: int, call_ids: list[str], keys: list[str]) -> None:
        agent = self._agent(rank, "NoticesDelivered")
        if agent is None:
            return
        agent.phase = "active"
        for call_id in call_ids:
            call = agent.pending.get(call_id)
            if call is not None:
                self.tally.notices += 1
                self.told(call)
                self.tell(call)
        for key in keys:
            agent.disturbed.pop(key, None)

    def ran_for_good(self, call: Call) -> None:
        """An irreversible call has run: what it saw is not looked at again."""

    def told(self, call: Call) -> None:
        """An agent is told of what a call returns now."""

    def tell(self, call: Call) -> None:
        """Take it that the agent knows what a call returns now."""
        call.agent.pending.pop(call.id, None)
        call.told = call.seen
        if call.seen.error is not None:
            call.lapsed = True
            if call.touching is None:
                call.phase = "lapsed"

    def review(self, call: Call) -> None:
        """Note whether the agent has to be told of a call."""
        if call.pending:
            call.agent.pending[call.id] = call
        else:
            call.agent.pending.pop(call.id, None)

    # ---- objects -------------------------------------------------------------------------------------------

    def _effect_applied(self, key: str, version: int) -> None:
        thing = self.things.outstanding(key, version)
        if thing is None:
            return
        stuck = self.things.stuck.get(key)
        if stuck is not None and not stuck.half_reversed:
            self._not_stuck(key)
        self.things.taken(thing)
        if thing.writes and not thing.writes[-1].edit:
            thing.writes[-1].call.accepted.add(key)

    def _effect_refused(self, key: str, version: int, error: str) -> None:
        thing = self.things.outstanding(key, version)
        if thing is None:
            return
        top = thing.writes[-1] if thing.writes else None
        if top is None or top.edit or key in top.call.accepted or top.call.happened:
            self.get_stuck(thing, error, half_reversed=False)
            return
        call = top.call
        self.observe(call, Seen(call.seen.reads, call.seen.scans, {}, {}, None, error))
        self.review(call)

    def _stuck(self, key: str, version: int, error: str) -> None:
        thing = self.things.outstanding(key, version)
        if thing is not None:
            self.get_stuck(thing, error, half_reversed=False)

    def _resolved(self, key: str, how: str, value: Any) -> None:
        if key not in self.things.stuck:
            return
        self._not_stuck(key)
        thing = self.things.all.get(key)
        if how == "accept" and thing is not None and thing.accepted:
            if thing.live is not UNKNOWN and same(value, thing.live):
                self.things.taken(thing)
            else:
                self.edit(thing, value, thing.live, len(thing.accepted) - 1)
                thing.written = "outside"

    def _not_stuck(self, key: str) -> None:
        del self.things.stuck[key]
        for agent in self.agents.values():
            agent.disturbed.pop(key, None)

    def _outside_write(self, key: str, value: Any, behind: list[Any], person: str) -> None:
        self.outside(key, value, behind, person)
