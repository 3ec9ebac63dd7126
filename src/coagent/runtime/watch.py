"""Looking on at a domain through its log: nothing is appended, and nothing is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from coagent.log.codec import Recorded
from coagent.log.open import open_reader
from coagent.protocol.calls import Call, CallId
from coagent.protocol.checkpoint import restore
from coagent.protocol.events import Event
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.protocol.values import Value
from coagent.runtime.protocols import PROTOCOLS
from coagent.runtime.standing import stuck_for
from coagent.runtime.tenure import is_over


@dataclass(frozen=True)
class Standing:
    """Where an agent stands.

    Args:
        state: "active", "finished", "aborting", "committed" or "aborted".
        calls: How many of its calls stand.
        notices: How many of them return something else now than it was told.
        staged: How many irreversible ones have yet to run.
        waits_for: The agents before it that have not ended, where it has finished.
        stuck: What it has written or read that a person has to decide about.
        untaken: What it has written that its target has not taken yet, where it has finished.
        unknown: Its calls of which nobody knows whether they have run.
        served: "lives": its process does; "dead": it has died, and whoever opens the domain next sees to its
            agent; "nobody": the agent waits for somebody to take it up; None: it has ended.
    """

    name: str
    rank: int
    state: str
    calls: int
    notices: int
    staged: int
    waits_for: list[str]
    stuck: list[Key]
    untaken: list[Key]
    unknown: list[CallId] = field(default_factory=list)
    served: Literal["lives", "dead", "nobody"] | None = None


@dataclass(frozen=True)
class UnknownCall:
    """A call of which nobody knows whether it has had its effect: the process that ran it has died.

    Args:
        call: Its id.
        agent: Whose it is.
        tool: What was called.
        arguments: As called.
        intent: What its system knows the run by, where its tool has told it.
        wanted: Whether its agent has not ended: then it can be run again.
        noted: Whether another process has taken note, so that its tool has been asked where it can tell.
    """

    call: CallId
    agent: str
    tool: str
    arguments: Mapping[str, Value]
    intent: str
    wanted: bool
    noted: bool


@dataclass(frozen=True)
class StuckObject:
    """An object about which a person has to decide.

    Args:
        key: The object.
        since: The number of the event since when; None: before all that was looked at.
        error: What its target said.
        calls: The calls of agents at work that have written it.
    """

    key: Key
    since: int | None
    error: str
    calls: list[CallId]


class Watch:
    """A domain as its log tells of it.

    Args:
        url: The log, `sqlite:PATH` or `postgresql://…`.
        tail: How many of the last events are wanted, at the least; None: all that there are.
        wanted: The number of an event that is wanted, in the place of that, and all after it.

    Raises:
        NothingYet: Nobody has joined the domain yet.
        ConfigurationError: Its log is in the memory of a process.
        LogError: It cannot be read.
    """

    def __init__(self, url: str, *, tail: int | None = 0, wanted: int | None = None) -> None:
        self._reader = open_reader(url)
        self.protocol = self._reader.settings.protocol
        early = self._reader.settings.order == "early"
        self.kernel = PROTOCOLS[self.protocol](early=early, commits_itself=self._reader.by_itself)
        self.saved = None if (saved := self._reader.checkpoint(tail, wanted)) is None else saved.state
        """The state that it begins with; None where that is at the first event."""
        if self.saved is not None:
            restore(self.kernel, self.saved)
        if self._reader.head < self._reader.last_old:
            self.kernel.commits_itself = True
        self.first = self._reader.head
        """The number of the event after which it begins."""
        self.number = self.first
        """The number of the last event looked at."""
        self.at_ms: int | None = None
        """When that was appended, in Unix milliseconds; None where nobody has noted it."""
        self.last = self._reader.last
        """The number of the last event that there was when it began."""
        self._stuck_since: dict[Key, int | None] = dict.fromkeys(self.kernel.stuck)
        self._ended: dict[int, Standing] = {}
        for agent in self.kernel.agents.values():
            self._note(agent)

    @property
    def backwards(self) -> Iterator[tuple[int, str]] | None:
        """The numbers and texts of the records, newest first; None for a log that has been of format 1."""
        old = self._reader.by_itself or self._reader.last_old
        return None if old else self._reader.backwards()

    def events(
        self,
        before: Callable[[Event], None] = lambda event: None,
        ahead: Callable[[Event], None] = lambda event: None,
    ) -> Iterator[Event]:
        """Yield the events since the last time, each after the kernel has taken it.

        Args:
            before: Called with each one before that.
            ahead: Called with many of them before the first of those is yielded.

        Raises:
            LogError: A record is missing or damaged.
        """
        for event, at_ms in self._unread(ahead):
            self.at_ms = at_ms
            if self.number == self._reader.last_old and not self._reader.by_itself:
                self.kernel.commits_itself = False
            before(event)
            about = self.kernel.step(event)
            self.kernel.take_live_changes()
            self.number += 1
            if isinstance(about, Participant):
                self._note(about)
            if self.kernel.stuck or self._stuck_since:
                since = self._stuck_since
                self._stuck_since = {key: since.get(key, self.number) for key in self.kernel.stuck}
            yield event

    def _unread(self, ahead: Callable[[Event], None]) -> Iterator[Recorded]:
        while events := self._reader.recorded():
            for event, _ in events:
                ahead(event)
            yield from events

    def _note(self, agent: Participant) -> None:
        if agent.ended:
            self._ended[agent.rank] = self._standing(agent)

    def agents(self) -> list[Standing]:
        """Return all agents in rank order, also those that ended since the watch began, or shortly before."""
        active: dict[int, Standing] = {rank: self._standing(one) for rank, one in self.kernel.agents.items()}
        return [one for _, one in sorted({**self._ended, **active}.items())]

    def stuck(self) -> list[StuckObject]:
        """Return the objects about which a person has to decide, in order of key."""
        agents = [agent for agent in self.kernel.agents.values() if not agent.ended]
        return [
            StuckObject(
                key,
                self._stuck_since.get(key),
                error,
                [call.id for agent in agents for call in agent.calls.values() if key in call.writes],
            )
            for key, error in sorted(self.kernel.stuck.items())
        ]

    def unknown(self) -> list[UnknownCall]:
        """Return the calls of which nobody knows whether they have run.

        So are those that ran in a process which has died, also while no other one has taken note of it.
        """
        kernel = self.kernel
        dead = [owner for owner in sorted(kernel.owners()) if self._served(owner) == "dead"]
        lost = [call for owner in dead for call in kernel.left_by(owner)[1]]
        return [
            UnknownCall(
                call.id,
                call.agent,
                call.tool,
                call.arguments,
                call.intent,
                wanted=self._is_wanted(call),
                noted=call.phase is CallPhase.UNKNOWN,
            )
            for call in [*kernel.unknown, *lost]
        ]

    def _is_wanted(self, call: Call) -> bool:
        """Tell whether a call could be run again: its agent neither has ended nor dies with its process."""
        agent = self.kernel.agents.get(call.rank)
        if agent is None or not self.kernel.is_wanted(call):
            return False
        dies = agent.on_death == "abort" and (agent.phase is AgentPhase.ACTIVE or agent.unread)
        return not dies or self._served(agent.owner) != "dead"

    def outstanding(self) -> dict[str, Any]:
        """Return what has yet to be done: calls to run again, objects not confirmed yet, and stuck ones."""
        ready = self.kernel.ready()
        return {
            "runs_again": ready.reexecute[0].id if ready.reexecute else None,
            "unconfirmed": [effect.key for effect in ready.apply],
            "stuck": dict(self.kernel.stuck),
        }

    @property
    def size(self) -> int:
        """How large the log is, in bytes."""
        return self._reader.size

    def close(self) -> None:
        """Release the log."""
        self._reader.close()

    def _standing(self, agent: Participant) -> Standing:
        kernel, finished = self.kernel, agent.phase is AgentPhase.FINISHED
        waits_for = kernel.waits_for(agent) if finished else []
        untaken = []
        if finished:
            written = {key for call in agent.calls.values() for key in call.writes}
            untaken = [effect.key for effect in kernel.effects() if effect.key in written]
        unknown = [one.call for one in self.unknown() if one.call in agent.calls]
        return Standing(
            agent.name,
            agent.rank,
            agent.phase.value,
            len(agent.calls),
            0 if agent.ended else len(agent.pending) + len(agent.disturbed),
            0 if agent.ended else sum(one.phase is CallPhase.STAGED for one in agent.calls.values()),
            [one.name for one in waits_for],
            stuck_for(kernel, agent),
            untaken,
            unknown,
            None if agent.ended else self._served(agent.owner),
        )

    def _served(self, owner: str) -> Literal["lives", "dead", "nobody"] | None:
        if not owner:
            return "nobody"
        lease = next((one for one in self._reader.leases() if one.owner == owner), None)
        return "dead" if lease is None or is_over(lease) else "lives"
