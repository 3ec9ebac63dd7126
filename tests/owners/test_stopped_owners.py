"""Processes that are stopped (SIGSTOP) until others think that they are dead, and that go on then."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from owner_worker import sent
from test_killed_owners import domain_of, files, states, worker

from coagent.systems.files.folder_lock import FolderLocked, folder_lock


def stopped_for_an_hour(process: subprocess.Popen[str], tmp_path: Path) -> None:
    """Stop a process where it holds no lock of the system's, and let all leases run out by the log's clock.

    Whoever is stopped in the middle of a write keeps its lock on the log or the folder; others are told
    so, and wait.
    """
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            with folder_lock(str(tmp_path / "files"), 0):
                pass
            with closing(sqlite3.connect(tmp_path / "log", timeout=0)) as connection, connection:
                connection.execute("update coagent_leases set until_s = until_s - 3600")
            return
        except (FolderLocked, sqlite3.OperationalError):
            os.kill(process.pid, signal.SIGCONT)


def rest_of(process: subprocess.Popen[str]) -> list[str]:
    """Let a process go on to its end, and return what it said."""
    os.kill(process.pid, signal.SIGCONT)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 0, wrong
    return said.splitlines()


def refusal(process: subprocess.Popen[str]) -> str:
    """Return what a process says when it is refused."""
    assert process.stdout is not None
    return next(line.strip() for line in process.stdout if line.startswith("refused"))


async def stop_and_go_on(tmp_path: Path, puts: int, pause_s: float) -> None:
    with worker(tmp_path, "go_on", until=f"put {puts}") as process:
        await anyio.sleep(pause_s)
        stopped_for_an_hour(process, tmp_path)
        async with domain_of(tmp_path) as domain:
            assert states(domain)["A"] == "aborted"
            c = await domain.join("C")
            await c.call("put", key="file:x", value="of C")
            assert (await c.finish(wait=True)).state == "committed"
            assert files(tmp_path)["x"] == "of C"
        said = rest_of(process)
    assert said[-2:] == ["refused agent_not_active", "committed"], said
    assert files(tmp_path) == {"x": "of C", "y": "of B"}
    async with domain_of(tmp_path) as domain:
        assert domain.quiescent
        domain.kernel.check_invariants()


@pytest.mark.anyio
async def test_a_process_that_was_stopped_for_an_hour_overwrites_nothing_and_begins_anew(
    tmp_path: Path,
) -> None:
    await stop_and_go_on(tmp_path, 5, 0.0)


@pytest.mark.long
@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(25))
async def test_it_does_not_wherever_it_is_stopped(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    await stop_and_go_on(tmp_path, rng.randint(1, 20), rng.uniform(0, 0.05))


@pytest.mark.anyio
async def test_an_agent_that_was_taken_up_is_not_spoken_for_by_its_first_process(tmp_path: Path) -> None:
    with worker(tmp_path, "go_on", "keep", until="put 3") as process:
        stopped_for_an_hour(process, tmp_path)
        async with domain_of(tmp_path) as domain:
            a = await domain.attach("A")
            await a.call("put", key="file:x", value="of the new one")
            os.kill(process.pid, signal.SIGCONT)
            assert await anyio.to_thread.run_sync(refusal, process) == "refused agent_taken_up"
            assert states(domain)["A"] == "active"
            assert (await a.finish(wait=True)).state == "committed"
            assert (await anyio.to_thread.run_sync(rest_of, process))[-1] == "committed"
    assert files(tmp_path) == {"x": "of the new one", "y": "of B"}


@pytest.mark.anyio
async def test_a_process_that_thinks_for_long_is_not_dead(tmp_path: Path) -> None:
    with worker(tmp_path, "think", until="thinks"):
        async with domain_of(tmp_path) as domain:
            for _ in range(3):
                await domain.settle()
            assert states(domain) == {"A": "active"}
            with pytest.raises(Exception, match="is served by process"):
                await domain.attach("A")


@pytest.mark.anyio
async def test_what_was_about_to_be_sent_is_heard_of_after_all_when_its_process_goes_on(
    tmp_path: Path,
) -> None:
    with worker(tmp_path, "letter", "keep", "after", until="acted") as process:
        stopped_for_an_hour(process, tmp_path)
        async with domain_of(tmp_path) as domain:
            assert [call.id for call in domain.kernel.unknown] == ["A.2"]
            assert sent(tmp_path) == ["hello"]
            await domain.resolve("A.2", "accept")
            await domain.settle()
            assert states(domain) == {"A": "committed"}
    assert sent(tmp_path) == ["hello"]
