"""Two processes on one log and one folder, killed again and again: the end is the serial one."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from coagent import open_domain, targets
from coagent.protocol.values import same
from coagent_lab.sim.oracle import run_serially
from coagent_lab.sim.tools import TOOLS, outbox
from coagent_lab.sim.world import World, make_world

WORKER = Path(__file__).with_name("killed_worker.py")
TURNS = 4


class Worker:
    """One of the processes; killed after so many signs of life, which go on being given while it works."""

    def __init__(self, log: str, directory: Path, seed: int, turn: int, names: list[str]) -> None:
        arguments = [str(WORKER), log, str(directory), str(seed), str(turn), *names]
        self.process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def live_for(self, signs: int) -> None:
        assert self.process.stdout is not None
        for number, _ in enumerate(self.process.stdout, 1):
            if number >= signs:
                return

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=20)

    def end(self) -> None:
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said


def lively_world(first: int) -> World:
    """Return a world of several agents who write the same files."""
    for seed in range(first, first + 1000):
        world = make_world(seed, "files", final=False)
        if len(world.programs) == 4 and sum(map(len, world.programs.values())) > 20:
            return world
    raise AssertionError("no such world")


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (1, "sqlite"),
        pytest.param(2000, "sqlite", marks=pytest.mark.long),
        pytest.param(1, "postgresql", marks=pytest.mark.long),
        pytest.param(2000, "postgresql", marks=pytest.mark.long),
    ],
)
def test_processes_that_are_killed_again_and_again_leave_the_serial_state(
    tmp_path: Path, request: pytest.FixtureRequest, first: int, kind: str
) -> None:
    world = lively_world(first)
    directory = tmp_path / "workspace"
    log = request.getfixturevalue("postgres_log") if kind == "postgresql" else f"sqlite:{tmp_path / 'log'}"
    for key, text in world.initial.items():
        path = directory / key.partition(":")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    directory.mkdir(exist_ok=True)
    names = list(world.programs)

    async def join() -> None:
        async with open_domain(log, targets=[targets.Files(directory)], tools=TOOLS) as domain:
            for name in names:
                await domain.join(name)

    anyio.run(join)
    rng = random.Random(first)
    for turn in range(TURNS):
        rng.shuffle(names)
        pair = [Worker(log, directory, world.seed, turn, names[at::2]) for at in (0, 1)]
        pair[0].live_for(rng.randint(1, 6))
        for worker in pair:
            worker.kill()
    pair = [Worker(log, directory, world.seed, TURNS, names[at::2]) for at in (0, 1)]
    for worker in pair:
        worker.end()

    async def look() -> None:
        files = targets.Files(directory)
        async with open_domain(log, targets=[files], tools=TOOLS) as domain:
            assert domain.quiescent
            domain.kernel.check_invariants()
        programs = [(name, world.program(name)) for name in world.programs]
        serial = run_serially(world.initial, programs, TOOLS)
        assert same(files.snapshot("file:"), dict(sorted(serial.state.items())))

    outbox.set([])
    anyio.run(look)
