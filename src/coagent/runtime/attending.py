"""What an open domain does by itself: it looks at what nobody has told it, and keeps its log small."""

from __future__ import annotations

import contextlib

import anyio

from coagent.errors import CoAgentError, LogError
from coagent.log.base import Log
from coagent.runtime.recovery import Recovery
from coagent.runtime.runner import Parts
from coagent.runtime.work import Work

ATTEND_INTERVAL_S = 0.5
"""How often a domain looks, in seconds, at what nobody has told it."""


async def attend(parts: Parts, work: Work, recovery: Recovery) -> None:
    """Look after an open domain: outside writers, other processes, dead ones, targets that are back."""
    while True:
        await anyio.sleep(ATTEND_INTERVAL_S)
        try:
            await parts.recorder.freshen()
            await recovery.recover()
            if parts.kernel.notifies and any(not agent.ended for agent in parts.kernel.agents.values()):
                await parts.outsiders.look_around()
            await parts.recorder.flush()
        except CoAgentError:
            continue  # a target or the log is away: whoever needs it is told, and it is asked again
        work.retry()
        with contextlib.suppress(CoAgentError):  # whoever calls here is told, if it is so still
            await parts.copies.bring()
            await parts.copies.keep()
        await tidied(parts.recorder.log)


async def tidied(log: Log) -> None:
    """Move old records of a log out of the way; where that cannot be, they stay, and that harms nobody."""
    with contextlib.suppress(LogError):
        await log.tidy()
