"""Agents that go from one process to another: where one dies, or cannot be reached, they go on elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import anyio

from coagent.agents.scripted import Asked, Program
from coagent.errors import CoAgentError, IllegalEvent
from coagent.protocol.calls import Call
from coagent.protocol.events import Attached, Event, NoticesDelivered
from coagent.protocol.phases import CallPhase
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent_lab.sim.bodies import Killed
from coagent_lab.sim.failing import Patient


class Client(Patient):
    """An agent that comes back later where a live system does not let it go on."""

    saw_it_through = False
    """Whether it has said that it has done all."""
    _unanswered = False
    """Whether it has been told something, and has not said anything since: it may have died before."""

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
        self.saw_it_through, self._unanswered = kind in ("finish", "commit"), False
        super().log(kind, text)

    def hears(self, event: Event) -> None:
        """Follow what is recorded of it: who takes it up knows not what it would have made of a notice."""
        if getattr(event, "rank", None) != self.session.rank:
            return
        if isinstance(event, NoticesDelivered):
            self._unanswered = True
        elif isinstance(event, Attached) and self._unanswered:
            self.saw_it_through = False


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
