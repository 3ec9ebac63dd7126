"""Records say when they were appended; those of format 2, which do not, are read all the same."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from coagent.log.base import LogSettings
from coagent.log.codec import FORMAT, Recorded, checksum
from coagent.log.reader import LogReader
from coagent.log.sqlite import SqliteLog
from coagent.protocol.calls import Rank
from coagent.protocol.events import Event, Finished, Joined

pytestmark = pytest.mark.anyio

_EVENTS: list[Event] = [Joined("A", Rank(0)), Finished(Rank(0))]


async def _written(path: Path, events: list[Event]) -> None:
    log = await SqliteLog.open(path, LogSettings("mtpo", "fixed", ()))
    while await log.read():
        pass
    await log.append(events)
    await log.close()


def _format(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        found = connection.execute("select value from coagent_log_meta where name = 'format'").fetchone()
    return str(found[0])


def _made_format_2(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("select number, record from coagent_records order by number").fetchall()
        chain = 0
        for number, record in rows:
            old = json.dumps(json.loads(record)[1:], separators=(",", ":"))
            chain = checksum(old, chain)
            connection.execute(
                "update coagent_records set record = ?, checksum = ? where number = ?", (old, chain, number)
            )
        connection.execute("update coagent_log_meta set value = '2' where name = 'format'")


async def test_each_record_says_when_it_was_appended(tmp_path: Path) -> None:
    before = int(time.time() * 1000)
    await _written(tmp_path / "log", _EVENTS)
    reader = LogReader(tmp_path / "log")
    found = reader.recorded()
    reader.close()
    assert [one.event for one in found] == _EVENTS
    assert all(one.at_ms is not None and before <= one.at_ms <= time.time() * 1000 for one in found)


async def test_a_log_of_format_2_has_no_times_until_somebody_appends_and_then_is_of_todays_format(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    await _written(path, _EVENTS)
    _made_format_2(path)
    assert [one.at_ms for one in _read(path)] == [None, None]
    assert _format(path) == "2"
    await _written(path, [Joined("B", Rank(1))])
    found = _read(path)
    assert [one.event for one in found] == [*_EVENTS, Joined("B", Rank(1))]
    assert [one.at_ms is None for one in found] == [True, True, False]
    assert _format(path) == str(FORMAT)


async def test_a_log_of_format_3_is_of_todays_format_once_somebody_opens_it_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    await _written(path, _EVENTS)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update coagent_log_meta set value = '3' where name = 'format'")
    assert [one.event for one in _read(path)] == _EVENTS
    assert _format(path) == "3"
    await _written(path, [])
    assert _format(path) == str(FORMAT)


def _read(path: Path) -> list[Recorded]:
    reader = LogReader(path)
    try:
        return list(reader.recorded())
    finally:
        reader.close()
