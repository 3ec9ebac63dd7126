"""Of what time a version of a file is for each agent: the rules behind builds that stay right."""

from __future__ import annotations

from pathlib import Path

from coagent.protocol.calls import Position, position_of
from coagent.protocol.keys import Key
from coagent.systems.files.version_times import JUST_AFTER_NS, SHARED, VersionTimes

STAMP, SOURCE = "target/.stamp", "main.c"
LOW, HIGH = position_of(0, 1), position_of(1, 1)
NOW_NS = 10**18


def _shown(
    times: VersionTimes, path: str, content: bytes, writer: Position | None, live: int | None = None
) -> int:
    found, _ = times.when_shown(path, content, live, NOW_NS, rank=1, writers={Key(f"file:{path}"): writer})
    return found


def test_what_two_calls_have_written_alike_has_a_time_for_each() -> None:
    times = VersionTimes()
    times.note_products([STAMP])
    times.say({STAMP: (b"", 3)}, LOW)
    times.say({STAMP: (b"", 7)}, HIGH)
    assert [_shown(times, STAMP, b"", writer) for writer in (LOW, HIGH)] == [3, 7]


def test_a_call_that_runs_again_gives_its_version_the_time_of_that_run() -> None:
    times = VersionTimes()
    times.say({STAMP: (b"", 3)}, LOW)
    times.say({STAMP: (b"", 9)}, LOW)
    assert _shown(times, STAMP, b"", LOW) == 9


def test_what_was_built_nobody_knows_when_is_older_than_all_else() -> None:
    times = VersionTimes()
    times.note_products([STAMP])
    times.say({STAMP: (b"", 7)}, HIGH)
    assert 0 < _shown(times, STAMP, b"", LOW) < 10**10
    assert _shown(times, STAMP, b"", LOW, live=5) == 5


def test_a_source_nobody_knows_of_is_of_now_and_stays_of_that_time() -> None:
    times = VersionTimes()
    assert _shown(times, SOURCE, b"x", LOW) == NOW_NS
    again, _ = times.when_shown(SOURCE, b"x", None, NOW_NS + 5, rank=1, writers={})
    assert again == NOW_NS


def test_a_source_that_others_have_built_without_is_newer_than_what_they_built() -> None:
    times = VersionTimes()
    times.note_written(SOURCE, b"mine", 1)
    times.note_build({SOURCE: b"theirs"}, 50, SHARED)
    assert _shown(times, SOURCE, b"mine", None) > 50


def test_another_process_learns_all_of_it_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "times"
    one, other = VersionTimes(), VersionTimes()
    one.keep_in(file)
    other.keep_in(file)
    one.note_products([STAMP])
    one.say({STAMP: (b"", 3)}, LOW)
    one.note_written(SOURCE, b"x", 4)
    one.note_build({SOURCE: b"y"}, 50, 0)
    assert _shown(other, STAMP, b"", LOW) == 3
    assert _shown(other, SOURCE, b"x", None) == 50 + JUST_AFTER_NS
    with file.open("ab") as lines:  # of a process that died, and one that nobody understands
        lines.write(b'["written", "half", \n["written", "main.c", "x", 1, -1]\n')
    one.note_written(SOURCE, b"z", 8)
    assert other.is_product(STAMP)
    assert _shown(other, SOURCE, b"z", None) == 50 + JUST_AFTER_NS
