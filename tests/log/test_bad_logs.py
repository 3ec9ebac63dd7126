"""A log that is damaged, foreign or from the future is refused, and says where."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from log_subjects import SAMPLES, SETTINGS

from coagent.errors import LogError
from coagent.log.base import Checkpoint, Log, NothingYet
from coagent.log.codec import decode, decode_state, encode_state
from coagent.log.open import open_log
from coagent.log.reader import LogReader
from coagent.protocol.calls import Rank
from coagent.protocol.checkpoint import KernelState, restore, state_of
from coagent.protocol.events import Event, Joined
from coagent.protocol.mtpo import Mtpo

EVENTS: list[Event] = [Joined(f"agent {number}", Rank(number)) for number in range(20)]


def state_after(events: list[Event]) -> KernelState:
    kernel = Mtpo()
    for event in events:
        kernel.step(event)
    return state_of(kernel)


async def read_from(log: Log | LogReader) -> list[Event]:
    found: list[Event] = []
    while events := (log.read() if isinstance(log, LogReader) else await log.read()):
        found.extend(events)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of twenty events with a checkpoint after the twelfth."""

    async def write() -> None:
        log = await open_log(f"sqlite:{tmp_path / 'log'}", SETTINGS)
        await log.append(EVENTS[:12])
        await log.keep(Checkpoint(12, state_after(EVENTS[:12])))
        await log.append(EVENTS[12:])
        await log.close()

    anyio.run(write)
    return tmp_path / "log"


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def read(path: Path, *, from_checkpoint: bool = False) -> list[Event]:
    """Read a log as a domain does."""

    async def main() -> list[Event]:
        log = await open_log(f"sqlite:{path}", SETTINGS)
        try:
            if from_checkpoint:
                await log.checkpoint()
            return await read_from(log)
        finally:
            await log.close()

    return anyio.run(main)


def read_alone(path: Path) -> list[Event]:
    """Read a log as those do who only look at it."""
    reader = LogReader(path)
    try:
        return anyio.run(read_from, reader)
    finally:
        reader.close()


@pytest.fixture(params=[read, read_alone], ids=["a domain", "a reader"])
def whole(request: pytest.FixtureRequest) -> Callable[[Path], list[Event]]:
    """Read the whole log in one way or the other."""
    found: Callable[[Path], list[Event]] = request.param
    return found


def test_a_sound_log_is_read(path: Path, whole: Callable[[Path], list[Event]]) -> None:
    assert whole(path) == EVENTS
    assert read(path, from_checkpoint=True) == EVENTS[12:]


RECORDS = "coagent_records"
DAMAGES = {
    "changed": (
        [f"update {RECORDS} set record = replace(record, 'agent 4', 'agent 5') where number = 5"],
        "record 5 of log .* is damaged, or not in its place",
    ),
    "taken out": ([f"delete from {RECORDS} where number = 5"], "lacks record 5"),
    "the first taken out": ([f"delete from {RECORDS} where number = 1"], "lacks record 1"),
    "cut off": ([f"delete from {RECORDS} where number > 17"], "lacks its end: records 18 to 20"),
    "exchanged": (
        [
            f"update {RECORDS} set number = 1000 where number = 5",
            f"update {RECORDS} set number = 5 where number = 6",
            f"update {RECORDS} set number = 6 where number = 1000",
        ],
        "record 5 of log .* is damaged, or not in its place",
    ),
    "put in twice": (
        [
            f"update {RECORDS} set record = (select record from {RECORDS} where number = 4), "
            f"checksum = (select checksum from {RECORDS} where number = 4) where number = 5"
        ],
        "record 5 of log .* is damaged, or not in its place",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_was(path: Path, whole: Callable[[Path], list[Event]], damage: str) -> None:
    statements, says = DAMAGES[damage]
    change(path, *statements)
    with pytest.raises(LogError, match=says) as caught:
        whole(path)
    assert caught.value.cure


def test_damage_before_a_checkpoint_keeps_nobody_from_going_on(path: Path) -> None:
    change(path, f"delete from {RECORDS} where number = 5")
    assert read(path, from_checkpoint=True) == EVENTS[12:]


@pytest.mark.parametrize(
    "damage", ["state = replace(state, 'agent 4', 'agent 5')", "checksum = checksum + 1"]
)
def test_a_damaged_checkpoint_is_refused(path: Path, damage: str) -> None:
    change(path, f"update coagent_checkpoints set {damage}")
    with pytest.raises(LogError, match=r"the checkpoint at record 12 of log .* is damaged"):
        read(path, from_checkpoint=True)


def test_a_checkpoint_that_belongs_to_another_place_is_noticed_with_the_next_record(path: Path) -> None:
    change(path, "update coagent_checkpoints set chain = chain + 1")
    with pytest.raises(LogError, match=r"record 13 of log .* is damaged, or not in its place"):
        read(path, from_checkpoint=True)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("format", "99", "has format 99"),
        ("format", "abc", "makes no sense"),
        ("format", "", "makes no sense"),
        ("targets", "[", "makes no sense"),
        ("targets", "7", "makes no sense"),
    ],
)
def test_a_log_that_says_of_itself(
    path: Path, whole: Callable[[Path], list[Event]], name: str, value: str, says: str
) -> None:
    change(path, f"update coagent_log_meta set value = '{value}' where name = '{name}'")
    with pytest.raises(LogError, match=says) as caught:
        whole(path)
    assert caught.value.cure


def test_a_log_that_does_not_say_its_protocol_is_refused(path: Path) -> None:
    change(path, "delete from coagent_log_meta where name = 'protocol'")
    with pytest.raises(LogError, match="makes no sense"):
        read(path)


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be looked at\n" * 50, b"short"]
)
def test_a_file_that_is_no_log_is_refused_and_left_alone(
    tmp_path: Path, whole: Callable[[Path], list[Event]], content: bytes
) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LogError):
        whole(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "record",
    [
        '["Joined"]',
        '["Unheard", 1]',
        "[]",
        "{}",
        "7",
        "null",
        '["CallObserved", 0, "put", {}, [1, 2]]',
        "[",
        '"x"',
    ],
)
def test_a_record_that_makes_no_sense_is_named_as_such(record: str) -> None:

    with pytest.raises(LogError, match="a record of the log cannot be understood"):
        decode(record)


# ---- checkpoints -------------------------------------------------------------------------------------------


def test_a_kernel_that_took_everything_comes_back_from_text_as_it_was() -> None:
    kernel = Mtpo()
    for event in SAMPLES:
        kernel.step(event)
    state = state_of(kernel)
    again = decode_state(encode_state(state))
    assert again == state
    restored = Mtpo()
    restore(restored, again)
    assert state_of(restored) == state


def test_a_log_whose_tables_another_process_is_just_making_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "log"
    connection = sqlite3.connect(path)
    connection.execute("pragma journal_mode = wal")
    connection.close()
    path.chmod(0o600)
    assert path.stat().st_size > 0
    with pytest.raises(NothingYet, match="is being begun"):
        LogReader(path)
