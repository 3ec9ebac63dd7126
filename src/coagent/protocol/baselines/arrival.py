"""What the baselines share that know no order but that of arrival."""

from __future__ import annotations

from collections.abc import Mapping

from coagent.protocol import events
from coagent.protocol.calls import NOTHING, Call, Cause, Position, Rank, position_of
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import Value


class ArrivalOrder(Mtpo):
    """Calls count in order of arrival: MTPO with one order for all calls, in which none is ever late.

    Undoing a call takes its write out and re-executes nothing, and nobody is told anything.
    """

    resumable = False
    notifies = False
    reads_may_wait = False  # their positions count the calls of everybody

    def __init__(self, *, early: bool = False, commits_itself: bool = False) -> None:
        super().__init__(early=False, commits_itself=commits_itself)
        self._arrivals = 0

    def position(self, agent: Participant) -> Position:
        return position_of(0, self._arrivals)

    def _new_call(self, rank: Rank, tool: str, arguments: Mapping[str, Value]) -> Call:
        call = super()._new_call(rank, tool, arguments)
        self._arrivals += 1
        return call

    def its_turn(self, agent: Participant) -> bool:
        return True

    def waits_for(self, agent: Participant) -> list[Participant]:
        return []

    def _spread(
        self, trajectory: Trajectory, position: Position, value: Value, cause: Cause, base: Value
    ) -> None:
        """Nobody is asked whether what it saw still holds."""

    def _mark(self, call: Call, cause: Cause) -> None:
        """Nothing runs again."""

    @property
    def has_work(self) -> bool:
        return any(agent.phase is AgentPhase.FINISHED for agent in self._order)

    def may_commit(self, agent: Participant) -> str | None:
        return f"something of agent {agent.name!r} is under way" if self._owes(agent) else None

    def _commit_due(self) -> Rank | None:
        for agent in self._order:
            if agent.phase is AgentPhase.FINISHED and self.may_commit(agent) is None:
                return agent.rank
        return None

    def _staged_due(self) -> Call | None:
        for agent in self._order:
            if agent.phase is AgentPhase.FINISHED and (call := self.first_staged(agent)) is not None:
                return call
        return None

    def _committed(self, event: events.Committed) -> Participant:
        agent = self.agents[event.rank]
        self._settle(agent)
        return agent

    def _settle(self, agent: Participant) -> None:
        """Make the agent's writes part of the base, whatever others have written meanwhile."""
        touched = self._touched(agent)
        for call in agent.calls.values():
            for key, value in call.writes.items():
                trajectory = self._objects.trajectories[key]
                trajectory.remove_writer(call)
                trajectory.base = value
        for trajectory in touched:
            if trajectory.base_known:
                self._settle_edits(trajectory)
                self._objects.refresh_live(trajectory)
        for call in agent.calls.values():
            old, call.seen, call.writes = call.seen, NOTHING, {}
            self._forget_reads(call, old)
        self._end(agent, AgentPhase.COMMITTED, touched)
