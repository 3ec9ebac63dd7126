"""Plays scripted agents under a protocol, and one after another for comparison."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from coagent.agents.scripted import AgentReport, Program, RunReport, ScriptedAgent, run_agents
from coagent.demos.report import Lane, Mark, MarkKind, Told
from coagent.errors import CoAgentError
from coagent.log.base import LogSettings
from coagent.log.codec import Recorded
from coagent.log.keeping import keep
from coagent.protocol.calls import parsed_call_id
from coagent.protocol.values import Value, same
from coagent.runtime.clock import VirtualClock
from coagent.runtime.domain import open_domain
from coagent.targets.base import Target

TOKENS = 1_500
"""What one inference of a demo's agent costs."""

_JITTER = 0.08


class Labelled(NamedTuple):
    """How calls of a kind are drawn, and their repairs; `pattern` is searched for in `tool(argument=…)`."""

    pattern: str
    kind: MarkKind
    label: str = ""
    amended: str = ""


@dataclass(frozen=True)
class Role:
    """An agent of a demo.

    Args:
        name: Its name.
        task: What it is to do, for the audience.
        program: What it does.
        think_s: Seconds of thinking before a call, by tool; "repair" before a repair.
    """

    name: str
    task: str
    program: Program
    think_s: Mapping[str, float]


def drawn(seed: int, seconds: Mapping[str, float]) -> dict[str, float]:
    """Return think times around those given; the spread is too small to change who comes first."""
    randomness = random.Random(seed)
    return {
        name: round(mean_s * (1 + randomness.uniform(-_JITTER, _JITTER)), 1)
        for name, mean_s in seconds.items()
    }


async def play(
    roles: Sequence[Role], protocol: str, targets: Iterable[Target], tools: Any, kept: Path | None = None
) -> RunReport:
    """Run the agents concurrently on a virtual clock.

    Args:
        roles: The agents.
        protocol: What to run them under.
        targets: What they work on.
        tools: What they work with.
        kept: Where to keep the log, to be looked at.
    """
    clock, records = VirtualClock(), list[Recorded]()
    async with open_domain(
        "memory:", targets=targets, tools=[tools], protocol=protocol, clock=clock
    ) as domain:
        domain.observe(lambda event: records.append(Recorded(event, int(clock.now_s() * 1000))))
        report = await run_agents(domain, [_scripted(role) for role in roles])
        about = LogSettings(domain.protocol, domain.order or "fixed", ())
    if kept is not None:
        await keep(kept, about, records)
    return report


async def play_one(role: Role, targets: Iterable[Target], tools: Any) -> None:
    """Run one agent alone, with nothing to order: a part of a serial run.

    Raises:
        CoAgentError: It did not succeed even alone.
    """
    report = await play([role], "naive", targets, tools)
    only = report.agents[0]
    if only.state != "committed":
        raise CoAgentError(f"agent {role.name!r} failed alone: {only.failure}", "The demo is broken.")


def order_of(final: Value, serial: Mapping[tuple[str, ...], Value]) -> list[str] | None:
    """Return the order of agents whose serial run ends in this state, None where there is none."""
    return next((list(order) for order, state in serial.items() if same(final, state)), None)


def lanes_of(report: RunReport, roles: Sequence[Role], labelled: Sequence[Labelled], told: str) -> list[Lane]:
    """Return what a run's agents did, to be drawn.

    Args:
        report: The run.
        roles: Its agents.
        labelled: How calls are drawn.
        told: The label of a notice.
    """
    return [
        _lane(agent, role, report, labelled, told) for agent, role in zip(report.agents, roles, strict=True)
    ]


def _scripted(role: Role) -> ScriptedAgent:
    return ScriptedAgent(
        role.name, role.program, think_s=role.think_s["repair"], tokens=TOKENS, goal=role.task
    )


def _lane(one: AgentReport, role: Role, report: RunReport, labelled: Sequence[Labelled], told: str) -> Lane:
    lane = Lane(one.name, started_s=one.started_s, finished_s=one.finished_s)
    events = one.tally.timeline
    notices = iter(one.tally.notices)
    for number, event in enumerate(events):
        if event.kind == "think":
            until = events[number + 1].time_s if number + 1 < len(events) else one.finished_s
            seconds = role.think_s.get(event.text, role.think_s["repair"])
            lane.thinking.append((event.time_s, min(until, event.time_s + seconds)))
        elif event.kind == "notice":
            cause = next(notices).cause
            changed_s = _time_of(cause.call_id, report) if cause.call_id else None
            lane.told.append(
                Told(cause.agent, event.time_s if changed_s is None else changed_s, event.time_s, told)
            )
        else:
            maybe_mark = _mark(event.kind, event.text, event.time_s, labelled)
            if maybe_mark is not None:
                lane.marks.append(maybe_mark)
    return lane


def _mark(kind: str, text: str, time_s: float, labelled: Sequence[Labelled]) -> Mark | None:
    known = next((call for call in labelled if re.search(call.pattern, text)), Labelled("", "read"))
    if kind in ("call", "staged"):
        return Mark(time_s, known.kind, known.label)
    if kind == "amend":
        return Mark(time_s, "repair", known.amended)
    if kind == "undo":
        return Mark(time_s, "repair", "undoes")
    plain: dict[str, MarkKind] = {
        "commit": "commit",
        "abort": "abort",
        "failed": "failed",
        "restart": "restart",
    }
    return Mark(time_s, plain[kind], "starts over" if kind == "restart" else "") if kind in plain else None


def _time_of(call_id: str, report: RunReport) -> float | None:
    """Return when a call was first made: `A.3` is the third that A made."""
    parsed = parsed_call_id(call_id)
    if parsed is None:
        return None
    name, sequence = parsed
    made = [
        event.time_s
        for agent in report.agents
        if agent.name == name
        for event in agent.tally.timeline
        if event.kind in ("call", "staged", "failed")
    ]
    return made[sequence - 1] if sequence <= len(made) else None
