"""The baseline of strict two-phase locking (Eswaran et al. 1976; Bernstein et al. 1987, chapter 3).

A call takes all its locks at once or waits for all of them: tool calls are short, and what one touches is
only known when it has run. Locks are held to the end of the agent, so the lock table needs no structure of
its own: who holds a shared lock on an object has read it, who holds an exclusive one has written it.
"""

from __future__ import annotations

from collections.abc import Iterator

from coagent.protocol.baselines.arrival import ArrivalOrder
from coagent.protocol.calls import Observation, Rank
from coagent.protocol.events import Aborted, Blocked, CallObserved, Restarted
from coagent.protocol.participants import Participant, Phase


class Locking(ArrivalOrder):
    """Strict 2PL with shared and exclusive locks on objects and scanned ranges.

    A cycle of waits is broken by withdrawing the agent in it that has made the fewest calls, which starts
    again from its beginning.
    """

    name = "2pl"
    locks = True
    stages_all = True

    def __init__(self) -> None:
        super().__init__()
        self._waits: dict[Rank, frozenset[Rank]] = {}
        self.deadlocks = 0
        self._transitions[Blocked] = self._blocked
        self._transitions[Restarted] = self._restarted

    def blockers(self, agent: Participant, observation: Observation) -> frozenset[Rank]:
        return frozenset(rank for rank in self._holders(observation) if rank != agent.rank)

    def waiting(self, agent: Participant) -> bool:
        return agent.rank in self._waits

    def _holders(self, observation: Observation) -> Iterator[Rank]:
        trajectories = self._objects.trajectories
        for key, _ in observation.reads:
            if key in trajectories:
                yield from (call.rank for call in trajectories[key].writers)
        for scan in observation.scans:
            for key, _ in self.written_under(scan.prefix, (0, self._arrivals)):
                if scan.covers(key):
                    yield from (call.rank for call in trajectories[key].writers)
        for key in observation.writes:
            if key in trajectories:
                yield from (call.rank for call in trajectories[key].writers)
                yield from (call.rank for call in trajectories[key].readers)
            for call in self._objects.scans.readers(key, (-1, 0), None):
                if any(scan.covers(key) for scan in call.scans):
                    yield call.rank

    def _blocked(self, event: Blocked) -> None:
        self._waits[event.rank] = frozenset(event.by)
        cycle = self._cycle(event.rank)
        if cycle:
            self.deadlocks += 1
            victim = min(cycle, key=lambda rank: (len(self.agents[rank].calls), -rank))
            self.agents[victim].must_restart = True

    def _cycle(self, start: Rank) -> list[Rank]:
        """Return the agents on a cycle of waits through `start`, or none."""
        paths = [[start]]
        seen = set()
        while paths:
            path = paths.pop()
            for rank in sorted(self._waits.get(path[-1], ())):
                if rank == start:
                    return path
                if rank not in seen and not self.agents[rank].must_restart:
                    seen.add(rank)
                    paths.append([*path, rank])
        return []

    def _call_observed(self, event: CallObserved) -> None:
        super()._call_observed(event)
        self._waits.pop(event.rank, None)

    def _release(self, released: Rank) -> None:
        self._waits.pop(released, None)
        # Whoever waited looks again: its locks may be free now, or held by another one.
        self._waits = {rank: by for rank, by in self._waits.items() if released not in by}

    def _restarted(self, event: Restarted) -> None:
        agent = self.agents[event.rank]
        self._withdraw_all(agent)
        agent.must_restart = False
        agent.restarts += 1
        self._release(agent.rank)

    def _advance(self) -> None:
        for rank in list(self._order):
            agent = self.agents[rank]
            if agent.phase is Phase.FINISHED and not self._owes(agent):
                self._settle(agent)
                self._release(rank)

    def _aborted(self, event: Aborted) -> None:
        super()._aborted(event)
        self._release(event.rank)
