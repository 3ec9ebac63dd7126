"""What the baselines share that know no order but that of arrival."""

from __future__ import annotations

from coagent.protocol.calls import Call, Cause, Position
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant, Phase
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import Value


class ArrivalOrder(Mtpo):
    """Calls count in order of arrival: MTPO with one order for all calls, in which none is ever late.

    Undoing a call takes its write out and re-executes nothing, and nobody is told anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self._arrivals = 0

    def position(self, agent: Participant) -> Position:
        return (0, self._arrivals)

    def _new_call(self, rank: int, tool: str, arguments: Value) -> Call:
        call = super()._new_call(rank, tool, arguments)
        self._arrivals += 1
        return call

    def may_run_irreversible(self, agent: Participant) -> bool:
        return True

    def _spread(
        self, trajectory: Trajectory, position: Position, value: Value, cause: Cause, base: Value
    ) -> None:
        """Nobody is asked whether what it saw still holds."""

    def _staged_call_due(self) -> Call | None:
        for rank in self._order:
            agent = self.agents[rank]
            if agent.phase is Phase.FINISHED:
                for call in agent.calls.values():
                    if call.staged and not call.started:
                        return call
        return None

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
                self._objects.refresh_live(trajectory)
        for call in agent.calls.values():
            reads, scans = call.reads, call.scans
            call.reads, call.scans, call.writes = {}, {}, {}
            self._forget_reads(call, reads, scans)
        self._end(agent, Phase.COMMITTED, touched)
