"""The end of a turn: of a session's main conversation, and of a subagent.

The main conversation goes on while there is something to look at, waits a little for those who come before
it, and is committed. A subagent does not wait: it has answered, and the main conversation hears what comes to
it from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio

from coagent.gateways.claude.session import Answer, ClaudeSession
from coagent.gateways.claude.shell import beside
from coagent.wording.endings import notified_session, waits_for_others


async def stopped(session: ClaudeSession, event: Mapping[str, Any]) -> Answer:
    """Stop: go on while there are notices; wait for those before, as long as configured; commit."""
    session.resting = True
    session.family.note_work(session.agent)
    away = session.waits()
    await session.note_git()
    tasks = event.get("background_tasks") or ()
    running = {str(task.get("id")) for task in tasks if isinstance(task, Mapping)}
    for id in session.family.rest(running):
        await session.family.ended(id)  # it was interrupted, of which nobody hears
    waits_for = await _finish(session)
    if waits_for:
        waits_for = await _wait(session, waits_for, away)
    if waits_for is None:
        session.resting = False
        return _look_again(session)
    return {"systemMessage": waits_for_others(waits_for)} if waits_for else {}


async def answered(session: ClaudeSession, event: Mapping[str, Any]) -> Answer:
    """SubagentStop: go on while there are notices."""
    session.family.note_work(session.agent)
    settlement = await session.agent.finish()
    if settlement.state == "notified":
        session.took(None, "", settlement.notifications)
        return _look_again(session)
    await session.family.ended(session.id.rpartition("/")[2])
    return {}


def _look_again(session: ClaudeSession) -> Answer:
    return {"decision": "block", "reason": notified_session(session.taken())}


async def _finish(session: ClaudeSession) -> list[str] | None:
    """Finish all that the session is, but for subagents at work.

    Returns:
        For whom of others it waits; None where it has something to look at.
    """
    family = session.family
    if await session.hear_of_behind():
        return None
    await family.finish()
    settlement = await session.agent.finish()
    session.took(None, "", settlement.notifications)
    if settlement.state == "notified":
        return None
    own = {agent.name for agent in family.agents}
    return [name for name in settlement.waits_for if name not in own]


async def _wait(session: ClaudeSession, waits_for: list[str], away: anyio.Event) -> list[str] | None:
    """Wait for those before until somebody needs the session again; returns as `_finish` does."""
    found: list[str] | None = waits_for

    async def look() -> None:
        nonlocal found
        while found:
            await session.agent.stirred(*session.family.behind)
            found = await _finish(session)

    with anyio.move_on_after(session.hub.settings.wait_s) as waiting:

        async def leave() -> None:
            await away.wait()
            waiting.cancel()

        await beside(leave, look)
    return found
