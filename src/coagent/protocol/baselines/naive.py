"""The baseline without control: calls count in order of arrival, and nobody is told anything."""

from __future__ import annotations

from coagent.protocol import events
from coagent.protocol.baselines.arrival import ArrivalOrder
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase


class Naive(ArrivalOrder):
    """Reads see the live value, writes take effect as they come, commits wait for nobody."""

    name = "naive"

    def _committed(self, event: events.Committed) -> Participant:
        # A call cannot be folded away while an earlier arrival of another agent may still be undone, so
        # agents that have committed stay until nobody is left who could.
        agent = self.agents[event.rank]
        agent.phase = AgentPhase.COMMITTED
        self._names.pop(agent.name, None)
        if all(other.phase is AgentPhase.COMMITTED for other in self._order):
            self._fold_everything()
        return agent

    def _fold_everything(self) -> None:
        trajectories = list(self._objects.trajectories.values())
        for trajectory in trajectories:
            trajectory.fold(0)
        for agent in list(self._order):
            for call in agent.calls.values():
                for prefix in {scan.prefix for scan in call.seen.scans}:
                    self._objects.scans.remove(prefix, call)
        for agent in list(self._order):
            self._end(agent, AgentPhase.COMMITTED, trajectories)

    def _aborted(self, event: events.Aborted) -> Participant:
        agent = super()._aborted(event)
        if self._order and all(other.phase is AgentPhase.COMMITTED for other in self._order):
            self._fold_everything()
        return agent
