"""Trials with real models: LLM agents from the workloads' goals and tools alone, on the real clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio

from coagent.agents.budget import Budget
from coagent.agents.llm import LlmAgent
from coagent.agents.llm_tools import Counters
from coagent.agents.repair import TimelineEvent
from coagent.agents.scripted import AgentReport
from coagent.runtime.domain import Domain, open_domain
from coagent.runtime.session import AgentSession
from coagent_lab.bench.contended.costs import Costs
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.kept import Kept
from coagent_lab.bench.contended.trial import Trial, judge, told
from coagent_lab.bench.contended.workload import AgentSpec, Workload


@dataclass(frozen=True)
class Modelled:
    """Language models as agents.

    Args:
        model: A Pydantic AI model id, or a model.
        base_url: An OpenAI-compatible endpoint to use instead of the provider's own.
        budget: What each agent may spend.
        keep: A directory for transcripts and results; a trial whose result is there is not run again.
        short_prompt: See `LlmAgent`.
        second_look: See `LlmAgent`.
    """

    model: Any
    base_url: str | None = None
    budget: Budget = field(default_factory=Budget)
    keep: Path | None = None
    short_prompt: bool = True
    second_look: bool = True
    exact: bool = False
    seconds_max: float | None = None

    def parameters(self) -> Mapping[str, Any]:
        return {
            "agents": "language models, from goals and tools alone, on the real clock",
            "model": str(self.model),
            "base_url": self.base_url,
            "budget": asdict(self.budget),
            "judging": {"second_look": self.second_look, "short_prompt": self.short_prompt},
        }

    async def run(self, workload: Workload, family: Family, protocol: str, seed: int) -> Trial:
        kept = None if self.keep is None else Kept(self.keep, workload.id, protocol, seed)
        known = None if kept is None else kept.read(self.parameters())
        if known is not None:
            return known
        trial = await self._run(workload, family, protocol, seed, None if kept is None else kept.folder)
        if kept is not None:
            kept.write(trial, self.parameters())
        return trial

    async def _run(
        self, workload: Workload, family: Family, protocol: str, seed: int, transcripts: Path | None
    ) -> Trial:
        trial = Trial(workload.id, protocol, seed)
        agents = [self._agent(workload, spec, transcripts) for spec in workload.agents]
        try:
            with family.open_target() as target:
                async with open_domain(
                    "memory:", targets=[target], tools=[family.tools], protocol=protocol
                ) as domain:
                    reports = await _together(domain, agents)
                    trial.deadlocks = getattr(domain.kernel, "deadlocks", 0)
                    final = family.final(target.snapshot())
        except (
            Exception
        ) as failure:  # whatever breaks, a model's nonsense in the state too, costs this trial only
            trial.failure = told(failure)
            return trial
        judge(trial, workload, family, final, ignore_case=workload.family == "workbench")
        _count(trial, agents, reports)
        return trial

    def _agent(self, workload: Workload, spec: AgentSpec, transcripts: Path | None) -> LlmAgent:
        return LlmAgent(
            spec.name,
            spec.goal,
            self.model,
            base_url=self.base_url,
            instructions=f"It is now {workload.now}." if workload.family == "workbench" else None,
            budget=self.budget,
            short_prompt=self.short_prompt,
            second_look=self.second_look,
            transcripts=transcripts,
        )


async def _together(domain: Domain, agents: list[LlmAgent]) -> list[AgentReport]:
    reports = []
    sessions = []
    for agent in agents:
        session = await domain.join(agent.name)
        sessions.append(session)
        reports.append(AgentReport(agent.name, session.rank))
    start_s = domain.clock.now_s()

    async def work(agent: LlmAgent, session: AgentSession, report: AgentReport) -> None:
        if domain.protocol == "serial":
            await session.wait_for_turn()  # one after another includes the thinking before the first call
        report.started_s = domain.clock.now_s() - start_s
        report.tally.timeline.append(TimelineEvent(report.started_s, "join", f"rank {report.rank}"))
        await agent.run(domain, session)
        report.finished_s = domain.clock.now_s() - start_s
        report.state, report.failure = (
            ("committed" if agent.state == "committed" else "aborted"),
            agent.reason,
        )
        end = "commit" if report.state == "committed" else "abort"
        report.tally.timeline.append(TimelineEvent(report.finished_s, end, agent.reason))

    async with anyio.create_task_group() as tasks:
        for agent, session, report in zip(agents, sessions, reports, strict=True):
            tasks.start_soon(work, agent, session, report)
    return reports


def _needless(counters: Counters) -> int:
    """Return how many notices named no call that the agent amended or undid after it had come."""
    return sum(
        not any(
            told > number and one in (*notice.premises, *notice.dependents) for told, one in counters.repaired
        )
        for number, notice in enumerate(counters.notices)
    )


def _count(trial: Trial, agents: list[LlmAgent], reports: list[AgentReport]) -> None:
    trial.agents = reports
    trial.makespan_s = max(report.finished_s for report in reports)
    for agent in agents:
        trial.tokens += agent.usage.total_tokens
        cached = agent.usage.cache_read_tokens * (1 - Costs().cached_share)
        trial.cached_tokens += agent.usage.total_tokens - cached
        trial.inferences += agent.usage.requests
        trial.notifications += len(agent.counters.notices)
        trial.false_notices += _needless(agent.counters)
        trial.amended += agent.counters.amendments
        trial.aborts += agent.counters.restarts + (agent.state == "aborted")
        if agent.state == "aborted":
            trial.failure = trial.failure or f"agent {agent.name} aborted: {agent.reason}"
