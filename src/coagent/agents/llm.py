"""Agents that are language models, through Pydantic AI: a model, a goal, and a session in a domain."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from time import monotonic
from typing import Literal

import anyio
from pydantic_ai import (
    Agent,
    ModelMessage,
    RunUsage,
    UsageLimits,
    capture_run_messages,
)
from pydantic_ai.exceptions import ModelAPIError, RunTimedOut, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from coagent.agents.budget import Budget
from coagent.agents.llm_model import REQUEST_RETRIES, resolve_model, retry_settings
from coagent.agents.llm_text import (
    judging_prompt,
    notified_prompt,
    second_look_prompt,
)
from coagent.agents.llm_tools import BudgetExceeded, Counters, SessionToolset, usable
from coagent.agents.second_look import standing
from coagent.agents.transcript import write_transcript
from coagent.errors import AgentNotActive, AgentRestarted
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession
from coagent.wording.instructions import for_an_agent

__all__ = ["Budget", "LlmAgent"]

_OUTPUT_RETRIES = 3
_ABORT_TIME_MAX_S = 30.0


class LlmAgent:
    """One agent: a model that works towards a goal with the domain's tools until its work is committed.

    Args:
        name: Its name in the domain.
        goal: What it is to reach; the first prompt.
        model: A Pydantic AI model id (`provider:name`), or a model.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        api_key: Its key; by default from the environment.
        instructions: Further instructions, put after those on working with others.
        budget: What it may spend; going over it withdraws its work.
        tools: The names of the tools that it may use; all of the domain's by default.
        settings: Model settings, such as the temperature.
        short_prompt: Whether a model that had finished is asked about notices in a conversation of its own,
            with goal, calls and notices alone, instead of with everything that it has said and seen before.
        second_look: Whether, before it commits, it is shown once more those of its writes that it has left
            as they were although what they may rest on has moved.
        request_retries: How often the model's client repeats a request that failed.
        transcripts: A directory for its messages, `NAME.json`.

    Raises:
        ConfigurationError: The model cannot be used: unknown, no key, no client.
    """

    def __init__(
        self,
        name: str,
        goal: str,
        model: Model | str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        instructions: str | None = None,
        budget: Budget | None = None,
        tools: Collection[str] | None = None,
        settings: ModelSettings | None = None,
        short_prompt: bool = True,
        second_look: bool = True,
        request_retries: int = REQUEST_RETRIES,
        transcripts: str | Path | None = None,
    ) -> None:
        self.name = name
        self.goal = goal
        self.model = resolve_model(model, base_url=base_url, api_key=api_key)
        self.budget = budget or Budget()
        self.counters = Counters()
        self.usage = RunUsage()
        self.state: Literal["waiting", "working", "committed", "aborted"] = "waiting"
        self.reason = ""
        """Why it was aborted."""
        self.answer = ""
        """What the model said last."""
        self._instructions = "\n\n".join(filter(None, [for_an_agent(name), instructions]))
        self._tools = tools
        self._settings = retry_settings(self.model, request_retries, settings)
        self._transcripts = None if transcripts is None else Path(transcripts)
        self._short_prompt, self._second_look = short_prompt, second_look
        self._messages: list[ModelMessage] = []
        self._earlier: list[ModelMessage] = []  # conversations that are over, for the transcript
        self._looked = 0  # how many notices have been looked at a second time
        self._worked_s = 0.0

    async def run(self, domain: Domain, session: AgentSession) -> None:
        """Work until the session is committed or aborted; `state` and `reason` say which and why.

        Failures of the model, of its endpoint and of its budget abort the session: its writes are withdrawn.

        Raises:
            ConfigurationError: It is to use a tool that the domain does not have.
            CoAgentError: The domain itself failed (its log, a target that cannot take a value back).
        """
        agent = Agent(
            self.model,
            name=self.name,
            deps_type=type(None),
            instructions=self._instructions,
            toolsets=[SessionToolset(session, usable(domain.tools, self._tools), self.budget, self.counters)],
            model_settings=self._settings,
            retries={"tools": _OUTPUT_RETRIES, "output": _OUTPUT_RETRIES},
        )
        session.say(self.goal, goal=True)
        try:
            async with agent:
                prompt = self.goal
                while prompt:
                    try:
                        await self._work(agent, prompt)
                        session.say(self.answer)
                        prompt = self._again(session) or await self._finish(session)
                    except AgentRestarted:
                        self.counters.restarts += 1
                        self._looked = len(self.counters.notices)
                        self._begin_anew()
                        prompt = self.goal
                self.state = "committed"
        except _STOPS as stop:
            await self._abort(session, self._reason(stop))
        except AgentNotActive as ended:
            self.state, self.reason = "aborted", str(ended)
        except anyio.get_cancelled_exc_class():
            await self._abort(session, "cancelled")
            raise
        except BaseException as failure:
            await self._abort(session, f"{type(failure).__name__}: {failure}")
            raise
        finally:
            self._keep_transcript()

    async def _work(self, agent: Agent[None, str], prompt: str) -> None:
        """Let the model work until it ends its turn."""
        self.state = "working"
        limits = UsageLimits(request_limit=self.budget.requests, total_tokens_limit=self.budget.tokens)
        started = monotonic()
        with capture_run_messages() as messages:
            try:
                result = await agent.run(
                    prompt,
                    message_history=self._messages,
                    usage=self.usage,
                    usage_limits=limits,
                    timeout=self._seconds_left(),
                )
                self.answer = result.output
            finally:
                self._messages = list(messages)
                self._worked_s += monotonic() - started

    def _again(self, session: AgentSession) -> str:
        """Return the prompt for a second look, or nothing."""
        if not self._second_look:
            return ""
        counters, first = self.counters, self._looked
        self._looked = len(counters.notices)
        doubtful = standing(counters.notices, counters.repaired, session.effective, first=first)
        return second_look_prompt(session, doubtful) if doubtful else ""

    async def _finish(self, session: AgentSession) -> str:
        """Return the prompt for what came while the agent waited; nothing once it has committed."""
        self.state = "waiting"
        settlement = await session.finish(wait=True)
        if settlement.state == "committed":
            return ""
        self.counters.notices.extend(settlement.notifications)
        if not self._short_prompt:
            return notified_prompt(settlement.notifications, session.quoting)
        self._begin_anew()
        return judging_prompt(self.goal, session, settlement.notifications)

    def _begin_anew(self) -> None:
        self._earlier += self._messages
        self._messages = []

    def _seconds_left(self) -> float | None:
        if self.budget.seconds is None:
            return None
        left = self.budget.seconds - self._worked_s
        if left <= 0:
            raise BudgetExceeded(f"it has worked for {self.budget.seconds:g} s, which is its budget")
        return left

    def _reason(self, stop: Exception) -> str:
        if isinstance(stop, RunTimedOut):
            return f"budget: it has worked for {self.budget.seconds:g} s"
        if isinstance(stop, UsageLimitExceeded):
            if self.budget.tokens is not None and self.usage.total_tokens > self.budget.tokens:
                return f"budget: it has used {self.usage.total_tokens} tokens of {self.budget.tokens}"
            return f"budget: it has made {self.usage.requests} model requests of {self.budget.requests}"
        if isinstance(stop, BudgetExceeded):
            return f"budget: {stop}"
        if isinstance(stop, UnexpectedModelBehavior):
            return f"the model does not answer as it should: {stop}"
        return f"the model cannot be reached: {_with_cause(stop)}"

    async def _abort(self, session: AgentSession, reason: str) -> None:
        """Withdraw the agent's work, also while the task is being cancelled."""
        self.reason = reason
        with anyio.CancelScope(shield=True), anyio.move_on_after(_ABORT_TIME_MAX_S):
            if session.state in ("active", "finished"):
                await session.abort(reason)
        self.state = "committed" if session.state == "committed" else "aborted"

    def _keep_transcript(self) -> None:
        if self._transcripts is not None:
            write_transcript(self._transcripts, self.name, [*self._earlier, *self._messages])


_STOPS = (ModelAPIError, UnexpectedModelBehavior, UsageLimitExceeded, RunTimedOut, BudgetExceeded)
"""What ends an agent, not the run."""


def _with_cause(error: Exception) -> str:
    text = str(error) or type(error).__name__
    cause = error.__cause__
    while cause is not None and str(cause) in text and cause.__cause__ is not None:
        cause = cause.__cause__
    return text if cause is None or str(cause) in text else f"{text} ({cause})"
