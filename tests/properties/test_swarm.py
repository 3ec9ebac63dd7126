"""Runs with everything in them end in the serial state, follow from their seeds, and show what is wrong."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import anyio
import pytest

from coagent.runtime.effects import Effects
from coagent.tools.intent import under
from coagent_lab.sim.remote import DECLARED_TOOLS, Remote, remote
from coagent_lab.sim.run import run_seed
from coagent_lab.sim.virtual import run_virtually


def test_every_run_with_all_kinds_of_faults_ends_in_the_serial_state() -> None:
    for seed in range(20_001, 20_026):
        verdict = run_seed(seed, kind="swarm")
        assert verdict.violation is None, f"seed {seed}: {verdict.violation}"


@pytest.mark.long
def test_many_more_of_them_do() -> None:
    for seed in range(1, 301):
        verdict = run_seed(seed, kind="swarm")
        assert verdict.violation is None, f"seed {seed}: {verdict.violation}"


def test_everything_in_a_run_follows_from_its_seed() -> None:
    program = (
        "from coagent_lab.sim.run import run_seed\n"
        "for seed in (2, 7, 14): print(*run_seed(seed, kind='swarm').timeline, sep='\\n')\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for number in ("1", "2")
    ]
    ordered = [[_without_order(line) for line in text.splitlines()] for text in said]
    assert len(ordered[0]) > 50
    assert ordered[0] == ordered[1]


def test_a_run_is_the_same_wherever_in_memory_its_parts_lie() -> None:
    timelines, kept = [], []
    for number in range(4):
        timelines.append(run_seed(2_008_691, kind="swarm").timeline)
        kept.append([[] for _ in range(777 * number + 5)])
    assert timelines[1:] == timelines[:-1]


def _without_order(line: str) -> str:
    """Return what a line says whatever the order in which a set is shown."""
    return "".join(sorted(line)) if len(line) < 200 else line[:40]


def test_a_put_that_is_acknowledged_before_it_is_made_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Effects._put

    async def hasty(self: Effects, effects: list[Any]) -> bool:
        self._acknowledge(effects)
        return await put(self, effects)

    monkeypatch.setattr(Effects, "_put", hasty)
    assert any(run_seed(seed, kind="swarm").violation for seed in range(1, 60))


def test_an_hour_of_virtual_time_takes_no_time_and_a_run_without_an_end_is_ended() -> None:
    async def wait() -> float:
        await anyio.sleep(3600)
        return anyio.current_time()

    assert run_virtually(wait) == pytest.approx(3600, abs=1)

    async def hang() -> None:
        await anyio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        run_virtually(hang)


def test_tasks_are_cancelled_in_an_order_that_does_not_follow_from_where_they_lie_in_memory() -> None:
    ended: list[int] = []

    async def last(number: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(number)

    async def cancel() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(last, number)
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()

    run_virtually(cancel)
    assert ended == list(range(20))


def test_a_person_mends_all_that_was_taken_back_of_a_call_that_changes_a_whole_folder() -> None:
    system = Remote({"api:a/x": {"n": 2, "m": 0}, "api:a/y": {"n": 4, "m": 0}})
    overhaul = next(tool for tool in DECLARED_TOOLS if tool.name == "overhaul")
    before = dict(system.objects)

    async def act() -> None:
        prepared = await overhaul.prepare({"amount": 1})
        with under("a name"):
            result = await overhaul.exec({"amount": 1})
        after = dict(system.objects)
        await overhaul.reverse(prepared, result, {"amount": 1})
        assert system.objects == before
        system.mend("api:", "overhaul", {"amount": 1}, prepared)
        assert system.objects == after != before

    remote.set(system)
    run_virtually(act)
