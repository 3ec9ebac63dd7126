"""Who becomes a member of a domain, and what becomes of its work when it goes: the same at every door.

A door only says when: a client closes its end, its lease has run out, its process or its session has ended.
"""

from __future__ import annotations

from coagent.config.domain_file import OnLeave
from coagent.errors import UnknownAgent
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession


async def taken_up_or_joined(domain: Domain, name: str, rank: int | None) -> AgentSession:
    """Return the session of the agent at work under a name, or let one join.

    Args:
        domain: An open domain.
        name: The agent's name.
        rank: Its rank where it joins; None: the next one.

    Raises:
        JoinRefused: It may not join so.
    """
    try:
        return await domain.attach(name)
    except UnknownAgent:
        return await domain.join(name, rank=rank)


async def leave(session: AgentSession, on_leave: OnLeave, why: str) -> None:
    """Do with an agent's work what is configured for agents whose client has gone.

    What is finished stays so whatever is configured, and is committed when its turn comes.

    Args:
        session: The agent's.
        on_leave: "commit": unfinished work counts as finished, unless there is something that its agent would
            have to read first; "abort": it is withdrawn; "keep": it stays, for whoever takes it up.
        why: What is logged of an abort.
    """
    if session.state != "active":
        return
    if on_leave == "abort":
        await session.abort(why)
    elif on_leave == "commit" and not session.notified:
        await session.finish()
