"""One trial: a workload under a protocol, with one seed, on a virtual clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import anyio

from coagent.agents.scripted import AgentReport
from coagent.errors import CoAgentError
from coagent.protocol.values import Value, same
from coagent.runtime.clock import VirtualClock
from coagent.runtime.domain import open_domain
from coagent_lab.bench.contended.agent import SimulatedRun
from coagent_lab.bench.contended.costs import Costs
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.judging import Judging
from coagent_lab.bench.contended.workload import AgentSpec, Workload


@dataclass
class Trial:
    """What one trial gave.

    Args:
        serial_in_order: Whether it ended as the serial run in the order of ranks.
        serial_any_order: Whether it ended as some serial run.
        accepted: Whether the workload file's own check accepts the end; None where it has none.
        makespan_s: Virtual seconds from the start to the last commit.
        busy_s: Virtual seconds that the busiest agent thought and called tools, without any waiting.
        spent: The tokens that had been used at each call, of all agents one after another.
        tokens: All tokens, without prompt caching.
        cached_tokens: The same with prompt caching.
        false_notices: Notices after which nothing had to be changed.
        failure: Why it broke off; empty where it did not.
    """

    workload: str
    protocol: str
    seed: int
    serial_in_order: bool = False
    serial_any_order: bool = False
    accepted: bool | None = None
    makespan_s: float = 0.0
    busy_s: float = 0.0
    spent: list[int] = field(default_factory=list)
    tokens: int = 0
    cached_tokens: float = 0.0
    inferences: int = 0
    judgings: int = 0
    notifications: int = 0
    false_notices: int = 0
    amended: int = 0
    aborts: int = 0
    deadlocks: int = 0
    failure: str = ""
    final: Value = None
    agents: list[AgentReport] = field(default_factory=list)


async def run_trial(
    workload: Workload,
    family: Family,
    protocol: str,
    seed: int,
    costs: Costs,
    judging: Judging,
    dies_after: int | None = None,
) -> Trial:
    """Run a workload's agents concurrently under a protocol and judge where they end.

    Args:
        workload: What to run.
        family: Its family.
        protocol: The protocol's name.
        seed: Sets how long the agents think.
        costs: What thinking costs.
        judging: How notices are judged.
        dies_after: The number of calls after which the first agent's process dies; then `workload` has the
            serial outcomes of the others. None: nobody dies.
    """
    trial = Trial(workload.id, protocol, seed)
    clock = VirtualClock()
    try:
        with family.open_target() as target:
            async with open_domain(
                "memory:", targets=[target], tools=[family.tools], protocol=protocol, clock=clock
            ) as domain:
                runs = []
                for number, agent in enumerate(workload.agents):
                    session = await domain.join(agent.name)
                    runs.append(_run_of(workload, agent, session, clock, costs, judging, f"{seed}/{number}"))
                runs[0].dies_after = dies_after
                await _together(runs, clock)
                trial.deadlocks = getattr(domain.kernel, "deadlocks", 0)
                snapshot = target.snapshot()
    except Exception as failure:  # a policy may raise anything; it costs this trial only
        trial.failure = told(failure)
        return trial
    judge(trial, workload, family, family.final(snapshot))
    _count(trial, runs)
    return trial


def _run_of(
    workload: Workload,
    agent: AgentSpec,
    session: Any,
    clock: VirtualClock,
    costs: Costs,
    judging: Judging,
    seed: str,
) -> SimulatedRun:
    # One stream of random numbers an agent: the same seed gives it the same thinking under every protocol.
    randomness = random.Random(f"{workload.id}/{seed}")
    return SimulatedRun(agent.goal, workload.program(agent), session, clock, costs, judging, randomness)


async def _together(runs: list[SimulatedRun], clock: VirtualClock) -> None:
    async def follow(run: SimulatedRun, known: Any) -> None:
        try:
            await run.run()
        finally:
            await known.__aexit__(None, None, None)

    async with anyio.create_task_group() as tasks:
        for run in runs:  # the clock has to know all of them before the first one thinks
            known = clock.participant()
            await known.__aenter__()
            tasks.start_soon(follow, run, known)


def judge(
    trial: Trial, workload: Workload, family: Family, final: Value, *, ignore_case: bool = False
) -> None:
    """Compare where a trial ended with the serial outcomes of its workload.

    Args:
        trial: Gets the verdict.
        workload: What was run.
        family: Its family.
        final: Where the trial ended.
        ignore_case: Compare texts without case, for texts that a language model wrote.
    """

    def comparable(one: Value) -> Value:
        return _without_case(one) if ignore_case else one

    trial.final = final
    found = comparable(final)
    in_order = workload.final(workload.order)
    finals = [comparable(family.canonical(run.final)) for run in workload.serial]
    trial.serial_in_order = in_order is not None and same(found, comparable(family.canonical(in_order)))
    trial.serial_any_order = any(same(found, one) for one in finals)


def told(failure: BaseException) -> str:
    """Return in words why a trial broke off."""
    return "; ".join(_told(error) for error in _leaves(failure))


def _without_case(value: Value) -> Value:
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, list):
        return [_without_case(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_case(one) for name, one in value.items()}
    return value


def _count(trial: Trial, runs: list[SimulatedRun]) -> None:
    trial.agents = [run.report for run in runs]
    trial.makespan_s = max(run.report.finished_s for run in runs)
    trial.busy_s = max(run.busy_s for run in runs)
    trial.spent = [tokens for run in runs for tokens in run.spent]
    for run in runs:
        trial.tokens += run.ledger.tokens
        trial.cached_tokens += run.ledger.cached_tokens
        trial.inferences += run.ledger.inferences
        trial.judgings += run.ledger.judgings
        trial.notifications += run.report.tally.notifications
        trial.false_notices += run.false_notices
        trial.amended += run.report.tally.amended
        trial.aborts += run.report.tally.restarts + (run.report.state == "aborted")
        if run.report.state == "aborted" and run.dies_after is None:
            trial.failure = trial.failure or f"agent {run.report.name} aborted: {run.report.failure}"


def _leaves(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for one in group.exceptions for leaf in _leaves(one)]
    return [group]


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, CoAgentError) else f"{type(error).__name__}: {error}"
