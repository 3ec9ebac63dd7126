"""What waits in a process to be recorded with what comes next: calls that only read, and what agents said.

Nobody else has to know of either at once. The calls are premises of agents of this process, which would die
with it; whoever hands results to another process flushes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from coagent.protocol.calls import CallId, call_id, position_of
from coagent.protocol.events import CallObserved, Said
from coagent.protocol.kernel import Kernel
from coagent.protocol.participants import Participant
from coagent.wording.spoken import spoken_line

_MANY = 64
_SAID_KEPT_MAX = 500


class Waiting(NamedTuple):
    """An event that waits.

    Args:
        agent: Whose it is.
        event: The event.
        since_s: Since when, by the clock's `moment_s`.
    """

    agent: Participant
    event: CallObserved | Said
    since_s: float

    def recorded(self, now_s: float) -> CallObserved | Said:
        """Return the event as it is recorded, which says how long it has waited."""
        ago_ms = int((now_s - self.since_s) * 1000)
        return self.event._replace(ago_ms=ago_ms) if ago_ms > 0 else self.event


class WaitingRoom:
    """Events that wait to be recorded, in the order in which they happened.

    Args:
        kernel: The protocol.
        moment_s: The time.
    """

    def __init__(self, kernel: Kernel, moment_s: Callable[[], float]) -> None:
        self.all: list[Waiting] = []
        self._kernel, self._moment_s = kernel, moment_s
        self._calls: dict[Participant, int] = {}
        self._said: dict[tuple[Participant, bool], str] = {}  # the last of each, which is not said twice
        self.keeps_words = True
        """Whether anything is kept of what agents say."""
        self.deferred = 0
        """How many calls have ever been left to be recorded later."""

    def __bool__(self) -> bool:
        return bool(self.all)

    @property
    def has_calls(self) -> bool:
        """Whether calls are among them."""
        return any(self._calls.values())

    @property
    def full(self) -> bool:
        """Whether so much waits that it ought to be flushed."""
        return len(self.all) >= _MANY

    def add_call(self, agent: Participant, event: CallObserved) -> CallId:
        """Let a call wait that only read; returns its id."""
        before = self._calls.get(agent, 0)
        self.all.append(Waiting(agent, event, self._moment_s()))
        self._calls[agent] = before + 1
        self.deferred += 1
        return call_id(agent.name, agent.next_sequence + before)

    def say(self, agent: Participant, text: str, *, goal: bool) -> None:
        """Let wait what an agent said. What it has said already is no news.

        What it said just before, and nothing has followed, gives way: so that what waits stays little.
        """
        line = spoken_line(text) if self.keeps_words and agent.at_work else ""
        if not line or self._said.get((agent, goal)) == line:
            return
        if len(self._said) > _SAID_KEPT_MAX:
            self._said = {one: said for one, said in self._said.items() if not one[0].ended}
        self._said[agent, goal] = line
        event = Said(agent.rank, line, goal)
        last = next((at for at, one in reversed(list(enumerate(self.all))) if one.agent is agent), None)
        if last is not None and isinstance(said := self.all[last].event, Said) and said.goal == goal:
            del self.all[last]
        self.all.append(Waiting(agent, event, self._moment_s()))

    def events(self) -> list[CallObserved | Said]:
        """Return all that waits, as it is recorded now."""
        now_s = self._moment_s()
        return [one.recorded(now_s) for one in self.all]

    def take_all(self) -> list[CallObserved | Said]:
        """Return the same, which waits no longer."""
        events, self.all, self._calls = self.events(), [], {}
        return events

    def calls_of(self, agent: Participant) -> int:
        """Return how many calls of an agent wait."""
        return self._calls.get(agent, 0)

    def named_calls(self, agent: Participant) -> list[tuple[CallId, CallObserved]]:
        """Return an agent's calls that wait, with their ids."""
        mine = [one.event for one in self.all if one.agent is agent and isinstance(one.event, CallObserved)]
        return [
            (call_id(agent.name, sequence), event) for sequence, event in enumerate(mine, agent.next_sequence)
        ]

    def call(self, identity: str) -> CallObserved | None:
        """Return a call that waits, by its id."""
        agents = {id(one.agent): one.agent for one in self.all}
        found = (dict(self.named_calls(agent)).get(CallId(identity)) for agent in agents.values())
        return next((event for event in found if event is not None), None)

    # ---- what waits no longer ------------------------------------------------------------------------------

    def remove(self, recorded: Iterable[Waiting]) -> None:
        """Let wait no longer what is in the log by now.

        Where the lease was lost meanwhile, what is of agents that are others' by now does not wait any more.
        """
        recorded = list(recorded)
        gone = {id(one) for one in recorded}
        self.all = [one for one in self.all if id(one) not in gone]
        for one in recorded:
            if isinstance(one.event, CallObserved) and one.agent in self._calls:
                self._calls[one.agent] -= 1

    def remove_found(self, event: CallObserved | Said) -> None:
        """Let an event wait no longer that has been appended, though nothing was heard of it."""
        for at, (agent, one, _) in enumerate(self.all):
            if _is(one, event):
                del self.all[at]
                self._calls[agent] = self._calls.get(agent, 0) - isinstance(one, CallObserved)
                return

    def keep(self, wanted: Callable[[Participant], bool]) -> None:
        """Forget what is of other agents than those that are wanted."""
        if all(wanted(one.agent) for one in self.all) and all(map(wanted, self._calls)):
            return
        self.all = [one for one in self.all if wanted(one.agent)]
        self._calls = {agent: n for agent, n in self._calls.items() if wanted(agent)}

    def keep_up(self) -> None:
        """Add to calls what others have changed since of what they saw.

        The kernel does not know of them yet, and may have forgotten those objects by the time when it does.
        """
        kernel, found = self._kernel, []
        number: dict[Participant, int] = {}
        for one in self.all:
            agent, read, since_s = one
            if not isinstance(read, CallObserved):
                found.append(one)
                continue
            number[agent] = at = number.get(agent, -1) + 1
            position, seen = position_of(agent.order, agent.next_sequence + at), read.observation
            if seen.bases or not kernel.holds(seen, position):
                bases = dict(seen.bases)
                for key, _ in seen.reads:
                    if kernel.base_known(key):
                        bases[key] = kernel.lookup(key, position)
                for scan in seen.scans:
                    under = kernel.written_under(scan.prefix, position)
                    bases |= {key: value for key, value in under if scan.covers(key)}
                one = Waiting(agent, read._replace(observation=seen._replace(bases=bases)), since_s)
            found.append(one)
        self.all = found


def _is(waiting: CallObserved | Said, found: CallObserved | Said) -> bool:
    """Tell whether an event of the log is one that waits, whatever has been added to that."""
    if isinstance(waiting, Said) or isinstance(found, Said):
        return waiting._replace(ago_ms=0) == found._replace(ago_ms=0)
    seen = waiting.observation._replace(bases=found.observation.bases)
    return waiting._replace(observation=seen, ago_ms=found.ago_ms) == found
