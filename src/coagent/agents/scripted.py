"""Scripted agents: programs with think times that repair themselves, as an ideal agent would.

They stand in for LLM agents in tests, demos and benchmarks. A program is a function that returns a generator
of calls, which gets their results:

    def canary():
        geo = yield "get", {"key": "k8s:default/deployments/geo"}
        try:
            yield Step("create", {"key": "k8s:default/deployments/canary", "value": geo}, think_s=40)
        except ToolFailed:
            raise GiveUp("there is a canary already")

    report = await run_agents(domain, [ScriptedAgent("A", repair_images), ScriptedAgent("B", canary)])

A failing tool raises `ToolFailed` at the `yield`. A program that does not catch it, or that raises `GiveUp`,
aborts its agent, once what it was told is final. How it repairs is told in `repair.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal

import anyio

from coagent.agents.repair import Asked, GiveUp, Program, Step, Tally, TimelineEvent, Walker
from coagent.errors import AgentNotActive, AgentRestarted
from coagent.runtime.clock import Clock
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession

__all__ = [
    "AgentReport",
    "Asked",
    "GiveUp",
    "Program",
    "RunReport",
    "ScriptedAgent",
    "ScriptedRun",
    "Step",
    "Tally",
    "TimelineEvent",
    "run_agents",
]


@dataclass(frozen=True)
class ScriptedAgent:
    """An agent that follows a program.

    Args:
        name: Its name in the domain.
        program: Called without arguments for every pass; `functools.partial` binds parameters.
        think_s: Thinking time in seconds before each fresh call and each repair that changes something.
        tokens: What one such inference costs.
        start_s: How long after the others it sets out (it joins with them).
        goal: What it is to reach, for people who look on.
    """

    name: str
    program: Program
    think_s: float = 1.0
    tokens: int = 500
    start_s: float = 0.0
    goal: str = ""


@dataclass
class AgentReport:
    """How an agent fared.

    Args:
        state: "committed", "aborted", or "active" where the run was broken off.
        failure: Why it aborted, in words; empty where it did not.
        started_s: When it set out, on the domain's clock.
        finished_s: When it ended.
        tally: What it did; `tally.timeline` is there to be drawn.
    """

    name: str
    rank: int
    state: Literal["active", "committed", "aborted"] = "active"
    failure: str = ""
    started_s: float = 0.0
    finished_s: float = 0.0
    tally: Tally = field(default_factory=Tally)


@dataclass
class RunReport:
    """How a run of several agents went, in rank order.

    Args:
        protocol: The domain's protocol.
        agents: One report an agent.
    """

    protocol: str
    agents: list[AgentReport]

    @property
    def makespan_s(self) -> float:
        """Seconds from the first start to the last end."""
        if not self.agents:
            return 0.0
        return max(one.finished_s for one in self.agents) - min(one.started_s for one in self.agents)

    def total(self, name: str) -> int:
        """Return the sum of one of the counts, such as "tokens" or "notifications"."""
        return sum(getattr(one.tally, name) for one in self.agents)

    def of(self, name: str) -> AgentReport:
        """Return the report of one agent."""
        return next(one for one in self.agents if one.name == name)


class ScriptedRun:
    """One run of a scripted agent.

    Args:
        agent: What to follow.
        session: Its place in the domain.
        clock: Where its thinking takes time; None: it thinks in no time, for tests with a schedule.
    """

    def __init__(self, agent: ScriptedAgent, session: AgentSession, clock: Clock | None = None) -> None:
        self.agent = agent
        self.session = session
        self.report = AgentReport(agent.name, session.rank)
        self._clock = clock
        self.walker = Walker(agent.program, session, self._think, self.log, self.report.tally)

    async def run(self) -> AgentReport:
        """Follow the program to the end: until the agent has committed or aborted."""
        if self._clock is not None and self.agent.start_s:
            await self._clock.sleep(self.agent.start_s)
        self.report.started_s = self._now_s()
        self.session.say(self.agent.goal, goal=True)
        try:
            while not await self._settle():
                pass
        except AgentNotActive as failure:
            self.ended("aborted", str(failure))
        return self.report

    async def _settle(self) -> bool:
        walker, session = self.walker, self.session
        while await walker.act():
            pass
        if walker.failure is not None:
            notices = await session.wait_for_turn()
            walker.heed(notices)
            if not notices:
                await self.give_up()
            return not notices
        self.session.say(walker.last_words)
        self.log("finish", "")
        try:
            settlement = await session.finish(wait=True)
        except AgentRestarted as restarted:
            walker.begin_again(str(restarted))
            return False
        walker.heed(settlement.notifications)
        if settlement.state == "committed":
            self.ended("committed")
        return settlement.state == "committed"

    async def give_up(self) -> None:
        """Abort, for the reason that the program ended with."""
        reason = str(self.walker.failure)
        await self.session.abort(reason)
        self.ended("aborted", reason)

    def ended(self, state: Literal["committed", "aborted"], failure: str = "") -> None:
        """Note that the agent has ended."""
        self.report.state = state
        self.report.failure = failure
        self.report.finished_s = self._now_s()
        self.log("commit" if state == "committed" else "abort", failure)

    def log(self, kind: str, text: str) -> None:
        """Put an event on the timeline."""
        self.report.tally.timeline.append(TimelineEvent(self._now_s(), kind, text))

    async def _think(self, think_s: float | None, tokens: int | None, text: str) -> None:
        agent = self.agent
        self.report.tally.tokens += agent.tokens if tokens is None else tokens
        seconds = agent.think_s if think_s is None else think_s
        if self._clock is not None and seconds > 0:
            self.log("think", text)
            await self._clock.sleep(seconds)

    def _now_s(self) -> float:
        return 0.0 if self._clock is None else self._clock.now_s()


async def run_agents(domain: Domain, agents: Sequence[ScriptedAgent]) -> RunReport:
    """Run agents concurrently until all have committed or aborted, on the domain's clock.

    They join in the order of the list, so that is the order in which they count.

    Args:
        domain: An open domain.
        agents: Their names must differ.

    Raises:
        JoinRefused: A name is in use.
        ExceptionGroup: A program raised something other than `ToolFailed` or `GiveUp`.
    """
    runs = []
    for agent in agents:
        session = await domain.join(agent.name)
        runs.append(ScriptedRun(agent, session, domain.clock))
    async with anyio.create_task_group() as tasks:
        for run in runs:  # the clock has to know all of them before the first one thinks
            known = domain.clock.participant()
            await known.__aenter__()
            run.log("join", f"rank {run.session.rank}")
            tasks.start_soon(_run, run, known)
    return RunReport(domain.protocol, [run.report for run in runs])


async def _run(run: ScriptedRun, known: AbstractAsyncContextManager[None]) -> None:
    try:
        await run.run()
    finally:
        await known.__aexit__(None, None, None)
