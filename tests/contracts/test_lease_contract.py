"""What every log that processes share owes them: leases, by its own clock, which only end in one way."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
from log_subjects import KINDS, LogSubject, subject_of

from coagent.log.base import Log
from coagent.processes import Process, this_process
from coagent.protocol.calls import Rank
from coagent.protocol.events import Joined

LONG_S = 600.0
ELSEWHERE = Process("élsewhere", "another boot/ns", 2**31 - 1, "12345")


@pytest.fixture(params=[kind for kind in KINDS if kind != "memory"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> LogSubject:
    return subject_of(request.param, tmp_path, request)


def check(engine: LogSubject, handles: int, test: Callable[..., Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        logs = [await engine.open() for _ in range(handles)]
        try:
            await test(*logs)
        finally:
            for log in logs:
                await log.close()

    anyio.run(main)


async def left(log: Log) -> dict[str, float]:
    return {one.owner: one.left_s for one in await log.leases()}


def test_a_lease_is_seen_by_all_with_its_process_and_what_is_left_of_it(lasting: LogSubject) -> None:
    async def test(log: Log, other: Log) -> None:
        assert list(await log.leases()) == []
        await log.take_lease("one", this_process(), LONG_S)
        await other.take_lease("two", ELSEWHERE, 2 * LONG_S)
        for handle in (log, other):
            found = {one.owner: one for one in await handle.leases()}
            assert found.keys() == {"one", "two"}
            assert found["one"].process == this_process()
            assert found["two"].process == ELSEWHERE
            assert 0 < found["one"].left_s <= LONG_S < found["two"].left_s <= 2 * LONG_S

    check(lasting, 2, test)


def test_a_lease_lasts_from_when_it_was_renewed_also_where_it_had_run_out(lasting: LogSubject) -> None:
    async def test(log: Log, other: Log) -> None:
        await log.take_lease("one", this_process(), 0.0)
        assert (await left(other))["one"] <= 0
        assert await log.renew_lease("one", LONG_S)
        assert LONG_S / 2 < (await left(other))["one"] <= LONG_S

    check(lasting, 2, test)


def test_a_lease_that_another_process_has_ended_is_not_renewed(lasting: LogSubject) -> None:
    async def test(log: Log, other: Log) -> None:
        await log.take_lease("one", this_process(), LONG_S)
        assert await other.end_lease("one")
        assert not await log.renew_lease("one", LONG_S)
        assert await left(log) == {}
        assert await log.end_lease("one"), "there is none any more"

    check(lasting, 2, test)


def test_only_a_lease_that_has_run_out_is_ended_for_being_late(lasting: LogSubject) -> None:
    async def test(log: Log, other: Log) -> None:
        await log.take_lease("lives", this_process(), LONG_S)
        await log.take_lease("late", this_process(), 0.0)
        assert not await other.end_lease("lives", late=True)
        assert await other.end_lease("late", late=True)
        assert list(await left(log)) == ["lives"]
        assert await log.renew_lease("lives", LONG_S)

    check(lasting, 2, test)


def test_leases_outlive_handles_and_are_no_events(lasting: LogSubject) -> None:
    async def take(log: Log) -> None:
        await log.take_lease("one", this_process(), LONG_S)

    check(lasting, 1, take)

    async def test(log: Log) -> None:
        assert list(await left(log)) == ["one"]
        assert await log.renew_lease("one", LONG_S)
        await log.append([Joined("A", Rank(0))])
        assert log.head == 1

    check(lasting, 1, test)
