"""What every log owes the runtime: the one order of events, and who came first."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from log_subjects import KINDS, SAMPLES, SETTINGS, LogSubject, subject_of

from coagent.errors import ConfigurationError, LogError
from coagent.log.base import Checkpoint, HeadMoved, Log, LogSettings
from coagent.log.open import open_log
from coagent.log.postgres import PostgresLog
from coagent.protocol.calls import Rank
from coagent.protocol.checkpoint import KernelState, state_of
from coagent.protocol.events import Event, Finished, Joined
from coagent.protocol.mtpo import Mtpo


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> LogSubject:
    return subject_of(request.param, tmp_path, request)


@pytest.fixture(params=[kind for kind in KINDS if kind != "memory"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> LogSubject:
    """An engine that several processes share and that outlives them."""
    return subject_of(request.param, tmp_path, request)


def joined(number: int) -> Joined:
    return Joined(f"agent {number}", Rank(number))


def state(agents: int = 0) -> KernelState:
    kernel = Mtpo()
    for number in range(agents):
        kernel.step(joined(number))
    return state_of(kernel)


async def everything(log: Log) -> list[Event]:
    """Read to the end, and return what was read."""
    found: list[Event] = []
    while events := await log.read():
        found.extend(events)
    return found


async def comes_true(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


def check(engine: LogSubject, handles: int, test: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Run a test with some handles on one log."""

    async def main() -> None:
        logs = [await engine.open() for _ in range(handles)]
        try:
            await test(*logs)
        finally:
            for log in logs:
                await log.close()

    anyio.run(main)


# ---- of every log ------------------------------------------------------------------------------------------


def test_every_kind_of_event_is_among_the_samples() -> None:
    assert {type(event) for event in SAMPLES} == set(get_args(Event))


def test_the_head_counts_what_was_appended(engine: LogSubject) -> None:
    async def test(log: Log) -> None:
        assert log.head == 0
        await log.append([joined(0)])
        assert log.head == 1
        await log.append(SAMPLES)
        assert log.head == 1 + len(SAMPLES)
        await log.append([])
        assert log.head == 1 + len(SAMPLES)

    check(engine, 1, test)


def test_a_writer_does_not_read_its_own_events(engine: LogSubject) -> None:
    async def test(log: Log) -> None:
        assert list(await log.read()) == []
        await log.append(SAMPLES)
        assert list(await log.read()) == []
        assert log.head == len(SAMPLES)

    check(engine, 1, test)


def test_a_log_says_what_it_was_begun_with(engine: LogSubject) -> None:
    async def test(log: Log) -> None:
        assert log.settings == SETTINGS
        assert not log.by_itself
        assert await log.checkpoint() is None

    check(engine, 1, test)


def test_an_instant_log_is_nobody_elses_and_takes_notes_and_no_other_does(engine: LogSubject) -> None:
    async def test(log: Log) -> None:
        assert log.instant != log.shared
        if not log.instant:
            with pytest.raises(NotImplementedError):
                log.note(joined(0))
            assert log.head == 0
            return
        log.note(joined(0))
        await log.append([joined(1)])
        log.note(joined(2))
        assert log.head == 3
        assert not log.stale()

    check(engine, 1, test)


# ---- of logs that last -------------------------------------------------------------------------------------


def test_events_come_back_as_they_were_and_in_their_order(lasting: LogSubject) -> None:
    async def test(log: Log, other: Log) -> None:
        await log.append(SAMPLES[:3])
        await log.append(SAMPLES[3:])
        found = await everything(other)
        assert found == list(SAMPLES)
        assert [type(event) for event in found] == [type(event) for event in SAMPLES]
        assert other.head == log.head

    check(lasting, 2, test)


def test_a_log_that_is_opened_again_holds_all_that_was_appended(lasting: LogSubject) -> None:
    check(lasting, 1, lambda log: log.append(SAMPLES))

    async def test(log: Log) -> None:
        assert await everything(log) == list(SAMPLES)
        await log.append([joined(9)])
        assert log.head == len(SAMPLES) + 1

    check(lasting, 1, test)


def test_who_comes_second_has_written_nothing(lasting: LogSubject) -> None:
    async def test(first: Log, second: Log, third: Log) -> None:
        await first.append([joined(0)])
        with pytest.raises(HeadMoved):
            await second.append([joined(1), joined(2)])
        assert second.head == 0
        assert await everything(second) == [joined(0)]
        await second.append([joined(1), joined(2)])
        assert await everything(third) == [joined(0), joined(1), joined(2)]
        with pytest.raises(HeadMoved):
            await first.append([joined(3)])
        assert await everything(first) == [joined(1), joined(2)]

    check(lasting, 3, test)


def test_a_batch_is_appended_as_a_whole_or_not_at_all(lasting: LogSubject) -> None:
    class Unwritable:
        pass

    async def test(log: Log, other: Log) -> None:
        with pytest.raises(TypeError):
            await log.append([joined(0), Joined(Unwritable(), Rank(1))])  # type: ignore[arg-type]
        assert log.head == 0
        assert await everything(other) == []
        await other.append([joined(7)])
        with pytest.raises(HeadMoved):
            await log.append([joined(0), joined(1), joined(2)])
        assert await everything(log) == [joined(7)]

    check(lasting, 2, test)


def test_rival_writers_leave_one_order_without_gaps(lasting: LogSubject) -> None:
    async def write(log: Log, first: int) -> None:
        number = first
        while number < first + 20:
            try:
                await log.append([joined(number), Finished(Rank(number))])
            except HeadMoved:
                await everything(log)
            else:
                number += 1
            await anyio.lowlevel.checkpoint()

    async def test(one: Log, two: Log, third: Log) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, one, 0)
            tasks.start_soon(write, two, 100)
        found = await everything(third)
        pairs = list(zip(found[::2], found[1::2], strict=True))
        assert len(pairs) == 40
        assert all(second == Finished(first.rank) for first, second in pairs if isinstance(first, Joined))
        ranks = [event.rank for event in found if isinstance(event, Joined)]
        assert [rank for rank in ranks if rank < 100] == list(range(20))
        assert [rank for rank in ranks if rank >= 100] == list(range(100, 120))

    check(lasting, 3, test)


def test_a_long_log_is_read_in_pieces_and_to_its_end(lasting: LogSubject) -> None:
    async def test(log: Log, other: Log) -> None:
        written = [joined(number) for number in range(5000)]
        await log.append(written)
        first = await other.read()
        assert 0 < len(first) < len(written)
        assert other.head == len(first)
        assert [*first, *await everything(other)] == written

    check(lasting, 2, test)


def test_a_handle_knows_that_others_have_appended(
    lasting: LogSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(log: Log, other: Log) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.attend)
            tasks.start_soon(other.attend)
            await comes_true(lambda: not isinstance(log, PostgresLog) or log.is_told)
            await everything(log)
            assert not log.stale()
            await other.append([joined(0)])
            await comes_true(log.stale)
            assert await everything(log) == [joined(0)]
            assert not log.stale()
            await log.append([joined(1)])
            assert not log.stale()
            tasks.cancel_scope.cancel()

    monkeypatch.setattr("coagent.log.sqlite._LOOK_INTERVAL_S", 0.0)
    for interval in ("_LOOK_S", "_LOOK_TOLD_S"):
        monkeypatch.setattr(f"coagent.log.postgres.{interval}", 600.0)
    check(lasting, 2, test)


def test_who_cannot_be_told_looks_now_and_then(lasting: LogSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(log: Log, other: Log) -> None:
        await everything(log)
        await other.append([joined(0)])
        assert log.stale()
        assert await everything(log) == [joined(0)]

    monkeypatch.setattr("coagent.log.sqlite._LOOK_INTERVAL_S", 0.0)
    monkeypatch.setattr("coagent.log.postgres._LOOK_S", 0.0)
    check(lasting, 2, test)


# ---- checkpoints -------------------------------------------------------------------------------------------


def test_a_checkpoint_stands_for_all_before_it(lasting: LogSubject) -> None:
    async def keep(log: Log) -> None:
        await log.append([joined(0), joined(1)])
        assert log.since_checkpoint == 2
        await log.keep(Checkpoint(2, state(2)))
        assert log.since_checkpoint == 0
        await log.append([joined(2)])
        assert log.since_checkpoint == 1

    async def resume(log: Log) -> None:
        assert await log.checkpoint() == Checkpoint(2, state(2))
        assert log.head == 2
        assert log.since_checkpoint == 0
        assert await everything(log) == [joined(2)]
        assert log.since_checkpoint == 1

    check(lasting, 1, keep)
    check(lasting, 1, resume)


def test_the_last_checkpoint_counts_however_many_there_were(lasting: LogSubject) -> None:
    async def keep(log: Log) -> None:
        for number in range(12):
            await log.append([joined(number)])
            await log.keep(Checkpoint(log.head, state(number + 1)))

    async def resume(log: Log) -> None:
        assert await log.checkpoint() == Checkpoint(12, state(12))
        assert await everything(log) == []

    check(lasting, 1, keep)
    check(lasting, 1, resume)


def test_a_checkpoint_of_another_place_than_the_head_is_not_kept(lasting: LogSubject) -> None:
    async def keep(log: Log, other: Log) -> None:
        await log.append([joined(0)])
        await everything(other)
        await other.append([joined(1)])
        await other.keep(Checkpoint(1, state(1)))
        assert other.since_checkpoint == 2

    async def resume(log: Log) -> None:
        assert await log.checkpoint() is None
        assert await everything(log) == [joined(0), joined(1)]

    check(lasting, 2, keep)
    check(lasting, 1, resume)


# ---- who a log belongs to ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        (SETTINGS._replace(protocol="occ"), ConfigurationError),
        (SETTINGS._replace(order="early"), ConfigurationError),
        (SETTINGS._replace(targets=("files:/srv/b#8",)), LogError),
    ],
)
def test_a_log_is_not_opened_as_another_one(
    lasting: LogSubject, settings: LogSettings, refused: type[Exception]
) -> None:
    async def main() -> None:
        begun = SETTINGS._replace(targets=("files:/srv/a#7", "sql:/srv/db#1"))
        await (await lasting.open(begun)).close()
        with pytest.raises(refused) as caught:
            await lasting.open(settings)
        assert str(caught.value)
        log = await lasting.open(begun._replace(targets=()))
        assert log.settings == begun
        assert await everything(log) == []
        await log.close()

    anyio.run(main)


@pytest.mark.parametrize("known", ["files:/srv/a#9", "files:/srv/elsewhere#7", "memory:"])
def test_a_live_system_may_have_moved_or_been_made_again(lasting: LogSubject, known: str) -> None:
    async def main() -> None:
        await (await lasting.open(SETTINGS._replace(targets=("files:/srv/a#7",)))).close()
        log = await lasting.open(SETTINGS._replace(targets=(known,)))
        assert log.settings.targets == ("files:/srv/a#7",)
        await log.close()

    anyio.run(main)


@pytest.mark.parametrize(
    "url", ["memory:x", "sqlite:", "postgres", "", "sqlite", "postgresql:x", "mysql://h/d"]
)
def test_what_names_no_engine_is_a_mistake(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no log engine"):
        anyio.run(open_log, url, SETTINGS)
