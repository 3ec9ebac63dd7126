"""The baseline of strict two-phase locking (Eswaran et al. 1976; Bernstein et al. 1987, chapter 3).

A call takes all its locks at once or waits for all of them: tool calls are short, and what one touches is
only known when it has run. Locks are held to the end of the agent, so the lock table needs no structure of
its own: who holds a shared lock on an object has read it, who holds an exclusive one has written it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from coagent.protocol.baselines.arrival import ArrivalOrder
from coagent.protocol.calls import BOTTOM, Call, Observation, Rank, position_of
from coagent.protocol.events import Aborted, Blocked, CallObserved, Committed, Restarted
from coagent.protocol.participants import Participant
from coagent.protocol.trajectory import Writer


class Locking(ArrivalOrder):
    """Strict 2PL with shared and exclusive locks on objects and scanned ranges.

    A cycle of waits is broken by withdrawing one of the agents in it, which starts again from its beginning:
    of all but the lowest the one that has made the fewest calls. It makes way for those that waited for it,
    so that the lowest agent at work always comes to its end, and by induction everybody does.
    """

    name = "2pl"
    holds_calls = True
    locks = True
    stages_all = True

    def __init__(self, *, early: bool = False, commits_itself: bool = False) -> None:
        super().__init__(early=early, commits_itself=commits_itself)
        self._waits: dict[Rank, frozenset[Rank]] = {}
        self._makes_way: dict[Rank, set[Rank]] = {}
        self.deadlocks = 0
        self._transitions[Blocked] = self._blocked
        self._transitions[Restarted] = self._restarted

    def blockers(self, agent: Participant, observation: Observation) -> frozenset[Rank]:
        return frozenset(rank for rank in self._holders(observation) if rank != agent.rank)

    def may_call(self, agent: Participant) -> bool:
        return not self._makes_way.get(agent.rank)

    def waiting(self, agent: Participant) -> bool:
        return agent.rank in self._waits

    def _holders(self, observation: Observation) -> Iterator[Rank]:
        trajectories = self._objects.trajectories
        for key, _ in observation.reads:
            if key in trajectories:
                yield from _ranks(trajectories[key].writers)
        for scan in observation.scans:
            for key, _ in self.written_under(scan.prefix, position_of(0, self._arrivals)):
                if scan.covers(key):
                    yield from _ranks(trajectories[key].writers)
        for key in observation.writes:
            if key in trajectories:
                yield from _ranks(trajectories[key].writers)
                yield from _ranks(trajectories[key].readers)
            for call in self._objects.scans.readers(key, BOTTOM, None):
                if any(scan.covers(key) for scan in call.seen.scans):
                    yield call.rank

    def _blocked(self, event: Blocked) -> None:
        self._waits[event.rank] = frozenset(event.by)
        cycle = self._cycle(event.rank)
        if cycle:
            self.deadlocks += 1
            lowest = min(cycle)
            younger = [rank for rank in cycle if rank != lowest]
            victim = min(younger, key=lambda rank: (len(self.agents[rank].calls), -rank))
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

    def _call_observed(self, event: CallObserved) -> Call:
        call = super()._call_observed(event)
        self._waits.pop(event.rank, None)
        self._passed(event.rank)
        return call

    def _passed(self, rank: Rank) -> None:
        """Nobody has to make way for that agent any more."""
        for others in self._makes_way.values():
            others.discard(rank)

    def _release(self, released: Rank) -> None:
        self._waits.pop(released, None)
        # Whoever waited looks again: its locks may be free now, or held by another one.
        self._waits = {rank: by for rank, by in self._waits.items() if released not in by}

    def _restarted(self, event: Restarted) -> None:
        agent = self.agents[event.rank]
        self._withdraw_all(agent)
        self._next_agent_phase(agent, event)
        agent.must_restart = False
        agent.restarts += 1
        self._makes_way[agent.rank] = {rank for rank, by in self._waits.items() if agent.rank in by}
        self._passed(agent.rank)
        self._release(agent.rank)

    def _ended_for_good(self, rank: Rank) -> None:
        self._makes_way.pop(rank, None)
        self._passed(rank)
        self._release(rank)

    def _committed(self, event: Committed) -> Participant:
        agent = super()._committed(event)
        self._ended_for_good(event.rank)
        return agent

    def _aborted(self, event: Aborted) -> Participant:
        agent = super()._aborted(event)
        self._ended_for_good(event.rank)
        return agent


def _ranks(calls: Iterable[Writer]) -> Iterator[Rank]:
    for call in calls:
        if isinstance(call, Call):
            yield call.rank
