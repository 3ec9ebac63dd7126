"""The terminal's picture, driven by keys: of a kept log, and live while another process works."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest
from domain_worker import CONFIG, Worker, at_work, domain_worker
from test_steps import kept_run
from textual.pilot import Pilot

from coagent.cli.output import MASK, shown
from coagent.config.domain_file import configured
from coagent.terminal.app import Terminal
from coagent.terminal.drawing import Look
from coagent.terminal.following import Following

WAIT_S = 30


class Seen:
    """A terminal as somebody sees it, and their keys."""

    def __init__(self, app: Terminal, pilot: Pilot[None]) -> None:
        self.app, self._pilot = app, pilot

    def lines(self) -> list[str]:
        screen = self.app.screen
        rows = screen._compositor.render_strips()
        return ["".join(segment.text for segment in row).rstrip() for row in rows]

    def text(self) -> str:
        return "\n".join(self.lines())

    async def until(self, *words: str, gone: str | None = None) -> str:
        """Wait until words are to be seen, and others are not."""
        until = monotonic() + WAIT_S
        while True:
            await self._pilot.pause(0.01)
            text = self.text()
            said = " ".join(text.split())  # a long path above may wrap it
            if all(word in text or word in said for word in words) and (gone is None or gone not in text):
                return text
            assert monotonic() < until, f"no {words} in\n{text}"

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def resize(self, width: int, height: int) -> None:
        await self._pilot.resize_terminal(width, height)


@asynccontextmanager
async def seen(
    url: str, size: tuple[int, int] = (80, 24), *, ascii_only: bool = False
) -> AsyncIterator[Seen]:
    following = Following(url, MASK)
    app = Terminal(following, Look(shown, ascii=ascii_only))
    try:
        async with app.run_test(size=size) as pilot:
            yield Seen(app, pilot)
    finally:
        following.stop()


def looking(
    url: str, look: Callable[[Seen], Awaitable[None]], size: tuple[int, int] = (80, 24), **more: Any
) -> None:
    async def run() -> None:
        async with seen(url, size, **more) as found:
            await look(found)

    asyncio.run(run())


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with domain_worker(tmp_path) as worker:
        yield worker


def log_of(worker: Worker) -> str:
    return f"sqlite:{worker.log}"


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (40, 10), (20, 5)])
def test_a_kept_run_is_shown_at_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    kept_run(2, "plain", tmp_path / "run.log")

    async def look(found: Seen) -> None:
        await found.until("run.log", "live" if size[0] > 30 else "run")
        assert len(found.lines()) == size[1]
        for key in ("up", "tab", "down", "tab", "end", "pageup", "home", "f", "e", "question_mark", "escape"):
            await found.press(key)
        await found.resize(120, 30)
        text = await found.until("the step", "what it did last")
        assert all(len(line) <= 120 for line in text.split("\n"))

    looking(f"sqlite:{tmp_path}/run.log", look, size)


def test_what_happens_in_another_process_is_seen_as_it_happens(worker: Worker) -> None:
    async def look(found: Seen) -> None:
        await found.until("nobody has joined this domain yet")
        at_work(worker)
        text = await found.until("2 agents: 1 active, 1 finished", "waits for A", "write_file(path=")
        assert "thinking" in text
        worker.do("write_file", "A", {"path": "a.txt", "content": "three\n"})
        await found.until("1 to read")
        assert worker.do("notices", "B") == ["file:a.txt"]
        await found.until("notices · 1", "A → B  file:a.txt", "-two  +three", "was told")
        worker.do("finish", "A")
        worker.do("finish", "B")
        await found.until("2 agents: 2 committed")

    looking(log_of(worker), look)


def test_a_step_is_read_whole_with_its_arguments_values_and_notices(worker: Worker) -> None:
    at_work(worker)
    worker.do("write_file", "A", {"path": "a.txt", "content": "three\n"})
    worker.do("notices", "B")

    async def look(found: Seen) -> None:
        await found.until("was told")
        await found.press("end", "enter")
        text = await found.until("notice 1  file:a.txt changed by A (A.2)")
        assert "was seen by  B.1" in text
        assert "may rest on it  B.2" in text
        assert "+three" in text
        await found.press("escape", "up", "up", "enter")
        text = await found.until("call  A.2 write_file: done")
        assert "content = three" in text
        await found.press("escape")
        await found.until("── steps", gone="content = three")

    looking(log_of(worker), look)


def test_steps_are_filtered_by_words_and_by_agent(worker: Worker) -> None:
    at_work(worker)

    async def look(found: Seen) -> None:
        await found.until("steps · 6")
        await found.press("slash", *"b.txt")
        text = await found.until("steps with b.txt (esc: all) · 1")
        assert "read_file" not in text.partition("── steps")[2]
        await found.press("escape", "escape")
        await found.until("steps · 6")
        await found.press("shift+tab", "shift+tab", "home", "enter")
        await found.until("steps of A (esc: all) · 2")
        await found.press("down", "enter")
        await found.until("steps of B (esc: all) · 4")
        await found.press("enter")
        await found.until("steps · 6")

    looking(log_of(worker), look)


def test_whoever_goes_up_stays_there_until_they_follow_again(worker: Worker) -> None:
    at_work(worker)

    async def look(found: Seen) -> None:
        await found.until("steps · 6 · following")
        await found.press("up")
        await found.until("not following: f")
        worker.do("write_file", "A", {"path": "c.txt", "content": "c\n"})
        await found.until("steps · 7")
        await found.press("enter")
        await found.until("call  B.2 write_file: done")
        await found.press("escape", "f")
        await found.until("steps · 7 · following")
        await found.press("enter")
        await found.until("call  A.2 write_file: done")

    looking(log_of(worker), look)


def test_a_log_that_is_removed_or_damaged_is_told_and_stays_to_be_seen(
    worker: Worker, tmp_path: Path
) -> None:
    at_work(worker)

    async def look(found: Seen) -> None:
        await found.until("waits for A")
        moved = tmp_path / "away.db"
        worker.log.rename(moved)
        text = await found.until("The log has been removed. What was read of it stays here.", "log gone")
        assert "waits for A" in text
        moved.rename(worker.log)
        await found.until("live", "waits for A", gone="has been removed")
        with sqlite3.connect(worker.log) as connection:
            connection.execute("insert into coagent_records (checksum, record) values (0, '[1]')")
        text = await found.until("Record ", "log gone")
        assert "waits for A" in text

    looking(log_of(worker), look)


def test_ended_agents_can_be_hidden(worker: Worker) -> None:
    at_work(worker)
    worker.do("finish", "A")

    async def look(found: Seen) -> None:
        await found.until("2 committed", "✓")
        await found.press("e")
        await found.until(gone="committed          ")

    looking(log_of(worker), look)


def test_a_process_that_has_died_is_seen(worker: Worker) -> None:
    at_work(worker)
    worker._process.kill()
    worker._process.wait()

    async def look(found: Seen) -> None:
        await found.until("process has died")

    looking(log_of(worker), look)


def test_no_colour_is_used_where_none_is_wanted(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    at_work(worker)

    async def look(found: Seen) -> None:
        await found.until("waits for A")
        for row in found.app.screen._compositor.render_strips():
            for segment in row.apply_filter(found.app._filters[-1], found.app.background_colors[0]):
                color = segment.style and segment.style.color
                assert color is None or color.is_default

    looking(log_of(worker), look)


def test_without_unicode_all_is_ascii(worker: Worker) -> None:
    at_work(worker)

    async def look(found: Seen) -> None:
        text = await found.until("waits for A", "-- steps")
        assert text.isascii()
        await found.press("question_mark")
        assert (await found.until("The signs of steps")).isascii()

    looking(log_of(worker), look, ascii_only=True)


def test_looking_on_changes_nothing(worker: Worker) -> None:
    at_work(worker)
    names = sorted(path.name for path in worker.folder.rglob("*"))
    records = sqlite3.connect(worker.log).execute("select count(*) from coagent_records").fetchone()

    async def look(found: Seen) -> None:
        await found.until("waits for A")

    looking(log_of(worker), look)
    assert sorted(path.name for path in worker.folder.rglob("*")) == names
    assert sqlite3.connect(worker.log).execute("select count(*) from coagent_records").fetchone() == records


def test_a_domain_without_a_log_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").write_text(CONFIG)

    async def look(found: Seen) -> None:
        await found.until("nobody has joined this domain yet", "waiting for somebody to join")

    looking(f"sqlite:{tmp_path}/.coagent/log.db", look)
    assert not (tmp_path / ".coagent" / "log.db").exists()


def test_a_log_on_a_server_is_shown_as_well(postgres_log: str, tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    config = tmp_path / ".coagent" / "config.toml"
    config.write_text(f'log = "{postgres_log}"\n[[targets]]\nkind = "files"\nroot = ".."\n')

    async def work() -> None:
        async with configured(config).domain as domain:
            a = await domain.join("A")
            await a.call("write_file", path="a.txt", content="after\n")

    anyio.run(work)

    async def look(found: Seen) -> None:
        await found.until("1 agent: 1 active", "live", "write_file(path=")
        await found.press("up", "enter")
        await found.until("call  A.1 write_file: done", "content = after")

    looking(postgres_log, look)
