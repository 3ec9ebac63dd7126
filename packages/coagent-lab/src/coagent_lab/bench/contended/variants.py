"""What else becomes of a workload: one agent does the work of all, or the first one dies midway."""

from __future__ import annotations

import math
from collections.abc import Generator
from itertools import permutations
from typing import Any

from coagent.errors import ConfigurationError
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.oracle import run_serially
from coagent_lab.bench.contended.workload import AgentSpec, Program, SerialRun, Workload

ONE = "one"
"""Stands where a protocol does: one agent, in one conversation, with the goals of all in order."""


def as_one(workload: Workload) -> Workload:
    """Return the workload with one agent that does what all do, one goal after another."""
    programs = [workload.program(agent) for agent in workload.agents]

    def program() -> Generator[tuple[str, dict[str, Any]], Any, None]:
        for one in programs:
            yield from one()

    goal = "\n".join(agent.goal for agent in workload.agents)
    agent = AgentSpec(name=ONE, goal=goal, policy_function="", policy_source="")
    final = workload.final(workload.order)
    serial = [SerialRun(order=[ONE], final=final)] if final is not None else workload.serial
    changes = {"agents": [agent], "arity": 1, "serial": serial, "programs": {ONE: program}}
    return workload.model_copy(update=changes)


async def without_first(workload: Workload, family: Family) -> tuple[Workload, int]:
    """Return the workload with the serial outcomes of all agents but the first, and half of that one's calls.

    Raises:
        ConfigurationError: Its objects are not in memory, where the oracle works.
    """
    if family.target is not None or len(workload.agents) < 2:
        raise ConfigurationError(
            f"workload {workload.id!r} has no objects in memory, or one agent only",
            "Leave --dies out for it.",
        )
    first, *others = workload.agents
    made = 0

    def counted() -> Generator[tuple[str, dict[str, Any]], Any, None]:
        nonlocal made
        running, result = workload.program(first)(), None
        while True:
            try:
                call = running.send(result)
            except StopIteration:
                return
            made += 1
            result = yield call

    await run_serially(family.objects, family.tools, [counted])
    serial = [
        SerialRun(order=[one.name for one in order], final=await _final(workload, family, order))
        for order in permutations(others)
    ]
    return workload.model_copy(update={"serial": serial}), math.ceil(made / 2)


async def _final(workload: Workload, family: Family, order: tuple[AgentSpec, ...]) -> Any:
    programs: list[Program] = [workload.program(agent) for agent in order]
    return family.final(await run_serially(family.objects, family.tools, programs))
