"""A process that goes on as the agents named until they have ended, and says after each step that it lives.

Usage: killed_worker.py URL DIRECTORY SEED TURN AGENT...
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import anyio

from coagent import open_domain, targets
from coagent.agents.scripted import ScriptedAgent
from coagent_lab.sim.stepper import Stepper
from coagent_lab.sim.tools import TOOLS, outbox
from coagent_lab.sim.world import make_world


async def work(log: str, directory: Path, seed: int, turn: int, names: list[str]) -> None:
    world = make_world(seed, "files", final=False)
    outbox.set([])
    rng = random.Random(f"worker {seed} {turn} {names}")
    files = targets.Files(directory)
    async with open_domain(log, targets=[files], tools=TOOLS, on_death="keep") as domain:
        steppers = [Stepper(domain, ScriptedAgent(name, world.program(name))) for name in names]
        for stepper in steppers:
            await stepper.taken_up(domain)
        while open_ones := [one for one in steppers if not one.ended]:
            await domain.settle()
            movable = [one for one in open_ones if one.may_step()]
            if movable:
                await rng.choice(movable).step()
            print("lives", flush=True)


if __name__ == "__main__":
    anyio.run(work, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
