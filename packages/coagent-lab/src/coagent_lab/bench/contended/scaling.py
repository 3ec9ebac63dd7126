"""Many agents: how the protocols fare with 2 to 64 of them, at low, medium and high contention."""

from __future__ import annotations

import random
import statistics
from collections.abc import Generator
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

from coagent_lab.bench.contended import coding
from coagent_lab.bench.contended.families import Family
from coagent_lab.bench.contended.measure import Plan
from coagent_lab.bench.contended.oracle import run_serially
from coagent_lab.bench.contended.runner import Simulated
from coagent_lab.bench.contended.scenario import Role
from coagent_lab.bench.contended.workload import AgentSpec, SerialRun, Workload

Calls: TypeAlias = Generator[tuple[str, dict[str, Any]], Any, None]
AGENTS = (2, 4, 8, 16, 32, 64)
# The contention is the number of files that an agent finds to choose from, for each agent that there is.
CONTENTION = {"low": 8.0, "medium": 2.0, "high": 0.5}
_STEPS = 3
_TRIALS = 3


def _work(name: str, paths: list[str]) -> Calls:
    """Read files and write, to the next one, what was read and who has read it."""
    for source, target in pairwise(paths):
        text = yield "fs.read", {"path": source}
        line = text.splitlines()[0]
        yield "fs.write", {"path": target, "content": f"{name} after {line}\n"}


def _workload(agents: int, contention: str, seed: int) -> tuple[list[Role], dict[str, str]]:
    randomness = random.Random(f"scaling/{agents}/{contention}/{seed}")
    count = max(_STEPS + 1, round(agents * CONTENTION[contention]))
    paths = [f"f{number:03d}.txt" for number in range(count)]
    objects = {f"file:{path}": f"{path}\n" for path in paths}
    roles = []
    for number in range(agents):
        name = f"A{number + 1:02d}"
        chosen = randomness.sample(paths, _STEPS + 1)
        roles.append(Role(name, "Carry lines from file to file.", partial(_work, name, chosen)))
    return roles, objects


async def scaling(plan: Plan) -> list[dict[str, Any]]:
    """Return, for every contention, number of agents and protocol, the means of a few trials."""
    rows = []
    for contention in CONTENTION:
        for agents in AGENTS:
            serial_s = 0.0
            for protocol in dict.fromkeys(["serial", *plan.protocols]):
                trials = [await _trial(agents, contention, protocol, seed, plan) for seed in range(_TRIALS)]
                makespan = statistics.fmean(one.makespan_s for one in trials)
                serial_s = makespan if protocol == "serial" else serial_s
                rows.append(
                    {
                        "contention": contention,
                        "agents": agents,
                        "protocol": protocol,
                        "serial_in_order": statistics.fmean(one.serial_in_order for one in trials),
                        "makespan_s": round(makespan, 2),
                        "speedup": round(serial_s / makespan, 3) if makespan else 0.0,
                        "tokens": round(statistics.fmean(one.tokens for one in trials)),
                        "notifications": statistics.fmean(one.notifications for one in trials),
                        "failures": sorted({one.failure for one in trials if one.failure}),
                    }
                )
    return rows


async def _trial(agents: int, contention: str, protocol: str, seed: int, plan: Plan) -> Any:
    roles, objects = _workload(agents, contention, seed)
    final = coding.final(await run_serially(objects, coding.TOOLS, [role.program for role in roles]))
    specs = [
        AgentSpec(name=role.name, goal=role.goal, policy_function="", policy_source="") for role in roles
    ]
    workload = Workload.model_validate(
        {
            "schema": "coagent-workload/1",
            "id": f"scaling-{contention}-{agents}",
            "family": "coding",
            "arity": agents,
            "initial_state": {},
            "tools": [],
            "agents": specs,
            "serial": [SerialRun(order=[role.name for role in roles], final=final)],
            "programs": {role.name: role.program for role in roles},
        }
    )
    runner = plan.runner if plan.runner.exact else Simulated()  # 64 language models are nobody's bill
    return await runner.run(workload, Family(dict(objects), coding.TOOLS, coding.final), protocol, seed)
