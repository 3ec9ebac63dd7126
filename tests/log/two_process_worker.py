"""One of the processes that share a domain: goes on as the agents named, until they have ended.

Usage: two_process_worker.py URL SEED AGENT... ; with SEED "endless", one agent calls for ever and says so.
"""

from __future__ import annotations

import sys

import anyio

from coagent import open_domain, targets
from coagent.agents.scripted import ScriptedAgent, ScriptedRun
from coagent_lab.sim.tools import TOOLS, outbox
from coagent_lab.sim.world import make_world


async def work(log: str, seed: int, agents: list[str]) -> None:
    world = make_world(seed)
    outbox.set([])
    memory = targets.Memory(world.initial, schemes=("kv", "txt"))
    async with open_domain(log, targets=[memory], tools=TOOLS) as domain:
        runs = [
            ScriptedRun(
                ScriptedAgent(name, world.program(name), think_s=0.0), await domain.attach(name), domain.clock
            )
            for name in agents
        ]
        async with anyio.create_task_group() as tasks:
            for run in runs:
                tasks.start_soon(run.run)


async def work_for_ever(log: str, directory: str, agent: str) -> None:
    files = targets.Files(directory)
    async with open_domain(log, targets=[files], tools=TOOLS, on_death="keep") as domain:
        session = await domain.attach(agent)
        number = 0
        while True:
            number += 1
            await session.call("append", key=f"file:{number % 3}.txt", line=str(number))
            print(number, flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "endless":
        anyio.run(work_for_ever, sys.argv[1], sys.argv[3], sys.argv[4])
    else:
        anyio.run(work, sys.argv[1], int(sys.argv[2]), sys.argv[3:])
