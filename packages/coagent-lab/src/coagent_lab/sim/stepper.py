"""Scripted agents driven one action at a time, so that a schedule decides who moves next."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from coagent.agents.repair import Made
from coagent.agents.scripted import ScriptedAgent, ScriptedRun
from coagent.errors import JoinRefused, NotReversible, ToolFailed, UnknownAgent
from coagent.protocol.calls import CallId, Rank
from coagent.protocol.values import Value, copied
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession

Did: TypeAlias = Literal["acted", "finished", "committed", "aborted", "blocked"]


class Stepper:
    """One scripted agent that moves when it is told to.

    A step is one call, amendment or undo, or an attempt to finish; it never waits for another agent.

    Args:
        domain: The open domain; it may be exchanged for another one on the same log (`move_to`).
        agent: What to follow.
    """

    def __init__(self, domain: Domain, agent: ScriptedAgent) -> None:
        self.domain = domain
        self.agent = agent
        self._run: ScriptedRun | None = None
        self._stray: str | None = None
        self.rank: int | None = None
        """The rank that it asks for where it joins late."""
        self.parent: Stepper | None = None
        """After whom it joins, where that one is at work."""

    @property
    def run(self) -> ScriptedRun:
        """The run; only once it has joined."""
        assert self._run is not None, f"agent {self.agent.name!r} has not joined"
        return self._run

    @property
    def joined(self) -> bool:
        """Whether it has joined."""
        return self._run is not None

    @property
    def numbers(self) -> list[int]:
        """The numbers of its calls within the agent, in the order of its program."""
        found: list[int] = []
        for made in self.run.walker.made:
            recorded = made.call_id is not None
            found.append(int(str(made.call_id).rpartition(".")[2]) if recorded else (found or [0])[-1])
        return found

    @property
    def ended(self) -> bool:
        """Whether it has committed or aborted."""
        return self._run is not None and self._run.session.state in ("committed", "aborted")

    async def join(self, rank: int | None = None) -> None:
        """Join the domain; last of all where the rank is not to be had any more."""
        parent = None if self.parent is None or not self.parent.joined else self.parent.run.session
        try:
            session = await self.domain.join(self.agent.name, rank=rank, after=parent)
        except JoinRefused:
            session = await self.domain.join(self.agent.name)
        self._run = ScriptedRun(self.agent, session)

    async def move_to(self, domain: Domain) -> None:
        """Go on in another process, as it were: on another domain object over the same log."""
        self.domain = domain
        if self.joined and not self.ended:
            session = await self._taken(domain, self.run.session.rank)
            self.run.session = self.run.walker.session = session

    async def _taken(self, domain: Domain, rank: Rank) -> AgentSession:
        """Return the session of its agent, which may have ended by now."""
        try:
            return await domain.attach(self.agent.name, force=True)
        except UnknownAgent:
            return domain.session(rank)

    async def taken_up(self, domain: Domain) -> None:
        """Be taken up by somebody who knows nothing but what the log of a dead process tells."""
        self.domain, self._stray = domain, None
        if self.joined and self.run.report.state != "active":
            return
        known = [agent for agent in domain.agents if agent.name == self.agent.name]
        if not known:
            self._run = None  # nobody has heard of it
            return
        session = await self._taken(domain, known[-1].rank)
        self._run = ScriptedRun(self.agent, session)
        if known[-1].ended:
            self._run.ended("committed" if session.state == "committed" else "aborted")
            return
        self._run.walker.made[:] = [
            Made(call.tool, call.arguments, call.call_id, domain.tools[call.tool].gate == "stage")
            for call in session.calls
        ]
        self._run.walker.distrust()

    def may_step(self) -> bool:
        """Tell whether a step would do something."""
        if not self.joined:
            return True
        session, walker = self.run.session, self.run.walker
        if self.ended:
            return False
        if session.notified or self._stray is not None:
            return True
        walker.look()
        kernel = self.domain.kernel
        participant = kernel.agents[session.rank]
        if not kernel.may_call(participant):
            return False
        turn = kernel.its_turn(participant) or kernel.promotion(participant) is not None
        if walker.asked is not None:
            tool = self.domain.tools.get(walker.asked.tool)
            return turn or tool is None or tool.gate != "wait"
        if walker.idle:
            return turn if walker.failure is not None else session.state == "active"
        return True

    async def step(self) -> Did:
        """Do one thing."""
        if not self.joined:
            await self.join(self.rank)
            return "acted"
        await self.domain.flush()  # reads that wait to be recorded may keep it from passing others
        if not self.may_step():
            return "blocked"
        run = self.run
        if self._stray is not None:
            await self._undo_stray()
            return "acted"
        if await run.walker.act():
            return "acted"
        if run.walker.failure is not None:
            await self.domain.settle()
            if not self.may_step():
                return "blocked"  # somebody has passed it
            notices = await run.session.wait_for_turn()
            if notices:
                run.walker.heed(notices)
                return "acted"
            await run.give_up()
            return "aborted"
        settlement = await run.session.finish()
        run.walker.heed(settlement.notifications)
        if settlement.state == "committed":
            run.ended("committed")
            return "committed"
        return "acted" if settlement.state == "notified" else "finished"

    # ---- what an agent may do of its own accord ------------------------------------------------------------

    async def fumble(self, rng: random.Random, stray: Callable[[], tuple[str, Mapping[str, Value]]]) -> None:
        """Do something needless or wrong with one's own calls, and see to it afterwards.

        It calls something that it takes back at its next step, undoes a call that was right, or amends one to
        other arguments. The agent then goes through its program again and puts things right.
        """
        run = self.run
        walker = run.walker
        standing = self._reversible()
        choice = rng.choice(("stray", "undo", "amend", "amend", "look"))
        try:
            if choice == "stray" and self._stray is None:
                tool, arguments = stray()
                outcome = await run.session.call(tool, **arguments)
                walker.heed(outcome.notifications, outcome.changed)
                self._stray = outcome.call_id
            elif choice == "undo" and standing:
                made = rng.choice(standing)
                assert made.call_id is not None
                outcome = await run.session.undo(made.call_id)
                walker.forget(made)
                walker.heed(outcome.notifications, outcome.changed)
            elif choice == "amend" and standing:
                await self._amend_wrongly(rng, rng.choice(standing))
            elif choice == "look":
                walker.heed(await run.session.notifications())
        except NotReversible:
            pass
        except ToolFailed as failure:
            walker.heed(failure.notifications)

    def _reversible(self) -> list[Made]:
        """Return the calls after the last irreversible one that has run: none below may be touched."""
        found: list[Made] = []
        for made in reversed(self.run.walker.made):
            if made.call_id is not None:
                call = self.domain.kernel.call(CallId(made.call_id))
                if call is None or not call.reversible:
                    break
                found.append(made)
        return found

    async def _amend_wrongly(self, rng: random.Random, made: Made) -> None:
        assert made.call_id is not None
        right = copied(dict(made.arguments))
        wrong = {name: twisted(rng, name, argument) for name, argument in right.items()}
        self.run.walker.distrust()
        made.arguments = wrong
        try:
            outcome = await self.run.session.amend(made.call_id, **wrong)
        except NotReversible:
            made.arguments = right
        else:
            self.run.walker.heed(outcome.notifications, outcome.changed)

    async def abort(self) -> None:
        """Be ended from outside, as when a lease runs out."""
        await self.run.session.abort("its lease ran out")
        self.run.ended("aborted", "its lease ran out")

    async def _undo_stray(self) -> None:
        assert self._stray is not None
        stray, self._stray = self._stray, None
        outcome = await self.run.session.undo(stray)
        self.run.walker.heed(outcome.notifications, outcome.changed)


def twisted(rng: random.Random, name: str, argument: Value) -> Value:
    """Return an argument, or a wrong one in its place."""
    if rng.random() < 0.5:
        return argument
    if isinstance(argument, int):
        return argument + 1
    if isinstance(argument, dict):
        return {field: number + 1 for field, number in argument.items()}
    if name in ("text", "line", "old", "new"):
        return f"{argument}!"
    return argument
