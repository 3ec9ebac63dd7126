"""What keeps an agent from its commit that only a person can decide about."""

from __future__ import annotations

from coagent.protocol.kernel import Kernel
from coagent.protocol.keys import Key
from coagent.protocol.participants import Participant


def stuck_for(kernel: Kernel, agent: Participant) -> list[Key]:
    """Return the stuck objects that an agent has written or read."""
    if not kernel.stuck:
        return []
    calls = agent.calls.values()
    written = {key for call in calls for key in call.writes}
    return sorted(written.union(key for call in calls for key, _ in call.seen.reads) & kernel.stuck.keys())
