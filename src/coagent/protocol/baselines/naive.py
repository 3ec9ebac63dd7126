"""The baseline without control: calls count in order of arrival, and nobody is told anything."""

from __future__ import annotations

from coagent.protocol.baselines.arrival import ArrivalOrder
from coagent.protocol.participants import Phase


class Naive(ArrivalOrder):
    """Reads see the live value, writes take effect as they come, commits wait for nobody."""

    name = "naive"

    def _advance(self) -> None:
        # A call cannot be folded away while an earlier arrival of another agent may still be undone, so
        # finished agents stay until nobody is left who could.
        agents = [self.agents[rank] for rank in self._order]
        for agent in agents:
            if agent.phase is Phase.FINISHED and not self._owes(agent):
                agent.phase = Phase.COMMITTED
                self._active_names.discard(agent.name)
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
