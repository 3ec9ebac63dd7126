"""Simulated agents: reference policies whose thinking costs what an LLM's would.

An inference stands behind every fresh call, and one ends every agent's work. A notice is read with the next
inference if one is due anyway; an agent that has finished is asked about it in one of its own. Notices that
come together are read together, and the amendments that follow from them are issued by one inference.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Any

from coagent.agents.repair import Step
from coagent.agents.scripted import AgentReport, ScriptedAgent, ScriptedRun
from coagent.errors import AgentRestarted, CoAgentError
from coagent.runtime.clock import Clock
from coagent.runtime.notices import Notification
from coagent.runtime.session import AgentSession
from coagent.wording.notices import notices_text
from coagent_lab.bench.contended.costs import Costs, Ledger
from coagent_lab.bench.contended.judging import Judging, JudgingWalker

CALLS_MAX = 1000
DETECTED_S = 30.0
"""How long it takes, in seconds, until somebody sees that a worker has died."""


class Died(Exception):
    """The worker's process is gone."""


class SimulatedRun(ScriptedRun):
    """One run of a simulated agent.

    Args:
        goal: What the agent is to do; part of its context.
        program: Its reference policy.
        session: Its place in the domain.
        clock: The domain's.
        costs: What thinking costs.
        judging: How notices are judged.
        randomness: Of this agent alone.
    """

    def __init__(
        self,
        goal: str,
        program: Callable[[], Generator[Any, Any, Any]],
        session: AgentSession,
        clock: Clock,
        costs: Costs,
        judging: Judging,
        randomness: random.Random,
    ) -> None:
        agent = ScriptedAgent(session.name, _priced(program, costs), goal=goal)
        super().__init__(agent, session, clock)
        self.ledger = Ledger()
        self.busy_s = 0.0
        """How long it has thought and called tools: what it would take if it never waited."""
        self.spent: list[int] = []
        """The tokens that it had used at each call that was no amendment."""
        self.dies_after: int | None = None
        """The number of calls after which its process dies; None: it does not."""
        walker = JudgingWalker(agent.program, session, self._think, self.log, self.report.tally)
        walker.prepare(judging, randomness)
        self.walker = self._walker = walker
        self._costs, self._judging, self._randomness = costs, judging, randomness
        self._goal_tokens = costs.tokens_of(goal)
        self._finished = False
        self._begin()

    @property
    def false_notices(self) -> int:
        """How many notices there were after which nothing had to be changed."""
        return self._walker.false_notices

    def _begin(self) -> None:
        """Start a conversation."""
        self._context = self._costs.prompt_tokens + self._goal_tokens
        self._sent = 0  # how much of the context has been sent before
        self._absorbed = 0  # how many calls' results are in it
        self._open = True  # whether the agent has yet to say that it is done
        self._riding = False  # whether the next call may be issued together with the amendments before it

    async def run(self) -> AgentReport:
        """Follow the program to the end, or until the worker dies and that has been seen."""
        try:
            return await super().run()
        except Died:
            assert self._clock is not None
            await self._clock.sleep(DETECTED_S)
            await self.session.abort("its process has died")
            self.ended("aborted", "its process has died")
            return self.report

    async def _settle(self) -> bool:
        walker = self._walker
        while await walker.act():
            pass
        if walker.failure is not None:
            return await super()._settle()
        if walker.unread or walker.spurious:
            await self._judge()  # asked, and it found that all is still right, or did something needless
        again = walker.second_look() if self._judging.second_look else []
        if self._open:
            await self._close(again)
        elif again:
            await self._pause(self._look(again))
        if again:
            walker.look_again(again)
            walker.unread = []
            return False
        self.log("finish", "")
        try:
            settlement = await self.session.finish(wait=True)
        except AgentRestarted as restarted:
            self._restart(str(restarted))
            return False
        self._finished = True
        walker.heed(settlement.notifications)
        if settlement.state == "committed":
            self.ended("committed")
        return settlement.state == "committed"

    def _restart(self, why: str) -> None:
        self._walker.begin_again(why)
        self._begin()

    # ---- inferences ----------------------------------------------------------------------------------------

    async def _think(self, think_s: float | None, tokens: int | None, text: str) -> None:
        if tokens is None:
            await self._judge()
            return
        if self.dies_after is not None and len(self._walker.made) >= self.dies_after:
            raise Died
        if self.report.tally.restarts and not self._walker.made and self._absorbed:
            self._begin()  # the protocol has undone everything: a new conversation
        self._open = True
        if self._riding and not self._walker.surprised:
            self._riding = False  # issued together with the amendments of the inference before
            seconds = self.ledger.extend(self._costs, tokens)
            self._context += tokens
            await self._pause(seconds)
        else:
            await self._infer(self._costs.reasoning_tokens, text, tokens)
        self.spent.append(self.ledger.tokens)
        await self._pause(self._costs.tool_s)

    async def _infer(self, median: float, text: str, call_tokens: int = 0) -> None:
        """One inference over the whole context; it reads what has come, notices among it."""
        self._riding = False
        self._absorb()
        output = self._costs.output(median, self._randomness) + call_tokens
        seconds = self.ledger.charge(self._costs, self._context, self._sent, output)
        self._sent = self._context
        self._context += output
        self.log("think", text)
        await self._pause(seconds)

    async def _close(self, again: list[Notification]) -> None:
        """The inference that ends the work, and beside it the second look, which does not depend on it."""
        self._absorb()
        output = self._costs.output(self._costs.closing_tokens, self._randomness)
        seconds = self.ledger.charge(self._costs, self._context, self._sent, output)
        self._sent = self._context
        self._context += output
        self._open = False
        self.log("think", "closing")
        await self._pause(max(seconds, self._look(again)) if again else seconds)

    def _look(self, again: list[Notification]) -> float:
        """One inference about writes that still stand although a premise of theirs has moved."""
        costs = self._costs
        self.ledger.judgings += 1
        self.log("judge", f"{len(again)} notices, a second time")
        shown = costs.tokens_of(notices_text(again, self.session.quoting))
        named = {one for notice in again for one in notice.dependents}
        shown += sum(
            costs.tokens_of(dict(made.arguments)) for made in self._walker.made if made.call_id in named
        )
        context = costs.judging_prompt_tokens + self._goal_tokens + shown
        return self.ledger.charge(costs, context, 0, costs.output(costs.look_tokens, self._randomness))

    async def _judge(self) -> None:
        """One inference about notices, with the amendments that follow from it."""
        costs, walker = self._costs, self._walker
        notices, walker.unread = walker.unread, []
        self.ledger.judgings += 1
        standing = {made.call_id: made for made in walker.made if made.call_id is not None}
        named = sorted({one for notice in notices for one in notice.dependents} & standing.keys())
        arguments = {one: costs.tokens_of(dict(standing[one].arguments)) for one in named}
        output = costs.output(costs.repair_tokens, self._randomness)
        output += sum(arguments[one] for one in named if not self._proposed(notices, one))
        shown = costs.tokens_of(notices_text(notices, self.session.quoting))
        for _ in range(1 if self._judging.coalesce else max(1, len(notices))):
            if self._finished and self._judging.short_prompt:
                context = costs.judging_prompt_tokens + self._goal_tokens + shown + sum(arguments.values())
                seconds = self.ledger.charge(costs, context, 0, output)
            else:
                self._absorb()
                self._context += shown
                seconds = self.ledger.charge(costs, self._context, self._sent, output)
                self._sent = self._context
                self._context += output
            self.log("judge", f"{len(notices)} notices")
            await self._pause(seconds)
        walker.spurious, walker.surprised = 0, False
        self._riding = self._judging.ride_along and not self._finished

    def _proposed(self, notices: list[Notification], call_id: str) -> bool:
        if not self._judging.proposals:
            return False
        return any(one.call_id == call_id for notice in notices for one in notice.proposals)

    def _absorb(self) -> None:
        """Put what has come since the last inference into the context."""
        made = self._walker.made
        self._absorbed = min(self._absorbed, len(made))
        for one in made[self._absorbed :]:
            self._context += self._costs.tokens_of(self._shown(one.call_id, one.error))
        self._absorbed = len(made)
        if self._walker.unread:
            self._context += self._costs.tokens_of(notices_text(self._walker.unread, self.session.quoting))
        self._walker.unread = []

    def _shown(self, call_id: str | None, error: CoAgentError | None) -> Any:
        if call_id is None:
            return str(error)
        try:
            return self.session.result(call_id)
        except CoAgentError as failure:
            return str(failure)

    async def _pause(self, seconds: float) -> None:
        assert self._clock is not None
        self.busy_s += seconds
        await self._clock.sleep(seconds)


def _priced(
    program: Callable[[], Generator[Any, Any, Any]], costs: Costs
) -> Callable[[], Generator[Any, Any, Any]]:
    """Return the program with the tokens of each call worked out, and its length bounded."""

    def priced() -> Generator[Any, Any, Any]:
        running = program()
        result: Any = None
        failure: CoAgentError | None = None
        for _ in range(CALLS_MAX):
            try:
                tool, arguments = running.send(result) if failure is None else running.throw(failure)
            except StopIteration:
                return
            result, failure = None, None
            try:
                result = yield Step(tool, arguments, None, costs.tokens_of({"tool": tool, **arguments}))
            except CoAgentError as error:
                failure = error
        raise CoAgentError(f"the policy has made {CALLS_MAX} calls and does not end", "Correct the policy.")

    return priced
