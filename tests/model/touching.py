"""What an agent's calls have to do with objects, by what they were seen to touch."""

from __future__ import annotations

from collections.abc import Collection

from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant


def rests_on(agent: Participant, keys: Collection[Key], *, writes: bool = False) -> bool:
    """Tell whether an agent has read one of these objects, or listed it; `writes`: or written it."""
    for call in agent.calls.values():
        touched = call.footprint
        if any(key in touched.reads or (writes and key in touched.writes) for key in keys):
            return True
        if any(scan.covers(key) for scan in touched.scans for key in keys):
            return True
    return False


def is_busy(agent: Participant) -> bool:
    """Tell whether a call of an agent is under way that has to end before the agent can."""
    return any(call.under_way is not None and not call.irreversible for call in agent.calls.values())
