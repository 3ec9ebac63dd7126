"""The baseline of optimistic concurrency control (Kung & Robinson 1981), with writes in place.

Agents read and write the live state unhindered. An agent that finishes is validated against what has been
committed: every value that it read must be what it would read if it ran now, after all that have committed.
If so, it is next in the order. If not, its writes are undone and it runs again from its beginning.

Live state cannot be buffered, so agents see each other's uncommitted writes; validation catches those who
built on one that was undone or came to stand later in the order. After its second failure an agent starves,
and then runs when nobody else is under way, as Kung & Robinson's section 3 has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from coagent.protocol.baselines.arrival import ArrivalOrder
from coagent.protocol.events import Committed, Finished, Restarted
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase
from coagent.protocol.premises import scan_holds
from coagent.protocol.values import Value, same, selected

_FAILURES_MAX = 2


class Optimistic(ArrivalOrder):
    """OCC with backward validation at finish."""

    name = "occ"
    holds_calls = True
    stages_all = True

    def __init__(self, *, early: bool = False, commits_itself: bool = False) -> None:
        super().__init__(early=early, commits_itself=commits_itself)
        # What was committed or undone while others were under way: their scans may have seen it otherwise.
        self._recent: dict[Key, Value] = {}
        self._transitions[Restarted] = self._restarted

    def may_call(self, agent: Participant) -> bool:
        starving = [other for other in self._order if other.restarts >= _FAILURES_MAX]
        if not starving:
            return True
        if agent not in starving:
            return bool(agent.calls)  # who is under way comes to its end; nobody else begins
        if any(other.calls for other in self._order if other not in starving):
            return False
        return agent is next((other for other in starving if other.calls), starving[0])

    def its_turn(self, agent: Participant) -> bool:
        return self._valid(agent)

    def must_begin_again(self, agent: Participant) -> bool:
        return agent.must_restart or not self._valid(agent)

    def _finished(self, event: Finished) -> None:
        agent = self.agents[event.rank]
        if self._valid(agent):
            super()._finished(event)
        else:
            agent.must_restart = True

    def _valid(self, agent: Participant) -> bool:
        """Tell whether the agent would have seen the same, had it run now over the committed state."""
        own: dict[Key, Value] = {}
        trajectories = self._objects.trajectories
        for call in agent.calls.values():
            for (key, selector), seen in call.seen.reads.items():
                if trajectories[key].base_known:
                    now = own[key] if key in own else trajectories[key].base
                    if not same(selected(now, selector), seen):
                        return False
            for scan, seen in call.seen.scans.items():
                for key, base in self._bases_under(scan.prefix):
                    now = own.get(key, base)
                    if scan.covers(key) and not scan_holds(scan, seen, key, now, None):
                        return False
            own.update(call.writes)
        return True

    def _bases_under(self, prefix: str) -> Iterator[tuple[Key, Value]]:
        """Yield the committed values of all objects that anybody has written while agents were under way."""
        for key in self._objects.written.under(prefix):
            yield key, self._objects.trajectories[key].base
        for key, value in self._recent.items():
            if key.startswith(prefix):
                yield key, value

    def _settle(self, agent: Participant) -> None:
        self._recent.update(
            {key: value for call in agent.calls.values() for key, value in call.writes.items()}
        )
        super()._settle(agent)
        if not self._order:
            self._recent.clear()

    def _withdraw_all(self, agent: Participant) -> None:
        for call in agent.calls.values():
            for key in call.writes:
                self._recent[key] = self._objects.trajectories[key].base
        super()._withdraw_all(agent)

    def _restarted(self, event: Restarted) -> None:
        agent = self.agents[event.rank]
        self._withdraw_all(agent)
        agent.must_restart = False
        agent.phase = AgentPhase.ACTIVE
        agent.restarts += 1

    def _committed(self, event: Committed) -> Participant:
        agent = self.agents[event.rank]
        if self._valid(agent):
            return super()._committed(event)
        agent.phase = AgentPhase.ACTIVE  # somebody committed while its last effects were on their way
        agent.must_restart = True
        return agent
