"""Telling an agent what it does not know yet."""

from __future__ import annotations

from typing import NamedTuple

from coagent.protocol.calls import CallId, Observation
from coagent.protocol.events import Event, NoticesDelivered
from coagent.protocol.keys import Key
from coagent.protocol.participants import Disturbance, Participant
from coagent.protocol.values import Value, copied
from coagent.runtime.notices import Notification, notification
from coagent.runtime.runner import Parts
from coagent.wording.quoting import Quoting


class Told(NamedTuple):
    """What an agent is told.

    Args:
        notifications: What others have moved.
        changed: What it has changed itself, by a repair: its own later calls, and what they return now.
    """

    notifications: list[Notification]
    changed: dict[str, Value]


class Teller:
    """Tells one agent, and records when it counts as told.

    That is at once where it dies with this process. Where it outlives it, as the client of a server does, it
    may never get the answer: then what it was told counts when it comes back with something else.

    Args:
        parts: The domain's.
        agent: The agent.
        quoting: Puts what others have written into what it is shown.
    """

    def __init__(self, parts: Parts, agent: Participant, quoting: Quoting) -> None:
        self._parts = parts
        self._agent = agent
        self._quoting = quoting
        self.when_back = False
        """Whether it counts as told only when it comes back."""
        self.goal = ""
        """What the agent has been asked to do, as far as this process knows."""
        self._said: dict[CallId, Observation] = {}
        self._said_of: dict[Key, Disturbance] = {}

    async def tell(self, *, apart: bool) -> Told:
        """Return what the agent has not been told.

        Args:
            apart: Whether what it has changed itself comes apart.
        """
        agent, told = self._agent, Told([], {})
        if not agent.unread:
            return told

        def decide() -> Event | None:
            told.notifications.clear()
            told.changed.clear()
            if not agent.unread or not agent.at_work:
                return None
            inbox = self._parts.kernel.inbox(agent, apart=apart, said=self.goal)
            told.notifications.extend(notification(moved, self._quoting) for moved in inbox.moved)
            told.changed.update({news.call_id: copied(news.after) for news in inbox.changed})
            if self.when_back and (told.notifications or told.changed):
                self._said = {one: agent.pending[one].seen for one in inbox.call_ids if one in agent.pending}
                self._said_of = {key: agent.disturbed[key] for key in inbox.keys if key in agent.disturbed}
                return None
            return NoticesDelivered(agent.rank, inbox.call_ids, inbox.keys)

        await self._parts.recorder.record(decide)
        return told

    async def came_back(self) -> None:
        """Record that the agent knows what it was told last, as far as that is still so."""
        said, said_of = self._said, self._said_of
        self._said, self._said_of = {}, {}
        agent = self._agent

        def decide() -> Event | None:
            calls = tuple(
                one for one, seen in said.items() if one in agent.pending and agent.pending[one].seen is seen
            )
            keys = tuple(key for key, one in said_of.items() if agent.disturbed.get(key) is one)
            if not agent.at_work or not (calls or keys):
                return None
            return NoticesDelivered(agent.rank, calls, keys)

        if said or said_of:
            await self._parts.recorder.catch_up()
            await self._parts.recorder.record(decide)
