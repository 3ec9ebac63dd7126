"""Processes on a PostgreSQL log that are killed or stopped: others take up what is theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from owner_worker import opened
from throwaway_postgres import ThrowawayPostgres

from coagent.log.urls import place_of
from coagent.runtime.watch import Watch
from coagent.systems.files.folder_lock import FolderLocked, folder_lock

WORKER = Path(__file__).parents[1] / "owners" / "owner_worker.py"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def worker(url: str, folder: Path, does: str, *, until: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process until it has said something; killed at the end."""
    arguments = [sys.executable, str(WORKER), url, str(folder), does]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(line.strip() == until for line in process.stdout)
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str], folder: Path) -> None:
    """Stop a process where it does not hold the lock of the folder."""
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            with folder_lock(str(folder / "files"), 0):
                return
        except FolderLocked:
            os.kill(process.pid, signal.SIGCONT)


def run_out(server: str, url: str) -> None:
    """Let all leases run out, those too that last on because the server was started just now."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            f"update {place_of(url).schema}.coagent_leases "
            "set until = now() - interval '1 hour', seconds = 0".encode()
        )


@pytest.mark.long
@pytest.mark.anyio
async def test_what_a_killed_process_has_left_is_withdrawn_by_whoever_comes_next(
    postgres_log: str, tmp_path: Path
) -> None:
    with worker(postgres_log, tmp_path, "think", until="thinks"):
        pass
    watch = Watch(postgres_log)
    list(watch.events())
    assert [(one.name, one.served) for one in watch.agents()] == [("A", "dead")]
    watch.close()
    async with opened(postgres_log, tmp_path) as domain:
        assert [(one.name, one.phase.value) for one in domain.agents] == [("A", "aborted")]
    assert not (tmp_path / "files" / "x").exists()


@pytest.mark.long
@pytest.mark.anyio
async def test_a_process_that_was_stopped_for_longer_than_its_lease_is_refused(
    postgres_log: str, postgres_server: ThrowawayPostgres, tmp_path: Path
) -> None:
    with worker(postgres_log, tmp_path, "go_on", until="put 5") as process:
        stop(process, tmp_path)
        run_out(postgres_server.url, postgres_log)
        async with opened(postgres_log, tmp_path) as domain:
            assert [(one.name, one.phase.value) for one in domain.agents] == [("A", "aborted")]
        assert not (tmp_path / "files" / "x").exists()
        os.kill(process.pid, signal.SIGCONT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.splitlines()[-2:] == ["refused agent_taken_up", "committed"] or said.splitlines()[-2:] == [
        "refused agent_not_active",
        "committed",
    ]
    assert {one.name: one.read_text() for one in (tmp_path / "files").iterdir()} == {"y": "of B"}
