"""Agents who undo and amend while calls of theirs are under way, and who are ended by others meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel

from coagent.agents.repair import Made
from coagent.agents.scripted import AgentReport, ScriptedAgent, ScriptedRun
from coagent.errors import AgentNotActive, CoAgentError, LogError, TargetError
from coagent.protocol.calls import Rank
from coagent.runtime.domain import Domain
from coagent.runtime.outcomes import Issued
from coagent_lab.sim.check import Violation
from coagent_lab.sim.stepper import twisted

_TURNS_MAX = 40


class Racer(ScriptedRun):
    """A scripted agent that does two things at once now and then, and sees to what has become of its calls.

    Args:
        agent: What to follow.
        domain: Where it has its place.
        rng: Says when it does what.
        meddling: How likely an action is raced by another one of its own.
    """

    def __init__(self, agent: ScriptedAgent, domain: Domain, rank: Rank, rng: random.Random, meddling: float):
        super().__init__(agent, domain.session(rank), domain.clock)
        self._rng = rng
        self._meddling = meddling
        self._steps = 0
        self._tools = domain.tools
        self.gives_up: Callable[[int], None] = lambda rank: None
        """Is told when it gives up for what it knows, before it takes back what it has done."""
        self._act = self.walker.act
        self.walker.act = self._race  # type: ignore[method-assign]

    async def give_up(self) -> None:
        self.gives_up(self.session.rank)
        await super().give_up()

    async def _race(self) -> bool:
        self._steps += 1
        # A calm phase at the end must lead to quiescence, so it comes to its senses after a while.
        self.walker.look()
        asked = self.walker.asked
        final = asked is not None and self._tools[asked.tool].effect == "irreversible"
        if self._steps > 60 or final or not self._open_calls() or self._rng.random() > self._meddling:
            return await self._act()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._do_its_work)
            for _ in range(self._rng.choice((1, 1, 2))):
                tasks.start_soon(self._meddle)
        self._see_to_it()
        return True

    async def _do_its_work(self) -> None:
        # What it did has been undone meanwhile, or it has ended: the next action will tell.
        with suppress(AgentNotActive):
            await self._act()

    def _open_calls(self) -> list[Issued]:
        """Return the calls after the last one that cannot be taken back: none below may be touched.

        Once it has said that it has finished, what it has staged may run at any moment.
        """
        if self.session.state == "finished" and any(call.staged for call in self.session.calls):
            return []
        found: list[Issued] = []
        for call in reversed(self.session.calls):
            if self._tools[call.tool].effect == "irreversible" and not call.staged:
                break
            found.append(call)
        return found

    async def _meddle(self) -> None:
        await pause(self._rng)
        calls = self._open_calls()
        if not calls:
            return
        call = self._rng.choice(calls)
        try:
            if self._rng.random() < 0.5:
                await self.session.undo(call.call_id)
            else:
                wrong = {name: twisted(self._rng, name, value) for name, value in call.arguments.items()}
                await self.session.amend(call.call_id, **wrong)
        except LogError:
            raise  # it may be done all the same: what stands is to be looked at again
        except CoAgentError:
            pass  # it has gone meanwhile, has run for good, or fails as it is now: all seen to afterwards

    def _see_to_it(self) -> None:
        """Take what stands for what it has made, and go through the program again."""
        told_staged = {made.call_id for made in self.walker.made if made.staged}
        self.walker.made[:] = [
            Made(call.tool, call.arguments, call.call_id, call.staged or call.call_id in told_staged)
            for call in self.session.calls
        ]
        self.walker.distrust()

    @property
    def numbers(self) -> list[int]:
        """The numbers of its calls within the agent, in the order of its program."""
        return [int(str(made.call_id).rpartition(".")[2]) for made in self.walker.made]


async def race(
    domain: Domain,
    agents: Sequence[ScriptedAgent],
    rng: random.Random,
    meddling: float,
    aborting: float,
    lasting: Collection[str] = (),
    racer: type[Racer] | None = None,
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    gives_up: Callable[[int], None] = lambda rank: None,
) -> tuple[list[AgentReport], set[str]]:
    """Run agents at the same time until all have ended.

    Args:
        domain: An open domain.
        agents: In rank order.
        rng: Says who does what when.
        meddling: How likely an action of an agent is raced by another one of its own.
        aborting: How likely an agent is ended from outside.
        lasting: Who never is.
        racer: What runs them.
        beside: What goes on beside them, and ends as well.
        gives_up: Is told the rank of an agent that gives up.

    Returns:
        Their reports, and the names of those that were ended from outside.

    Raises:
        Violation: An agent that has ended could still call.
    """
    absent: set[str] = set()
    runs: list[Racer] = []
    for agent in agents:
        session = await domain.join(agent.name)
        run = (racer or Racer)(agent, domain, session.rank, rng, meddling)
        run.gives_up = gives_up
        runs.append(run)

    async def follow(run: Racer) -> None:
        async with domain.clock.participant():
            await run.run()

    async with anyio.create_task_group() as tasks:
        for act in beside:
            tasks.start_soon(act)
        for run in runs:
            tasks.start_soon(follow, run)
            if rng.random() < aborting and run.agent.name not in lasting:
                for _ in range(rng.choice((1, 2))):
                    tasks.start_soon(_end, run, rng, absent)
    return [run.report for run in runs], absent


async def _end(run: Racer, rng: random.Random, absent: set[str]) -> None:
    for _ in range(rng.randint(0, 5)):
        await pause(rng)
    while True:
        try:
            await run.session.abort("its lease ran out")
            break
        except AgentNotActive:
            return
        except TargetError:  # something is not to be taken back as yet
            await pause(rng)
    absent.add(run.agent.name)
    try:
        await run.session.call("put", key="kv:late", value=1)
    except AgentNotActive:
        return
    raise Violation(f"{run.agent.name} has called after its end")


async def pause(rng: random.Random) -> None:
    """Let others go on for a while."""
    for _ in range(rng.randint(0, _TURNS_MAX)):
        await anyio.lowlevel.checkpoint()
