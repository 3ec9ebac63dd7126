"""Two scripted agents build a feature each in one tree, under CoAgent, in the worst interleaving.

The later agent does all its work first; then the earlier one does its own beneath it. Scripts repair nothing:
what is still applied at the end was applied mechanically, and what was withdrawn needs its agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import coagent
from coagent.runtime.session import AgentSession
from coagent.systems.files.tools import FILE_TOOLS
from coagent_lab.bench.pairs.edits import Step


class Trial(NamedTuple):
    """What became of a pair in one order.

    Args:
        withdrawn: How many calls of the later agent could not be made beneath the other's work.
        merged: How many of its edits were merged (rule 11).
        told: How many notices it was given.
    """

    withdrawn: int
    merged: int
    told: int

    @property
    def applied(self) -> bool:
        """Whether all of both features went in without the judgement of an agent."""
        return not self.withdrawn


async def run_pair(folder: Path, earlier: Sequence[Step], later: Sequence[Step]) -> Trial:
    """Let two agents build their features in a folder; the later one in the order acts first.

    Args:
        folder: The tree; it is changed.
        earlier: The calls of the agent that comes first in the order.
        later: Those of the other one.
    """
    target = coagent.targets.Files(folder)
    async with coagent.open_domain("memory:", targets=[target], tools=[FILE_TOOLS]) as domain:
        first, second = await domain.join("earlier"), await domain.join("later")
        for session, steps in ((second, later), (first, earlier)):
            for tool, arguments in steps:
                await session.call(tool, **arguments)
        await _finish(first)
        notices = await _finish(second)
    kinds = {news.call_id: news.kind for notice in notices for news in notice.calls}
    ends = list(kinds.values())
    return Trial(ends.count("withdrawn"), ends.count("merged"), len(notices))


async def _finish(session: AgentSession) -> list[coagent.Notification]:
    """Finish without a repair, and return what the agent was told."""
    told: list[coagent.Notification] = []
    while (settled := await session.finish(wait=True)).state != "committed":
        told += settled.notifications
    return told
