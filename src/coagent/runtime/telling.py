"""Telling an agent what it does not know yet; from then on it counts as told."""

from __future__ import annotations

from typing import NamedTuple

from coagent.protocol.events import Event, NoticesDelivered
from coagent.protocol.participants import Participant
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


async def tell(parts: Parts, agent: Participant, quoting: Quoting, apart: bool) -> Told:
    """Return what an agent has not been told, and record that it has.

    Args:
        parts: The domain's.
        agent: The agent.
        quoting: Puts what others have written into what it is shown.
        apart: Whether what it has changed itself comes apart.
    """
    told = Told([], {})
    if not agent.unread:
        return told

    def decide() -> Event | None:
        told.notifications.clear()
        told.changed.clear()
        if not agent.unread or agent.ended:
            return None
        inbox = parts.kernel.inbox(agent, apart=apart)
        told.notifications.extend(notification(moved, quoting) for moved in inbox.moved)
        told.changed.update({news.call_id: copied(news.after) for news in inbox.changed})
        return NoticesDelivered(agent.rank, inbox.call_ids, inbox.keys)

    await parts.recorder.record(decide)
    return told
