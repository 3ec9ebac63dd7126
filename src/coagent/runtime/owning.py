"""Whose an agent is: taking it up from a process that has ended, and giving it back."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from coagent.errors import JoinRefused, UnknownAgent
from coagent.log.base import Lease
from coagent.processes import this_place
from coagent.protocol.calls import Rank
from coagent.protocol.events import Attached, Event, OnDeath
from coagent.protocol.participants import Participant
from coagent.runtime.runner import Parts
from coagent.runtime.tenure import is_over


def named(parts: Parts, name: str) -> Participant:
    """Return the agent at work under a name.

    Raises:
        UnknownAgent: There is none; names the nearest one.
    """
    active = {agent.name: agent for agent in parts.kernel.agents.values() if not agent.ended}
    if name not in active:
        nearest = difflib.get_close_matches(name, active, 1)
        known = ", ".join(sorted(active)) or "none"
        cure = f"Did you mean {nearest[0]!r}?" if nearest else f"The active agents are: {known}."
        raise UnknownAgent(f"there is no active agent {name!r}", cure)
    return active[name]


async def attached(parts: Parts, agent: Participant, on_death: OnDeath, *, force: bool) -> Participant:
    """Make an agent this process' own.

    Raises:
        UnknownAgent: It has ended meanwhile.
        JoinRefused: The process that serves it lives, and is not to be forced.
    """
    recorder = parts.recorder
    await recorder.tenure.assure()
    while agent.owner != (own := recorder.tenure.owner):
        before = agent.owner
        if before and not force and (lease := await _living(parts, before)) is not None:
            # Of a process elsewhere nobody here can tell whether it lives.
            wait = "" if lease.process.place == this_place() else ", wait until its lease ends if it has died"
            raise JoinRefused(
                f"agent {agent.name!r} is served by {lease.process}",
                f"End that one{wait}, or choose another name.",
            )

        def decide(before: str = before, own: str = own) -> Event | None:
            if agent.ended:
                raise UnknownAgent(f"agent {agent.name!r} has {agent.phase.value}")
            return Attached(agent.rank, own, on_death) if agent.owner == before else None

        await recorder.record(decide)
    return agent


async def _living(parts: Parts, owner: str) -> Lease | None:
    leases = await parts.recorder.log.leases()
    return next((one for one in leases if one.owner == owner and not is_over(one)), None)


async def outlives(parts: Parts, agent: Participant, on_death: OnDeath) -> None:
    """Say what becomes of an agent of this process, should the process die."""

    def decide() -> Event | None:
        if agent.ended or agent.on_death == on_death or not parts.recorder.serves(agent):
            return None
        return Attached(agent.rank, agent.owner, on_death)

    await parts.recorder.record(decide)


async def detach_all(parts: Parts, but: Collection[Rank]) -> None:
    """Leave the agents of this process that have not ended to whoever takes them up, and give the lease back.

    Args:
        parts: The domain's.
        but: Those that it has from dead processes, and that somebody has to see to without being asked.
    """
    recorder = parts.recorder
    if not recorder.tenure.owner:
        return
    await recorder.catch_up()
    for agent in parts.kernel.left_by(recorder.tenure.owner)[0]:
        if agent.rank in but:
            continue
        await recorder.record(
            lambda: Attached(agent.rank, "", agent.on_death) if recorder.serves(agent) else None  # noqa: B023
        )
    await recorder.tenure.end()
