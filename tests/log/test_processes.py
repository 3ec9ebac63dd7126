"""Several processes on one domain, and processes that die."""

from __future__ import annotations

import signal
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

WORKER = Path(__file__).with_name("two_process_worker.py")


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a log that several processes may share."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'log'}"
    url: str = request.getfixturevalue("postgres_log")
    return url


def worker(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(WORKER), *arguments], text=True, **options)  # type: ignore[call-overload, no-any-return]


def busy_world(first: int) -> World:
    """Return a world of at least four agents without irreversible calls, whose effects go to one process."""
    for seed in range(first, first + 1000):
        world = make_world(seed)
        kinds = {line.kind for lines in world.programs.values() for line in lines}
        if len(world.programs) >= 4 and not kinds & {"mail", "pay"} and "add" in kinds:
            return world
    raise AssertionError("no such world")


async def joined(log: str, world: World) -> None:
    async with open_domain(log, targets=[memory_of(world)], tools=TOOLS) as domain:
        for name in world.programs:
            await domain.join(name)


def memory_of(world: World) -> targets.Memory:
    return targets.Memory(world.initial, schemes=("kv", "txt"))


@pytest.mark.parametrize("first", [1, pytest.param(1000, marks=pytest.mark.long)])
def test_two_processes_on_one_log_end_in_the_serial_state(log: str, first: int) -> None:
    world = busy_world(first)
    anyio.run(joined, log, world)
    names = list(world.programs)
    workers = [
        worker(log, str(world.seed), *names[0::2]),
        worker(log, str(world.seed), *names[1::2]),
    ]
    assert [one.wait(timeout=60) for one in workers] == [0, 0]

    async def look() -> None:
        memory = memory_of(world)
        async with open_domain(log, targets=[memory], tools=TOOLS) as domain:
            assert domain.quiescent
            domain.kernel.check_invariants()
            serial = run_serially(world.initial, [(name, world.program(name)) for name in names], TOOLS)
            live = memory.snapshot()
            assert same(live, dict(sorted(serial.state.items())))

    outbox.set([])
    anyio.run(look)


def test_a_process_that_is_killed_leaves_a_log_that_another_one_goes_on_with(
    log: str, tmp_path: Path
) -> None:
    directory = tmp_path / "workspace"
    directory.mkdir()
    (directory / "0.txt").write_text("before\n")

    async def join() -> None:
        async with open_domain(log, targets=[targets.Files(directory)], tools=TOOLS) as domain:
            await domain.join("dies")
            await domain.join("lives")

    anyio.run(join)
    doomed = worker(log, "endless", str(directory), "dies", stdout=subprocess.PIPE)
    assert doomed.stdout is not None
    for line in doomed.stdout:
        if int(line) == 20:
            break
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate(timeout=10)

    async def go_on() -> None:
        files = targets.Files(directory)
        async with open_domain(log, targets=[files], tools=TOOLS) as domain:
            kernel = domain.kernel
            kernel.check_invariants()
            held = files.snapshot("file:")
            assert sum(text.count("\n") for text in held.values()) >= 21, "what was answered is there"
            for key, text in held.items():
                assert same(kernel.live_value(key), text), "the log and the files agree"
            assert [agent.phase.value for agent in domain.agents] == ["active", "active"]
            await (await domain.attach("dies")).abort("nobody wants it")
            lives = await domain.attach("lives")
            assert (await lives.call("read", key="file:0.txt")).value == "before\n"
            assert (await lives.finish(wait=True)).state == "committed"
            assert files.snapshot("file:") == {"file:0.txt": "before\n"}

    anyio.run(go_on)
