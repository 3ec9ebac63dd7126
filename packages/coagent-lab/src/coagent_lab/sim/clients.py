"""Agents that go from one process to another: where one dies, or cannot be reached, they go on elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import anyio

from coagent.agents.scripted import Asked, Program
from coagent.errors import CoAgentError, IllegalEvent
from coagent.protocol.calls import Call
from coagent.protocol.phases import CallPhase
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent_lab.sim.bodies import Killed
from coagent_lab.sim.failing import Patient


class Client(Patient):
    """An agent that comes back later where a live system does not let it go on."""

    saw_it_through = False
    """Whether it has said that it has done all."""

    async def _race(self) -> bool:
        if (
            self.session.notified
        ):  # whoever comes to an agent that others have served hears what it was not told
            self.walker.heed(await self.session.notifications())
        return await super()._race()

    async def _wait_a_while(self) -> None:
        self._see_to_it()
        await anyio.sleep(self._rng.uniform(1, 20))

    def log(self, kind: str, text: str) -> None:
        self.saw_it_through = kind in ("finish", "commit")
        super().log(kind, text)


def runs_here(domain: Domain, session: AgentSession) -> bool:
    """Tell whether a call of an agent is under way in the process that serves it."""
    agent = domain.kernel.agents[session.rank]
    return any(
        call.phase is CallPhase.RUNNING and call.runner == agent.owner for call in agent.calls.values()
    )


def recorded(calls: Sequence[Call]) -> Program:
    """Return a program that makes the calls that stand; what had failed and would go through now does not."""

    def run() -> Generator[Asked, Any, Any]:
        for call in calls:
            if call.seen.error is None and not call.lapsed:
                yield call.tool, call.arguments

    return run


def is_excused(failure: BaseException) -> bool:
    """Tell whether a failure is what agents have to bear with, where processes die and logs are away."""
    if isinstance(failure, BaseExceptionGroup):
        return all(is_excused(one) for one in failure.exceptions)
    return isinstance(failure, CoAgentError | Killed) and not isinstance(failure, IllegalEvent)
