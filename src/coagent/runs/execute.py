"""Carries out a plan: joins the agents, runs them side by side, and judges what they leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from coagent.agents.scripted import ScriptedRun
from coagent.errors import AgentNotActive, CoAgentError, ConfigurationError
from coagent.log.urls import shown_url
from coagent.masking.mask import Mask
from coagent.runs.history import History
from coagent.runs.plan import Plan, PlannedAgent, check_endpoints
from coagent.runs.report import AgentReport, RunReport, changes_of, kept_of, repairs_of
from coagent.runs.verdict import Verdict, judge
from coagent.runtime.domain import Domain
from coagent.runtime.session import AgentSession

_ABORT_TIME_MAX_S = 30.0


@dataclass
class Progress:
    """A run as it goes, for whoever shows it; `changed` is called after every event."""

    plan: Plan
    history: History | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    changed: Callable[[Progress], None] = lambda progress: None


async def execute(
    plan: Plan, changed: Callable[[Progress], None] | None = None, mask: Mask | None = None
) -> RunReport:
    """Run the agents of a plan to their end. SIGINT and SIGTERM abort them all, which withdraws their work.

    Args:
        plan: From `make_plan`.
        changed: Called after every event of the run.
        mask: Of the output that the report is for; it learns the secrets that the run comes upon.

    Returns:
        The report; agents that failed are part of it.

    Raises:
        ConfigurationError: Nothing was started: a model server is down, or the log has unfinished agents.
        LogError, TargetError: The log or a target cannot be opened.
    """
    await check_endpoints(plan)
    progress = Progress(plan, changed=changed or (lambda progress: None))
    async with plan.domain as domain:
        _require_rest(domain)
        history = progress.history = History(domain, lambda: progress.changed(progress), mask)
        domain.observe(history)
        started = domain.clock.now_s()
        first = domain.kernel.next_rank()
        sessions = {}
        for agent in sorted(plan.agents, key=lambda agent: agent.order):
            rank = first + agent.order if agent.pinned or domain.order == "fixed" else None
            sessions[agent.name] = await domain.join(agent.name, rank=rank)
        await _run_all(progress, domain, sessions)
        seconds = domain.clock.now_s() - started
        verdict, changes = Verdict("unknown", "the run did not come to its end"), []
        try:
            await domain.settle()
            changes = await changes_of(domain, history)
            verdict = await judge(domain, history)
        except CoAgentError as error:
            verdict = Verdict("unknown", history.mask.text(str(error)))
        agents = [_report(agent, progress, sessions[agent.name]) for agent in plan.agents]
        return RunReport(domain.protocol, agents, changes, verdict, seconds, progress.stopped)


def _require_rest(domain: Domain) -> None:
    active = [agent.name for agent in domain.agents if not agent.ended]
    if active:
        raise ConfigurationError(
            f"the log {shown_url(domain.url)!r} has agents that have not ended: {', '.join(active)}",
            "Abort them with `coagent undo AGENT`, or name another log.",
        )


async def _run_all(progress: Progress, domain: Domain, sessions: dict[str, AgentSession]) -> None:
    """Run every agent, until all have ended, time is up, or somebody interrupts."""
    async with anyio.create_task_group() as outer:
        outer.start_soon(_watch_signals, progress, outer)
        with anyio.move_on_after(progress.plan.file.timeout_s) as scope:
            async with anyio.create_task_group() as inner:
                for agent in progress.plan.agents:
                    known = domain.clock.participant()
                    await (
                        known.__aenter__()
                    )  # a virtual clock has to know all of them before the first one thinks
                    inner.start_soon(_run_one, agent, progress, sessions[agent.name], known)
        if scope.cancelled_caught:
            progress.stopped = f"the agents were not done after {progress.plan.file.timeout_s:g} s"
        outer.cancel_scope.cancel()
    with anyio.CancelScope(shield=True), anyio.move_on_after(_ABORT_TIME_MAX_S):
        for agent in reversed(progress.plan.agents):
            await _abort(sessions[agent.name], progress, progress.stopped or "it did not come to its end")


async def _watch_signals(progress: Progress, group: TaskGroup) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # signals reach only the main thread
    try:
        receiver = anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM)
        with receiver as signals:
            async for number in signals:
                progress.stopped = f"interrupted ({number.name})"
                group.cancel_scope.cancel()
                return  # a second signal ends the process at once
    except NotImplementedError:
        return


async def _run_one(
    one: PlannedAgent, progress: Progress, session: AgentSession, known: AbstractAsyncContextManager[None]
) -> None:
    domain = progress.plan.domain
    started = domain.clock.now_s()
    try:
        if one.kind == "script":
            progress.reasons[one.name] = (await ScriptedRun(one.agent, session, domain.clock).run()).failure
        else:
            await one.agent.run(domain, session)
    except Exception as failure:
        reason = str(failure) if isinstance(failure, CoAgentError) else f"{type(failure).__name__}: {failure}"
        await _abort(session, progress, reason)
    finally:
        await known.__aexit__(None, None, None)
        progress.seconds[one.name] = domain.clock.now_s() - started
        progress.changed(progress)


async def _abort(session: AgentSession, progress: Progress, reason: str) -> None:
    """Withdraw an agent's work if it has not ended, and remember why."""
    if session.state in ("committed", "aborted"):
        return
    progress.reasons.setdefault(session.name, reason)
    try:
        await session.abort(reason)
    except AgentNotActive:
        return
    except CoAgentError as error:
        progress.reasons[session.name] = f"{reason}; and its work could not be withdrawn: {error}"


def _report(one: PlannedAgent, progress: Progress, session: AgentSession) -> AgentReport:
    assert progress.history is not None, "the run has begun"
    mask = progress.history.mask
    recorded = progress.history.agents[session.rank]
    usage = getattr(one.agent, "usage", None)
    reason = str(progress.reasons.get(one.name) or getattr(one.agent, "reason", ""))
    if reason == "cancelled" and progress.stopped:
        reason = progress.stopped
    return AgentReport(
        name=one.name,
        order=one.order,
        kind=one.kind,
        what=one.what,
        state=session.state,
        reason="" if session.state == "committed" else mask.text(reason),
        calls=len(recorded.calls),
        notices=sum(act.kind == "told" for act in recorded.acts),
        repairs=repairs_of(recorded),
        requests=getattr(usage, "requests", 0),
        input_tokens=getattr(usage, "input_tokens", 0),
        output_tokens=getattr(usage, "output_tokens", 0),
        seconds=progress.seconds.get(one.name, 0.0),
        answer=mask.text(getattr(one.agent, "answer", "")),
        kept=kept_of(recorded, getattr(getattr(one.agent, "counters", None), "notices", ()), mask),
        acts=recorded.acts,
    )
