"""What is said to whoever wants to speak for an agent, and may not."""

from __future__ import annotations

from coagent.errors import AgentNotActive, AgentTakenUp
from coagent.protocol.participants import Participant


def being_aborted(agent: Participant) -> AgentNotActive:
    """Return the error of whoever wants to go on with an agent whose abort has begun."""
    why = f" ({agent.ends_because})" if agent.ends_because else ""
    return AgentNotActive(
        f"agent {agent.name!r} is being aborted{why}: what it has done is being taken back",
        "Join as a new agent, under this name once it has ended; coagent status shows what it waits for.",
    )


def taken_up(agent: Participant) -> AgentTakenUp:
    """Return the error of a process that speaks for an agent which is not its own."""
    if agent.aborting:
        error = being_aborted(agent)
        return AgentTakenUp(error.cause, error.cure)
    if agent.owner:
        return AgentTakenUp(
            f"agent {agent.name!r} is served by another process, which has taken it up (epoch {agent.epoch})",
            "Go on there, or join the domain again as a new agent.",
        )
    return AgentTakenUp(
        f"agent {agent.name!r} is served by no process (epoch {agent.epoch})",
        "Take it up first: attach to it.",
    )
