"""Old records of a log in its archive: what is there, and that nothing is lost or repeated on the way."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from coagent import open_domain, targets
from coagent.errors import LogError
from coagent.log import sqlite as sqlite_log
from coagent.log.archive import Archive
from coagent.log.base import Checkpoint, HeadMoved, LogSettings, NothingYet
from coagent.log.reader import LogReader
from coagent.log.sqlite import SqliteLog
from coagent.protocol.calls import Rank
from coagent.protocol.checkpoint import state_of
from coagent.protocol.events import Aborted, Event, Joined
from coagent.protocol.mtpo import Mtpo
from coagent.runtime.watch import Watch
from coagent_lab.sim.tools import TOOLS

WORKER = Path(__file__).with_name("archive_worker.py")
PROCESS = Path(__file__).with_name("two_process_worker.py")
OFTEN = """
import runpy, sys
from coagent.log import sqlite
from coagent.runtime import recorder
recorder._CHECKPOINT_EVENTS_MIN = sqlite._CHECKPOINTS_APART = 50
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SETTINGS = LogSettings("mtpo", "fixed", ())
SEGMENT, KEPT, APART = 4, 6, 3


@pytest.fixture(autouse=True)
def checkpoints_close_to_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "_CHECKPOINTS_APART", APART)


def events_of(count: int, first: int = 0) -> list[Event]:
    ranks = range(first // 2, (first + count) // 2)
    return [event for n in ranks for event in (Joined(f"a{n}", Rank(n)), Aborted(Rank(n), "enough"))]


async def written(path: Path, events: Sequence[Event], every: int = APART) -> None:
    """Write a log with a checkpoint after every so many events."""
    kernel = Mtpo()
    log = await SqliteLog.open(path, SETTINGS)
    for number, event in enumerate(events, 1):
        await log.append([event])
        kernel.step(event)
        if number % every == 0:
            await log.keep(Checkpoint(number, state_of(kernel)))
    await log.close()


def archive_of(path: Path) -> Archive:
    return Archive(path, segment_records=SEGMENT, kept_records=KEPT)


def filled(path: Path) -> int:
    archive = archive_of(path)
    return sum(iter(archive.fill, 0))


def history(path: Path, tail: int | None = None) -> list[Event]:
    reader = LogReader(path)
    try:
        reader.checkpoint(tail)
        return [event for some in iter(reader.read, []) for event in some]
    finally:
        reader.close()


def numbers_in_file(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [row[0] for row in connection.execute("select number from coagent_records order by number")]


def numbers_in_archive(path: Path) -> list[int]:
    found = []
    for segment in archive_of(path).segments():
        found += [row[0] for row in rows_of(segment.path) if row[0] != "state"]
    return found


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_what_is_archived_leaves_the_file_and_is_read_all_the_same(tmp_path: Path) -> None:
    path, events = tmp_path / "log", events_of(30)
    anyio.run(written, path, events)
    moved = filled(path)
    assert moved == 24
    assert numbers_in_archive(path) + numbers_in_file(path) == list(range(1, 31))
    assert history(path) == events


def test_the_last_records_stay(tmp_path: Path) -> None:
    path = tmp_path / "log"
    anyio.run(written, path, events_of(30))
    filled(path)
    assert len(numbers_in_file(path)) >= KEPT


def test_a_short_log_has_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "log"
    anyio.run(written, path, events_of(8))
    assert filled(path) == 0
    assert not (tmp_path / "log.archive").exists()


def test_a_large_log_is_archived_although_its_records_are_few(tmp_path: Path) -> None:
    path = tmp_path / "log"
    anyio.run(written, path, events_of(8))
    assert Archive(path, kept_bytes=0).fill() == 3


@pytest.mark.parametrize("tail", [0, 1, 5, 12, 20, 25, 30, 40])
def test_the_last_so_many_are_read_from_a_checkpoint_close_before_them(tmp_path: Path, tail: int) -> None:
    path, events = tmp_path / "log", events_of(30)
    anyio.run(written, path, events)
    filled(path)
    read = history(path, tail)
    assert read == events[len(events) - len(read) :]
    assert min(tail, 30) <= len(read) <= min(tail + APART + SEGMENT, 30)


def test_a_log_tells_what_is_left_where_old_segments_were_deleted(tmp_path: Path) -> None:
    path, events = tmp_path / "log", events_of(30)
    anyio.run(written, path, events)
    filled(path)
    for segment in archive_of(path).segments()[:3]:
        segment.path.unlink()
    left = history(path)
    assert 0 < len(left) < 30
    assert left == events[-len(left) :]
    shutil.rmtree(tmp_path / "log.archive")
    left = history(path)
    assert KEPT <= len(left) < 30
    assert left == events[-len(left) :]


def test_a_missing_segment_in_the_middle_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log"
    anyio.run(written, path, events_of(30))
    filled(path)
    segment = archive_of(path).segments()[2]
    segment.path.unlink()
    with pytest.raises(LogError, match=f"lacks record {segment.first}"):
        history(path)


def test_a_damaged_segment_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log"
    anyio.run(written, path, events_of(30))
    filled(path)
    segment = archive_of(path).segments()[1]
    lines = rows_of(segment.path)
    lines[-1][2] = lines[-1][2].replace("e", "3")
    with gzip.open(segment.path, "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    with pytest.raises(LogError, match="is damaged, or not in its place"):
        history(path)


def test_a_log_begun_where_another_one_was_gets_an_archive_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "log"
    anyio.run(written, path, events_of(30))
    filled(path)
    for beside in tmp_path.glob("log*"):
        if beside.is_file():
            beside.unlink()
    events = [Joined("new", Rank(0)), *events_of(29, 2)]
    anyio.run(written, path, events)
    assert history(path) == events
    assert filled(path) > 0
    assert history(path) == events
    assert len(list((tmp_path / "log.archive.1").iterdir())) > 0


@pytest.mark.anyio
async def test_who_has_the_log_open_reads_on_in_the_archive(tmp_path: Path) -> None:
    path, events = tmp_path / "log", events_of(30)
    await written(path, events[:2])
    slow, reader = await SqliteLog.open(path, SETTINGS), LogReader(path)
    assert await slow.read() == reader.read() == events[:2]
    await written_on(path, events[2:])
    assert await anyio.to_thread.run_sync(filled, path) > 0
    assert numbers_in_file(path)[0] > 3
    assert [event for some in iter(reader.read, []) for event in some] == events[2:]
    read: list[Event] = []
    while some := await slow.read():
        read += some
    assert read == events[2:]
    await slow.append([Joined("last", Rank(100))])
    assert history(path)[-1] == Joined("last", Rank(100))
    reader.close()
    await slow.close()


@pytest.mark.anyio
async def test_who_has_slept_while_records_were_archived_cannot_append_in_their_place(tmp_path: Path) -> None:
    path, events = tmp_path / "log", events_of(30)
    await written(path, events[:2])
    slow = await SqliteLog.open(path, SETTINGS)
    await slow.read()
    await written_on(path, events[2:])
    await anyio.to_thread.run_sync(filled, path)
    with pytest.raises(HeadMoved):
        await slow.append([Joined("late", Rank(100))])
    with pytest.raises(HeadMoved):
        await slow.append([Joined("late", Rank(100)), Aborted(Rank(100), "")])
    assert history(path) == events
    await slow.close()


async def written_on(path: Path, events: Sequence[Event]) -> None:
    """Go on with a log, with a checkpoint after every so many events."""
    kernel = Mtpo()
    log = await SqliteLog.open(path, SETTINGS)
    while some := await log.read():
        for event in some:
            kernel.step(event)
    for event in events:
        await log.append([event])
        kernel.step(event)
        if log.head % APART == 0:
            await log.keep(Checkpoint(log.head, state_of(kernel)))
    await log.close()


KilledAt = Callable[[Path, int], bool]


@pytest.fixture
def killed_at() -> Iterator[KilledAt]:
    """Archives in another process, which kills itself at a step; tells whether it came to that."""
    with subprocess.Popen(
        [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def archived(path: Path, step: int) -> bool:
            print(step, path, file=questions, flush=True)
            code = int(answers.readline())
            assert code in (0, -signal.SIGKILL)
            return code != 0

        yield archived


def test_whoever_is_killed_at_any_step_of_archiving_loses_and_repeats_nothing(
    tmp_path: Path, killed_at: KilledAt
) -> None:
    events = events_of(16)
    template = tmp_path / "template"
    template.mkdir()
    anyio.run(written, template / "log", events)
    step = 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        shutil.copytree(template, folder)
        path = folder / "log"
        killed = killed_at(path, step)
        assert history(path) == events
        assert set(numbers_in_archive(path)) | set(numbers_in_file(path)) == set(range(1, 17))
        filled(path)
        assert numbers_in_archive(path) + numbers_in_file(path) == list(range(1, 17))
        assert history(path) == events
        assert not list(folder.rglob("*.partial"))
        if not killed:
            break
    assert step > 30  # three segments of some ten steps each


def test_a_process_at_work_is_archived_behind_its_back_and_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "log"
    (tmp_path / "live").mkdir()

    async def join() -> None:
        async with open_domain(f"sqlite:{path}", targets=[targets.Files(tmp_path / "live")]) as domain:
            await domain.join("A")

    anyio.run(join)
    archive = Archive(path, segment_records=20, kept_records=100)
    with subprocess.Popen(
        [sys.executable, "-c", OFTEN, str(PROCESS), f"sqlite:{path}", "endless", str(tmp_path / "live"), "A"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = 0
        while len(archive.segments()) < 3:
            said = int(process.stdout.readline())
            if said % 10 == 0:
                archive.fill()
        process.kill()
    events = history(path)
    assert len(events) == LogReader(path).last
    made = [event.arguments["line"] for event in events if type(event).__name__ == "CallObserved"]
    assert made[:said] == [str(n) for n in range(1, said + 1)]

    async def again() -> int:
        domain = open_domain(f"sqlite:{path}", targets=[targets.Files(tmp_path / "live")], tools=TOOLS)
        async with domain:
            return len((await domain.attach("A")).calls)

    assert anyio.run(again) >= said
    assert history(path)[: len(events)] == events


def opened(path: Path) -> SqliteLog:
    async def main() -> SqliteLog:
        log = await SqliteLog.open(path, SETTINGS)
        await log.close()
        return log

    return anyio.run(main)


@pytest.fixture
def nobody_begins_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an empty log waited for no longer, as if another process began it."""
    monkeypatch.setattr(sqlite_log, "_BEGUN_WITHIN_S", 0.05)


@pytest.mark.usefixtures("nobody_begins_one")
def test_a_log_that_is_empty_beside_its_archive_is_refused(tmp_path: Path) -> None:
    """It has lost what it held: to begin it anew would hide that, and set its archive aside."""
    path = tmp_path / "log"
    anyio.run(written, path, events_of(20))
    assert filled(path)
    path.write_bytes(b"")
    for act in (opened, LogReader, lambda path: Watch(f"sqlite:{path}")):
        with pytest.raises(LogError, match=r"is empty, though records of it lie in .*log.archive") as caught:
            act(path)
        assert "Restore a copy" in caught.value.cure
    assert path.read_bytes() == b""


@pytest.mark.usefixtures("nobody_begins_one")
def test_a_log_that_is_empty_beside_its_latest_records_is_refused(tmp_path: Path) -> None:
    """SQLite deletes the file beside it when it finds it empty, with all that was written last."""
    path = tmp_path / "log"
    beside = tmp_path / "log-wal"
    kept = b""

    async def main() -> None:
        nonlocal kept
        log = await SqliteLog.open(path, SETTINGS)
        await log.append(events_of(4))
        kept = beside.read_bytes()
        await log.close()

    anyio.run(main)
    assert kept
    path.write_bytes(b"")
    beside.write_bytes(kept)
    for act in (opened, LogReader):
        with pytest.raises(LogError, match=r"is empty, though records of it lie in .*log-wal"):
            act(path)
    assert beside.read_bytes() == kept


def test_a_log_whose_process_died_before_it_wrote_anything_is_begun(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch(mode=0o600)
    with pytest.raises(NothingYet, match="nobody has joined"):
        Watch(f"sqlite:{path}")
    assert opened(path).head == 0
    assert history(path) == []


def test_a_log_that_is_gone_is_begun_beside_the_archive_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "log"
    anyio.run(written, path, events_of(20))
    assert filled(path)
    for file in tmp_path.glob("log*"):
        if file.is_file():
            file.unlink()
    assert opened(path).head == 0
