"""Ending an agent: what only its tools can take back is taken back first, after the log has said so (rule 8).

From that mark on the agent can do nothing but end, whoever attaches to it. So an abort of which a half has
been done is never gone on from: where its process dies, or a tool fails, whoever comes next completes it
(`recovery.py`).
"""

from __future__ import annotations

from collections.abc import Collection

from coagent.errors import AgentNotActive
from coagent.protocol.calls import Call, CallId
from coagent.protocol.events import AbortBegun, Aborted, Event
from coagent.protocol.participants import Participant
from coagent.protocol.phases import AgentPhase, CallPhase
from coagent.runtime.runner import Parts, require_active
from coagent.runtime.work import Work


async def abort(parts: Parts, work: Work, agent: Participant, reason: str) -> list[CallId]:
    """End an agent; as `AgentSession.abort`.

    Args:
        parts: The domain's.
        work: That takes calls back.
        agent: The agent.
        reason: Why; where its abort has begun before, that one's stands.
    """
    recorder = parts.recorder
    await recorder.flush()
    while agent.phase is not AgentPhase.ABORTED:
        if agent.ended:
            require_active(agent)
        if agent.rank in parts.ending:  # by another task
            await recorder.until(lambda: agent.rank not in parts.ending, parts.meanwhile)
            continue
        kept = parts.kernel.kept_calls(agent)
        with parts.ends(agent.rank):
            await recorder.record(lambda: _begun(parts, agent, reason))
            await take_back_all(parts, work, agent, kept)
            made = await recorder.record(lambda: _ended(parts, agent, reason))
        if made is not None:
            await work.settle()
            return [call.id for call in kept]
    return []


async def take_back_all(parts: Parts, work: Work, agent: Participant, kept: Collection[Call]) -> None:
    """Take back what only its own tool can take back, newest first.

    Args:
        parts: The domain's.
        work: That takes calls back.
        agent: The agent.
        kept: Its calls that are not taken back.

    Raises:
        TargetError: Something could not be.
        AgentNotActive: Another process speaks for the agent by now.
    """
    for call in reversed(list(agent.calls.values())):
        if _takes_time(agent, call, kept):
            try:
                await work.runner_of(call).undo(call)
            except AgentNotActive:
                if agent.calls.get(call.id) is call:  # else somebody else has just undone it
                    raise


def _takes_time(agent: Participant, call: Call, kept: Collection[Call]) -> bool:
    """Tell whether a call has to be taken back before its agent can end."""
    busy = call.under_way is not None and call.phase is not CallPhase.UNKNOWN
    counts = call.applied or (busy and not call.irreversible)
    return counts and call not in kept and agent.calls.get(call.id) is call


def _begun(parts: Parts, agent: Participant, reason: str) -> Event | None:
    """Return the mark that an agent can only end from now on, where its end takes more than one event."""
    kept = parts.kernel.kept_calls(agent)
    takes_time = any(_takes_time(agent, call, kept) for call in agent.calls.values())
    if not agent.at_work or not takes_time:
        return None
    return AbortBegun(agent.rank, reason, parts.recorder.tenure.owner)


def _ended(parts: Parts, agent: Participant, reason: str) -> Event | None:
    kept = parts.kernel.kept_calls(agent)
    if any(_takes_time(agent, call, kept) for call in agent.calls.values()):
        return None  # it has run again meanwhile, having made room for another one
    event = Aborted(agent.rank, agent.ends_because if agent.aborting else reason)
    return None if parts.kernel.objection(event) is not None else event
