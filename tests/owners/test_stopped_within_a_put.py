"""A process is stopped within a put while others end its agent, goes on with the put, and is killed after it.

So nobody is left to find out that the put was late: it must not arrive, or what is to be there comes after.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import late_putter
import psycopg
import pytest

from coagent.runtime.domain import Domain

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["coagent", "coagent.targets"])
_OTHERS_S = 1.5


class System(NamedTuple):
    """A live system with an object, and a place for another one."""

    database: str
    keys: dict[str, str]
    before: Any
    value: Any


@pytest.fixture(
    params=["files", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("sqlite", "postgres"))]
)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    if request.param == "files":
        (tmp_path / "files").mkdir()
        (tmp_path / "files/x").write_text("before")
        return System("", {"there": "file:x", "new": "file:new"}, "before", "late")
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/data.db"
        with closing(sqlite3.connect(tmp_path / "data.db")) as connection, connection:
            connection.execute("create table t (id integer primary key, name text)")
            connection.execute("insert into t values (1, 'before')")
    else:
        url = request.getfixturevalue("postgres")
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("drop table if exists t")
            server.execute("create table t (id integer primary key, name text)")
            server.execute("insert into t values (1, 'before')")
    key = {"there": "sql:t/1", "new": "sql:t/2"}
    return System(url, key, {"id": 1, "name": "before"}, {"name": "late"})


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def is_over(domain: Domain) -> bool:
    return domain.agents[-1].phase.value == "aborted" and domain.quiescent


@pytest.mark.anyio
@pytest.mark.parametrize(
    "step", ["begun", *(pytest.param(one, marks=pytest.mark.long) for one in ("kept", "compared"))]
)
@pytest.mark.parametrize("place", ["there", "new"])
async def test_what_was_taken_back_meanwhile_does_not_stay(
    tmp_path: Path, system: System, step: str, place: str
) -> None:
    key = system.keys[place]
    value = system.value if not isinstance(system.value, dict) else {"id": int(key[-1]), **system.value}
    before = system.before if place == "there" else None
    async with late_putter.domain_of(tmp_path, system.database) as domain:
        process = CONTEXT.Process(target=late_putter.main, args=(tmp_path, system.database, step, key, value))
        process.start()
        assert process.pid is not None
        try:
            with anyio.fail_after(30):
                while not is_stopped(process.pid):
                    await anyio.sleep(0.01)
                await domain.catch_up()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon((await domain.oversee("A")).abort)
                    with anyio.move_on_after(_OTHERS_S):
                        while not is_over(domain):
                            await anyio.sleep(0.01)
                    over = is_over(domain)
                    os.kill(process.pid, signal.SIGCONT)
                    await anyio.to_thread.run_sync(process.join, 20)
                while not domain.quiescent:
                    await domain.settle()
        finally:
            process.kill()
        assert over or step != "begun", "nothing keeps the others"
        assert process.exitcode == (-signal.SIGKILL if step == "compared" else 0)
        assert domain.targets.of(key).snapshot().get(key) == before
