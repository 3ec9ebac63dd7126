"""The baseline without control: calls count in order of arrival, and nobody is told anything."""

from __future__ import annotations

from coagent.protocol.calls import Call, Cause, Position
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant, Phase
from coagent.protocol.trajectory import Trajectory
from coagent.protocol.values import Value


class Naive(Mtpo):
    """Reads see the live value, writes take effect as they come, commits wait for nobody.

    It is MTPO with one order for all calls, that of arrival: then no call is ever late. Undoing a call takes
    its write out and re-executes nothing.
    """

    name = "naive"

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

    def _spread(self, trajectory: Trajectory, position: Position, value: Value, cause: Cause) -> None:
        """Nobody is asked whether what it saw still holds."""

    def _staged_call_due(self) -> Call | None:
        for rank in self._order:
            agent = self.agents[rank]
            if agent.phase is Phase.FINISHED:
                for call in agent.calls.values():
                    if call.staged and not call.started:
                        return call
        return None

    def _advance(self) -> None:
        # A call cannot be folded away while an earlier arrival of another agent may still be undone, so
        # finished agents stay until nobody is left who could.
        agents = [self.agents[rank] for rank in self._order]
        for agent in agents:
            if agent.phase is Phase.FINISHED and not self._owes(agent):
                agent.phase = Phase.COMMITTED
        if any(agent.phase is not Phase.COMMITTED for agent in agents):
            return
        for trajectory in list(self._objects.trajectories.values()):
            trajectory.fold(0)
        for agent in agents:
            for call in agent.calls.values():
                for scan in call.scans:
                    self._objects.scans.fold(scan, 0)
        for agent in agents:
            self._end(agent, Phase.COMMITTED, list(self._objects.trajectories.values()))
