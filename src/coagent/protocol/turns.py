"""Whose turn it is: gates, commits, promotions (rules 6, 7 and 10); and what is outstanding."""

from __future__ import annotations

from collections.abc import Iterator

from coagent.protocol.calls import Call, CallId, Footprint, Observation, Position, Rank, position_of
from coagent.protocol.conflicts import conflict, independent, kept_with, obstacles
from coagent.protocol.decisions import Effect, Gate, Obstacles, Ready
from coagent.protocol.events import Event
from coagent.protocol.inbox import Inbox, inbox
from coagent.protocol.keys import Key
from coagent.protocol.legality import OBJECTIONS
from coagent.protocol.owners import speaker
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.protocol.state import MtpoState
from coagent.protocol.trajectory import OutsideEdit, Trajectory
from coagent.protocol.values import UNLOADED, Unloaded, Value


class Turns(MtpoState):
    """What may happen when, and what has to be done next."""

    def objection(self, event: Event) -> str | None:
        kind = type(event)
        if kind not in self._transitions:
            return f"{kind.__name__} is no event of protocol {self.name!r}"
        return OBJECTIONS[kind](self, event)

    # ---- the order -----------------------------------------------------------------------------------------

    def refusal(self, agent: str, rank: Rank | None, after: Rank | None = None) -> str | None:
        if agent in self._names:
            return f"an agent named {agent!r} is already active"
        if after is not None and (after not in self.agents or self.agents[after].ended):
            return f"the agent of rank {after}, after which {agent!r} is to come, is not at work"
        if rank is None:
            return None
        if rank in self.agents:
            return f"rank {rank} belongs to agent {self.agents[rank].name!r}"
        if rank <= self._floor:
            return f"rank {rank} lies below work already done (the lowest free rank is {self._floor + 1})"
        return None

    def next_rank(self) -> Rank:
        return Rank(self._top + 1)

    def position(self, agent: Participant) -> Position:
        return agent.position

    def may_call(self, agent: Participant) -> bool:
        return True

    def _order_for(self, rank: Rank, after: Rank | None) -> int:
        """Return the order of an agent that joins, having made room for it."""
        if after is not None:
            self._floor = max(self._floor, rank)  # a rank says no more than that somebody comes last
            return self._room_at(self.agents[after].order + 1)
        above = min((other.order for other in self._order if other.rank > rank), default=None)
        below = [other.order for other in self._order if above is None or other.order < above]
        lowest = max(below, default=rank - 1) + 1
        if above is None or lowest < above:
            return max(rank, lowest) if above is None else min(max(rank, lowest), above - 1)
        return self._room_at(above)

    def _room_at(self, order: int) -> int:
        """Let nobody stand at an order: who does so, and who stands right above, moves up by one."""
        taken = {agent.order for agent in self._order}
        end = order
        while end in taken:
            end += 1
        if end > order:
            moved = [agent for agent in self.agents.values() if order <= agent.order < end]
            for agent in moved:
                agent.stand(agent.order + 1, agent.next_sequence)
            for call in {**self._calls, **self._under_way}.values():
                if order <= call.position[0] < end:
                    call.position = position_of(call.position[0] + 1, call.position[1])
            self._objects.follow(lambda one: one + 1 if order <= one < end else one)
        return order

    def _sort(self) -> None:
        self._order.sort(key=lambda agent: agent.order)

    def _below(self, agent: Participant) -> list[Participant]:
        return [other for other in self._order if other.order < agent.order]

    def waits_for(self, agent: Participant) -> list[Participant]:
        below = self._below(agent)
        if not self.early or agent.pinned or any(other.pinned for other in below):
            return below
        blocker = self._conflict_below(agent)
        return [other for other in below if other.order == blocker]

    # ---- irreversible calls (rule 6) -----------------------------------------------------------------------

    def its_turn(self, agent: Participant) -> bool:
        settled = agent.at_work and not agent.unread and not self._dirty.concerns(agent.rank)
        return settled and self._order[:1] == [agent] and not self._is_being_left()

    def gate(self, agent: Participant, gate: str | None) -> Gate:
        if gate == "stage" or self.stages_all:
            return Gate.STAGE
        if agent.unread:
            return Gate.TELL
        if not self.its_turn(agent):
            return Gate.WAIT
        if any(call.phase in (CallPhase.RUNNING, CallPhase.UNKNOWN) for call in agent.calls.values()):
            return Gate.WAIT  # what comes of it may be news to the agent
        if any(call.phase is CallPhase.STAGED for call in agent.calls.values()):
            return Gate.FIRST
        return Gate.RUN

    def _staged_due(self) -> Call | None:
        agent = self._order[0]
        if agent.phase is not AgentPhase.FINISHED or not self.its_turn(agent):
            return None
        return self.first_staged(agent)

    def first_staged(self, agent: Participant) -> Call | None:
        """Return the agent's first staged call, unless a call of it runs, or is unknown.

        What comes of that may be news to the agent, which then may want to have sent nothing.
        """
        calls = agent.calls.values()
        if any(call.phase in (CallPhase.RUNNING, CallPhase.UNKNOWN) for call in calls):
            return None
        return next((call for call in calls if call.phase is CallPhase.STAGED), None)

    # ---- commits (rule 7) ----------------------------------------------------------------------------------

    def may_commit(self, agent: Participant) -> str | None:
        """Say why an agent may not commit; None where it may."""
        if agent.unread:
            return f"agent {agent.name!r} has something to read"
        if self._dirty.concerns(agent.rank):
            return f"a call of agent {agent.name!r} has to run again"
        if self._owes(agent):
            return f"something of agent {agent.name!r} is under way"
        if self._order[0] is not agent:
            return f"agent {self._order[0].name!r} comes before {agent.name!r}"
        return None

    def _owes(self, agent: Participant) -> bool:
        """Tell whether a call has yet to run or end, or a target has yet to accept a write of the agent."""
        staged = any(call.phase is CallPhase.STAGED for call in agent.calls.values())
        return staged or self._busy(agent)

    def _busy(self, agent: Participant) -> bool:
        """Tell whether a run of the agent has yet to end, or a target has yet to accept a write of it."""
        if any(call.rank == agent.rank for call in self._under_way.values()):
            return True
        return any(
            self._writer_rank(trajectory) == agent.rank for trajectory in self._objects.unapplied.values()
        )

    def _writer_rank(self, trajectory: Trajectory) -> Rank | None:
        """Return the rank of the agent whose write is on top."""
        for writer in reversed(trajectory.writers):
            if not isinstance(writer, OutsideEdit):
                return writer.rank
        return None

    def _is_being_left(self) -> bool:
        """Tell whether an irreversible call of an agent that was aborted runs still.

        What it writes stands, below all who are at work (rule 8): before it has ended, nothing that they have
        seen is final.
        """
        return any(
            call.irreversible and call.phase is CallPhase.RUNNING and call.id not in self._calls
            for call in self._under_way.values()
        )

    def _commit_due(self) -> Rank | None:
        agent = self._order[0]
        due = agent.phase is AgentPhase.FINISHED and self.may_commit(agent) is None
        due = due and not self._is_being_left()
        return agent.rank if due else None

    # ---- promotions (rule 10) ------------------------------------------------------------------------------

    def promotion(self, agent: Participant) -> int | None:
        if not self.early or agent.pinned or not agent.at_work or self._order[0] is agent:
            return None
        if (
            agent.unread
            or self._dirty.concerns(agent.rank)
            or any(other.pinned for other in self._below(agent))
        ):
            return None
        if any(call.under_way is not None for call in agent.calls.values()):
            return None
        if agent.held_up_by is not None:
            rank, withdrawals = agent.held_up_by
            holder = self.agents.get(rank)
            if holder is not None and not holder.ended and withdrawals == self._withdrawals:
                return None  # footprints only grow while nothing is withdrawn
        if not self._goes_at_once(agent) and any(map(_has_acted, self._below(agent))):
            return None  # what it does yet could be news to somebody who can take nothing back
        if any(
            call.irreversible and call.position[0] < agent.order and not self._is_left_over(call)
            for call in self._under_way.values()
        ):
            return None  # what it reads is known when it has ended, and it is not run again
        blocker = self._conflict_below(agent)
        if blocker is None:
            return self._order[0].order - 1
        holders = [other.rank for other in self._order if other.order == blocker]
        agent.held_up_by = (holders[0], self._withdrawals) if holders else None
        return None

    def _promotion_due(self) -> tuple[Rank, int] | None:
        """Return who passes those below it, and its order then.

        Only an agent that has something to do at once, and nobody who has is passed: otherwise two agents
        could pass each other for ever.
        """
        if not self.early or self._commit_due() is not None or self._staged_due() is not None:
            return None
        return next(self.passers(), None)

    def passers(self) -> Iterator[tuple[Rank, int]]:
        if not self.early:
            return
        for agent in self._order[1:]:
            if agent.phase is not AgentPhase.FINISHED or (order := self.promotion(agent)) is None:
                continue
            if self.first_staged(agent) is not None or not self._owes(agent):
                yield agent.rank, order

    def _goes_at_once(self, agent: Participant) -> bool:
        """Tell whether an agent would commit as soon as it is promoted."""
        return agent.phase is AgentPhase.FINISHED and not self._owes(agent)

    def _conflict_below(self, agent: Participant) -> int | None:
        """Return the order of an agent below with which this one has something to do, if there is one.

        Calls of agents that have ended are gone, so whatever is found below belongs to one that may yet
        change.
        """
        order = agent.order
        for call in agent.calls.values():
            found = self._conflict_of(call, order)
            if found is not None:
                return found
        for call in self._under_way.values():
            touched = call.under_way
            if touched is None or call.position[0] >= order or self._is_left_over(call):
                continue
            if any(conflict(touched, own.footprint) for own in agent.calls.values()):
                return call.position[0]
        return None

    def _is_left_over(self, call: Call) -> bool:
        """Tell whether nobody knows what has become of a call whose agent has ended.

        Nobody waits for that: it may take for ever. If it turns out to have had its effect, that comes below
        everybody.
        """
        return call.phase is CallPhase.UNKNOWN and call.id not in self._calls

    def _conflict_of(self, call: Call, order: int) -> int | None:
        objects = self._objects
        for key in call.writes:
            found = objects.trajectories[key].touched_below(order)
            if found is None and objects.scans:
                found = objects.scans.scanned_below(key, order)
            if found is not None:
                return found
        for key, _ in call.seen.reads:
            found = objects.trajectories[key].written_below(order)
            if found is not None:
                return found
        for scan in call.seen.scans:
            for key in objects.written.under(scan.prefix):
                if scan.covers(key):
                    found = objects.trajectories[key].written_below(order)
                    if found is not None:
                        return found
        return None

    def _move(self, agent: Participant, order: int) -> None:
        """Give an agent another order. Nobody in between has anything to do with it, so no value changes."""
        before = agent.order
        agent.stand(order, agent.next_sequence)
        objects = self._objects
        touched: dict[Key, Trajectory] = {}
        for call in agent.calls.values():
            call.position = position_of(order, call.position[1])
            for key in [*call.writes, *(key for key, _ in call.seen.reads)]:
                touched[key] = objects.trajectories[key]
        for trajectory in touched.values():
            trajectory.move(before, order)
        for call in agent.calls.values():
            for prefix in {scan.prefix for scan in call.seen.scans}:
                objects.scans.reorder(prefix)
        self._sort()

    # ---- what is outstanding -------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        if self._dirty:
            return True
        if not self._order:
            return False
        lowest = self._order[0]
        if lowest.phase is AgentPhase.FINISHED and not lowest.unread:
            return True
        return self.early and self._promotion_due() is not None

    @property
    def has_effects(self) -> bool:
        return bool(self._objects.unapplied)

    def effects(self) -> tuple[Effect, ...]:
        return self._objects.effects(self._dirty.written() if self._dirty else ())

    def ready(self) -> Ready:
        if not self._order:
            return Ready(apply=self.effects())
        promote = self._promotion_due()
        return Ready(
            self._reexecutable(),
            self.effects(),
            promote,
            self._staged_due(),
            self._commit_due() if promote is None else None,
        )

    def unsettled(self) -> set[Key]:
        return self._dirty.written() if self._dirty else set()

    def _reexecutable(self) -> tuple[Call, ...]:
        if not self._dirty:
            return ()
        waiting = self._dirty.in_order()
        stuck = self._objects.stuck
        return tuple(
            call
            for call in independent(waiting)
            if call.under_way is None
            and not (stuck and any(key in stuck for key in call.footprint.reads | call.footprint.writes))
        )

    # ---- questions -----------------------------------------------------------------------------------------

    @property
    def forgotten(self) -> int:
        return self._objects.forgotten

    @property
    def stuck(self) -> dict[Key, str]:
        return self._objects.stuck

    def written_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        return self._objects.written_under(prefix, position)

    def writers_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Position | None]]:
        return self._objects.writers_under(prefix, position)

    def known_under(self, prefix: str, position: Position) -> Iterator[tuple[Key, Value]]:
        return self._objects.known_under(prefix, position)

    def base_known(self, key: Key) -> bool:
        return self._objects.base_known(key)

    def holds(self, observation: Observation, position: Position) -> bool:
        return self._objects.holds(observation, position)

    def version(self, key: Key) -> int:
        trajectory = self._objects.trajectories.get(key)
        return 0 if trajectory is None else trajectory.version

    def may_hold(self, key: Key) -> tuple[Value, ...]:
        return tuple(self._objects.trajectories[key].accepted)

    def inbox(self, agent: Participant, *, apart: bool = True, said: str = "") -> Inbox:
        def base(key: Key) -> Value | Unloaded:
            trajectory = self.trajectory(key)
            return UNLOADED if trajectory is None or not trajectory.base_known else trajectory.base

        return inbox(agent, apart=apart, said=said, base=base)

    def underway(self, call_id: CallId) -> Call | None:
        return self._under_way.get(call_id)

    def owners(self) -> set[str]:
        found = {agent.owner for agent in self._order}
        found.update(call.runner for call in self._under_way.values() if call.phase is not CallPhase.UNKNOWN)
        return found - {""}

    def left_by(self, owner: str) -> tuple[list[Participant], list[Call]]:
        runs = [
            call
            for call in self._under_way.values()
            if call.runner == owner and call.phase is not CallPhase.UNKNOWN
        ]
        return [agent for agent in self._order if agent.owner == owner], runs

    @property
    def unknown(self) -> list[Call]:
        return [call for call in self._under_way.values() if call.phase is CallPhase.UNKNOWN]

    def foreign(self, event: Event, owner: str) -> str | None:
        rank = speaker(self, event)
        agent = None if rank is None else self.agents.get(rank)
        if agent is None or agent.ended or agent.owner == owner:
            return None
        whose = "nobody's" if not agent.owner else "another process'"
        return f"agent {agent.name!r} is {whose} by now (epoch {agent.epoch})"

    def is_dirty(self, call: Call) -> bool:
        return call.id in self._dirty

    def obstacles(self, position: Position, footprint: Footprint, own: Call | None = None) -> Obstacles:
        return obstacles(
            position,
            footprint,
            self._declared.values(),
            self._under_way.values(),
            self._dirty.in_order(),
            own,
        )

    def kept_calls(self, agent: Participant) -> list[Call]:
        kept = kept_with(list(agent.calls.values()))
        return [call for call in agent.calls.values() if call in kept]


def _has_acted(agent: Participant) -> bool:
    """Tell whether a call of an agent has run that cannot be taken back."""
    return any(call.has_happened for call in agent.calls.values())
