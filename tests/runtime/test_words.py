"""What agents say goes into the log with what comes next, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import coagent
from coagent.audit.audit import Audit
from coagent.log.reader import LogReader
from coagent.log.sqlite import SqliteLog
from coagent.masking.mask import Mask
from coagent.protocol.events import CallObserved, Event, Said
from coagent.story.steps import Story
from coagent.wording.spoken import LENGTH_MAX, spoken_line

pytestmark = pytest.mark.anyio


@coagent.tool
async def put(state: coagent.State, name: str, value: str) -> None:
    """Put an object."""
    await state.put(f"kv:{name}", value)


@coagent.tool
async def get(state: coagent.State, name: str) -> Any:
    """Read an object."""
    return await state.get(f"kv:{name}")


def opened(log: Path) -> coagent.Domain:
    target = coagent.targets.Memory({"kv:geo": "bad"})
    return coagent.open_domain(f"sqlite:{log}", targets=[target], tools=[put, get])


def recorded(log: Path) -> list[Event]:
    reader = LogReader(log)
    try:
        return [one.event for one in reader.recorded()]
    finally:
        reader.close()


def words(log: Path) -> list[str]:
    return [event.text for event in recorded(log) if isinstance(event, Said)]


async def test_words_go_with_the_next_record_and_cost_no_append_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended: list[list[str]] = []
    append = SqliteLog.append

    async def noted(log: SqliteLog, events: Sequence[Event]) -> None:
        appended.append([type(event).__name__ for event in events])
        await append(log, events)

    monkeypatch.setattr(SqliteLog, "append", noted)
    async with opened(tmp_path / "log") as domain:
        a = await domain.join("A")
        a.say("Put geo right.", goal=True)
        a.say("I put it.")
        await a.call("put", name="geo", value="good")
        a.say("Is it?")
        await a.call("get", name="geo")
        a.say("Done.")
        assert (await a.finish()).state == "committed"
    assert ["Said", "Said", "CallObserved"] in appended
    assert ["Said"] not in appended
    kinds = [type(event).__name__ for event in recorded(tmp_path / "log")]
    assert [kind for kind in kinds if kind != "EffectApplied"] == [
        "Joined", "Said", "Said", "CallObserved", "Said", "CallObserved", "Said", "Finished", "Committed",
    ]  # fmt: skip
    assert words(tmp_path / "log") == ["Put geo right.", "I put it.", "Is it?", "Done."]


async def test_what_was_said_already_or_by_one_that_has_ended_is_no_news(tmp_path: Path) -> None:
    async with opened(tmp_path / "log") as domain:
        a = await domain.join("A")
        for text in ("I wait.", "I look.", "I look.", "", "```", "I look."):
            a.say(text)
        await a.call("put", name="geo", value="good")
        a.say("I look.")
        await a.finish()
        a.say("Too late.")
    assert words(tmp_path / "log") == ["I look."]


async def test_a_domain_may_keep_no_words(tmp_path: Path) -> None:
    domain = opened(tmp_path / "log")
    domain.keeps_words = False
    async with domain:
        a = await domain.join("A")
        a.say("Nobody is to know.")
        await a.finish()
    assert words(tmp_path / "log") == []


async def test_words_do_not_wake_an_agent_and_an_auditor_accepts_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "log") as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("put", name="geo", value="good")
        assert (await b.finish()).state == "waiting"
        b.say("I am done already.")
        await b.flush()
        assert b.state == "finished"
        await a.finish()
        assert (await b.finish()).state == "committed"
    assert words(tmp_path / "log") == ["I am done already."]
    auditor = Audit("mtpo")
    with sqlite3.connect(tmp_path / "log") as connection:
        for number, record in connection.execute(
            "select number, record from coagent_records order by number"
        ):
            auditor.feed(number, record)
    assert auditor.report().findings.kept == []


async def test_secrets_in_words_are_masked_in_the_story(tmp_path: Path) -> None:
    async with opened(tmp_path / "log") as domain:
        a = await domain.join("A")
        a.say("I set the password to hunter2-and-more.")
        await a.call("put", name="password", value="hunter2-and-more")
        await a.finish()
    story = Story(f"sqlite:{tmp_path / 'log'}", Mask())
    story.advance()
    (said,) = [step for step in story.steps() if step["kind"] == "said"]
    story.close()
    assert "hunter2" not in said["said"] + said["text"]
    assert said["said"].startswith("I set the password to [masked]")


async def test_a_read_that_waits_to_be_recorded_says_how_long_ago_it_ended(tmp_path: Path) -> None:
    now_s = 100.0
    domain = opened(tmp_path / "log")
    domain.clock.moment_s = lambda: now_s  # type: ignore[method-assign]
    async with domain:
        a = await domain.join("A")
        await a.call("put", name="geo", value="good")
        await a.call("get", name="geo")
        now_s = 160.0
        await a.call("put", name="geo", value="better")
        await a.finish()
    calls = [event for event in recorded(tmp_path / "log") if isinstance(event, CallObserved)]
    assert [event.ago_ms for event in calls] == [0, 60_000, 0]
    assert all(event.took_ms is not None for event in calls)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("  \n```python\n", ""),
        ("## Plan\nI look first.\nThen more.", "I look first."),
        ("# Plan", "Plan"),
        ("- one\n- two", "one"),
        ("a\x1b[31mred\u202e", "a\\x1b[31mred\\u202e"),
        ("看" * 400, "看" * (LENGTH_MAX - 1) + "…"),
        ("word " * 100, ("word " * 56).rstrip() + "…"),
        ("see sk-" + "x" * 400, "see…"),
    ],
)
def test_a_line_is_the_first_that_says_something_and_cuts_no_word_in_two(text: str, line: str) -> None:
    assert spoken_line(text) == line
    assert len(spoken_line(text)) <= LENGTH_MAX
