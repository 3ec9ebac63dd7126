"""Scenarios of the project's own: objects, and agents. Their outcomes are computed, not written."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from coagent.protocol.values import Value
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.oracle import run_serially
from coagent_lab.bench.contended.workload import AgentSpec, SerialRun, Workload


@dataclass(frozen=True)
class Role:
    """One agent of a scenario.

    Args:
        goal: What an LLM agent is told.
        program: The reference policy that stands in for one.
    """

    name: str
    goal: str
    program: Callable[[], Generator[tuple[str, dict[str, Any]], Any, None]]


@dataclass(frozen=True)
class Scenario:
    """A state to start from, and agents that contend for it."""

    id: str
    title: str
    objects: dict[str, Value]
    roles: tuple[Role, ...]


async def workload_of(
    scenario: Scenario, kind: str, tools: tuple[Any, ...], final: Callable[[dict[str, Value]], Value]
) -> tuple[Workload, Family]:
    """Return a scenario as a workload, with the outcome of every serial order worked out by the oracle.

    Args:
        scenario: The scenario.
        kind: Its family.
        tools: What its agents call.
        final: Turns a state into the form in which final states are compared.
    """
    runs = []
    for order in permutations(scenario.roles):
        state = await run_serially(scenario.objects, tools, [role.program for role in order])
        runs.append(SerialRun(order=[role.name for role in order], final=final(state)))
    data = {
        "schema": "coagent-workload/1",
        "id": scenario.id,
        "family": kind,
        "title": scenario.title,
        "arity": len(scenario.roles),
        "initial_state": {},
        "tools": [],
        "agents": [
            AgentSpec(name=role.name, goal=role.goal, policy_function="", policy_source="")
            for role in scenario.roles
        ],
        "serial": runs,
        "programs": {role.name: role.program for role in scenario.roles},
    }
    return Workload.model_validate(data), Family(scenario.objects, tools, final)
