"""The baseline without concurrency: an agent's first call waits until every lower rank has ended."""

from __future__ import annotations

from coagent.protocol.mtpo import Mtpo
from coagent.protocol.participants import Participant


class Serial(Mtpo):
    """One agent after another in rank order; nothing is ever late, so nothing else differs from MTPO."""

    name = "serial"
    holds_calls = True

    def may_call(self, agent: Participant) -> bool:
        return self._order[0] is agent
