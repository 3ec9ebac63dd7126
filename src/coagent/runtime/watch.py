"""Looking on at a domain through its log: nothing is appended, and nothing is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coagent.errors import ConfigurationError
from coagent.log.sqlite_reader import SqliteReader
from coagent.protocol.events import Event
from coagent.protocol.participants import Participant, Phase
from coagent.runtime.domain import PROTOCOLS


@dataclass(frozen=True)
class Standing:
    """Where an agent stands.

    Args:
        state: "active", "finished", "committed" or "aborted".
        calls: How many of its calls stand.
        notices: How many of them return something else now than it was told.
        staged: How many irreversible ones have yet to run.
        waits_for: The agents before it that have not ended, where it has finished.
    """

    name: str
    rank: int
    state: str
    calls: int
    notices: int
    staged: int
    waits_for: list[str]


class Watch:
    """A domain as its log tells of it.

    Args:
        url: The log, `sqlite:PATH`.

    Raises:
        ConfigurationError: Nobody has joined the domain yet, or its log is not in a file.
        LogError: It cannot be read.
    """

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition(":")
        if scheme != "sqlite":
            raise ConfigurationError(
                f"log {url!r} is in the memory of a process",
                "Only a domain whose log is a file can be watched.",
            )
        file = Path(path).expanduser()
        if not file.exists():
            raise NothingYet(f"there is no log {str(file)!r}: nobody has joined this domain yet")
        self._reader = SqliteReader(file)
        self.kernel = PROTOCOLS[self._reader.protocol]()
        self.protocol = self._reader.protocol
        self.number = 0
        """How many events there are."""
        self._ended: dict[int, Standing] = {}

    def events(
        self,
        before: Callable[[Event], None] = lambda event: None,
        ahead: Callable[[Event], None] = lambda event: None,
    ) -> Iterator[Event]:
        """Yield the events since the last time, each after the kernel has taken it.

        Args:
            before: Called with each one before that.
            ahead: Called with all of them before the first one is yielded.
        """
        found = self._reader.read()
        for event in found:
            ahead(event)
        for event in found:
            before(event)
            self.kernel.step(event)
            self.kernel.take_live_changes()
            self.number += 1
            for agent in self.kernel.agents.values():
                if agent.ended:
                    self._ended[agent.rank] = self._standing(agent)
            yield event

    def agents(self) -> list[Standing]:
        """Return all agents in rank order, also those that have ended."""
        found = {**self._ended, **{rank: self._standing(one) for rank, one in self.kernel.agents.items()}}
        return [one for _, one in sorted(found.items())]

    def outstanding(self) -> dict[str, Any]:
        """Return what has yet to be done: a call to run again, and objects written but not confirmed yet."""
        ready = self.kernel.ready()
        again = self.kernel.lowest_dirty()
        return {
            "runs_again": None if again is None else again.id,
            "unconfirmed": [effect.key for effect in ready.apply],
        }

    def close(self) -> None:
        """Release the log."""
        self._reader.close()

    def _standing(self, agent: Participant) -> Standing:
        before = [one.name for one in self.kernel.agents.values() if one.rank < agent.rank and not one.ended]
        return Standing(
            agent.name,
            agent.rank,
            agent.phase.value,
            len(agent.calls),
            0 if agent.ended else len(agent.pending),
            0 if agent.ended else sum(one.staged for one in agent.calls.values()),
            before if agent.phase is Phase.FINISHED else [],
        )


class NothingYet(ConfigurationError):
    """A domain whose log has not been begun."""
