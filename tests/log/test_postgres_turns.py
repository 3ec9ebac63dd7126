"""Turns to append to a log on a PostgreSQL server, for processes to which others come first."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise

import anyio
import psycopg
import pytest
from throwaway_postgres import ThrowawayPostgres

from coagent.log import postgres_rows
from coagent.log.base import HeadMoved, Log, LogSettings
from coagent.log.open import open_log
from coagent.log.urls import place_of
from coagent.processes import this_process
from coagent.protocol.calls import Rank
from coagent.protocol.events import Joined

SETTINGS = LogSettings("mtpo", "fixed", ())
HOLDER = """
import sys, anyio
from coagent.log import postgres_rows
from coagent.log.base import LogSettings
from coagent.log.open import open_log

postgres_rows.TURN_S_MAX = 1

async def main():
    log = await open_log(sys.argv[1], LogSettings("mtpo", "fixed", ()))
    await log.hold()
    print("holds", flush=True)
    await anyio.sleep(600)

anyio.run(main)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def joined(number: int) -> Joined:
    return Joined(f"agent {number}", Rank(number))


async def appended(log: Log, number: int, done: list[int]) -> None:
    """Append an event as the runtime does, and note that."""
    while True:
        while await log.read():
            pass
        try:
            await log.append([joined(number)])
        except HeadMoved:
            continue
        done.append(number)
        return


@pytest.mark.anyio
async def test_while_a_process_has_its_turn_others_wait(postgres_log: str) -> None:
    first, second = await open_log(postgres_log, SETTINGS), await open_log(postgres_log, SETTINGS)
    done: list[int] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await first.hold()
            tasks.start_soon(appended, second, 2, done)
            await waits_for_a_lock(postgres_log)
            assert list(await first.read()) == []
            await first.append([joined(1)])
            await first.let_go()
            assert done == []
    assert done == [2]
    assert list(await first.read()) == [joined(2)]
    await first.close()
    await second.close()


@pytest.mark.anyio
async def test_a_turn_that_is_let_go_has_changed_nothing(postgres_log: str) -> None:
    first, second = await open_log(postgres_log, SETTINGS), await open_log(postgres_log, SETTINGS)
    with anyio.fail_after(20):
        await first.hold()
        await first.let_go()
        await second.append([joined(1)])
        await second.hold()
        await second.append([joined(2)])
        await second.let_go()
    assert list(await first.read()) == [joined(1), joined(2)]
    await first.close()
    await second.close()


@pytest.mark.anyio
async def test_a_turn_begins_with_what_others_have_appended(postgres_log: str) -> None:
    first, second = await open_log(postgres_log, SETTINGS), await open_log(postgres_log, SETTINGS)
    await first.append([joined(1)])
    assert not second.contended
    with pytest.raises(HeadMoved):
        await second.append([joined(2)])
    assert second.contended
    await second.hold()
    assert list(await second.read()) == [joined(1)]
    assert second.contended
    await second.append([joined(2)])
    await second.let_go()
    await second.hold()  # nobody has come first since
    assert not second.contended
    await second.let_go()
    await first.close()
    await second.close()


@pytest.mark.anyio
async def test_leases_are_renewed_and_word_is_told_outside_a_turn_of_the_same_process(
    postgres_log: str,
) -> None:
    log = await open_log(postgres_log, SETTINGS)
    await log.take_lease("me", this_process(), 60)
    renewed: list[bool] = []

    async def renew() -> None:
        renewed.append(await log.renew_lease("me", 600))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await log.hold()
            tasks.start_soon(renew)
            await anyio.wait_all_tasks_blocked()
            assert renewed == []
            await log.let_go()  # what is undone with it is not the lease
    assert renewed == [True]
    (lease,) = await log.leases()
    assert lease.left_s > 500
    await log.close()


@pytest.mark.anyio
async def test_a_turn_that_ends_with_its_connection_makes_an_append_try_once_more(
    postgres_log: str, postgres_server: ThrowawayPostgres
) -> None:
    log, other = await open_log(postgres_log, SETTINGS), await open_log(postgres_log, SETTINGS)
    with anyio.fail_after(20):
        await log.hold()
        with psycopg.connect(postgres_server.url, autocommit=True) as server:
            server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
            )
        await other.append([joined(1)])
        with pytest.raises(HeadMoved):
            await log.append([joined(2)])
        await log.let_go()
        await log.hold()
        assert list(await log.read()) == [joined(1)]
        await log.append([joined(2)])
        await log.let_go()
    assert list(await other.read()) == [joined(2)]
    await log.close()
    await other.close()


def test_a_process_that_is_stopped_in_its_turn_loses_it(postgres_log: str) -> None:
    done: list[int] = []

    async def main() -> None:
        log = await open_log(postgres_log, SETTINGS)
        with anyio.fail_after(20):
            await appended(log, 1, done)
        await log.close()

    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, postgres_log], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "holds\n"
            holder.send_signal(signal.SIGSTOP)
            anyio.run(main)
        finally:
            holder.kill()
    assert done == [1]
    assert postgres_rows.TURN_S_MAX < 20


@pytest.mark.anyio
async def test_of_many_that_append_at_once_each_comes_to_its_turn(postgres_log: str) -> None:
    """Whoever only tried again could be passed by the others for as long as they append."""
    logs = [await open_log(postgres_log, SETTINGS) for _ in range(4)]
    passed: list[int] = []

    async def work(number: int) -> None:
        log = logs[number]
        for _ in range(15):
            while True:
                if log.contended:
                    await log.hold()
                while await log.read():
                    pass
                try:
                    await log.append([joined(number)])
                except HeadMoved:
                    continue
                finally:
                    await log.let_go()
                passed.append(number)
                break

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(len(logs)):
                tasks.start_soon(work, number)
    between = [most_between(passed, number) for number in range(len(logs))]
    assert max(between) <= 3 * len(logs), between
    for log in logs:
        await log.close()


def most_between(passed: list[int], number: int) -> int:
    """Return how many others came between two appends of one, at the most, while all had more to append."""
    last = min(len(passed) - passed[::-1].index(one) for one in set(passed))
    places = [place for place, one in enumerate(passed[:last]) if one == number]
    return max((after - before for before, after in pairwise(places)), default=0)


async def waits_for_a_lock(url: str) -> None:
    """Return once somebody waits for another transaction of the same database."""
    async with await psycopg.AsyncConnection.connect(place_of(url).url, autocommit=True) as server:
        statement = (
            b"select count(*) from pg_stat_activity where wait_event_type = 'Lock' "
            b"and query like '%coagent_heads%' and datname = current_database()"
        )
        while await (await server.execute(statement)).fetchone() == (0,):
            await anyio.sleep(0.01)
