"""`coagent status`, `log` and `undo` on a domain that another process has open."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from domain_worker import CONFIG, Worker, at_work, domain_worker

from coagent.log.archive import Archive


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with domain_worker(tmp_path) as worker:
        yield worker


def test_status_says_who_waits_for_whom(worker: Worker) -> None:
    at_work(worker)
    agents = {one["name"]: one for one in json.loads(worker.said("status", "--json"))["agents"]}
    assert (agents["A"]["state"], agents["A"]["calls"], agents["A"]["waits_for"]) == ("active", 1, [])
    assert (agents["B"]["state"], agents["B"]["waits_for"]) == ("finished", ["A"])
    text = worker.said("status")
    assert "waits for A" in text
    worker.do("write_file", "A", {"path": "a.txt", "content": "three\n"})
    agents = {one["name"]: one for one in json.loads(worker.said("status", "--json"))["agents"]}
    assert agents["B"]["notices"] == 1


def test_the_log_tells_what_happened_and_can_be_filtered(worker: Worker) -> None:
    at_work(worker)
    everything = [json.loads(line) for line in worker.said("log", "--json").splitlines()]
    assert [one["kind"] for one in everything] == ["join", "join", "call", "call", "call", "finish"]
    assert everything[2]["text"] == 'write_file(path="a.txt", content="two\\n") wrote file:a.txt'
    assert [one["agent"] for one in everything[3:]] == ["B"] * 3
    assert len(worker.said("log", "--agent", "B").splitlines()) == 4
    assert len(worker.said("log", "--key", "file:a.txt").splitlines()) == 2
    assert len(worker.said("log", "--key", "file:*.txt").splitlines()) == 3
    assert len(worker.said("log", "--tail", "1").splitlines()) == 1
    assert "Did you mean 'A'" in worker.refused("log", "--agent", "AA")


def test_status_counts_no_calls_of_who_has_ended(worker: Worker) -> None:
    worker.do("join", "A")
    worker.do("write_file", "A", {"path": "a.txt", "content": "two\n"})
    assert worker.do("finish", "A") == "committed"
    assert worker.said("status").splitlines()[1].split() == ["0", "A", "committed"]


def test_following_prints_what_comes_later(worker: Worker) -> None:
    worker.do("join", "A")
    with subprocess.Popen(
        [sys.executable, "-m", "coagent", "log", "--follow"],
        cwd=worker.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        assert "joined with rank 0" in following.stdout.readline()
        worker.do("write_file", "A", {"path": "a.txt", "content": "two\n"})
        assert "wrote file:a.txt" in following.stdout.readline()
        following.terminate()


def test_looking_on_changes_nothing(worker: Worker) -> None:
    at_work(worker)
    before = (
        sqlite3.connect(worker.log).execute("select count(*), max(number) from coagent_records").fetchone()
    )
    files = sorted(path.name for path in worker.folder.rglob("*"))
    worker.said("status")
    worker.said("log")
    after = (
        sqlite3.connect(worker.log).execute("select count(*), max(number) from coagent_records").fetchone()
    )
    assert (after, sorted(path.name for path in worker.folder.rglob("*"))) == (before, files)


def test_undoing_a_call_takes_it_back_and_notifies(worker: Worker) -> None:
    at_work(worker)
    said = worker.said("undo", "A.1")
    assert "undone  A.1 write_file" in said
    assert (worker.folder / "a.txt").read_text() == "one\n"
    assert worker.do("notices", "B") == ["file:a.txt"]


def test_undoing_an_agent_asks_first_and_can_end_it(worker: Worker) -> None:
    at_work(worker)
    assert "Pass --yes" in worker.refused("undo", "B")
    assert (worker.folder / "b.txt").exists()
    done = json.loads(worker.said("undo", "B", "--yes", "--abort", "--json"))
    assert [one["call"] for one in done["undone"]] == ["B.2", "B.1"]
    assert done["aborted"]
    assert not (worker.folder / "b.txt").exists()
    assert "has aborted" in worker.refused("undo", "B", "--yes")


def test_what_cannot_be_undone_is_said(worker: Worker) -> None:
    at_work(worker)
    assert "Did you mean 'A'" in worker.refused("undo", "Aa")
    assert "agent 'A' has no standing call 'A.9'" in worker.refused("undo", "A.9")
    worker.do("finish", "A")
    assert "What is committed stays" in worker.refused("undo", "A")


def test_a_domain_that_is_not_there_is_named(tmp_path: Path, worker: Worker) -> None:
    assert "there is no domain file" in worker.refused("status", "--domain", "nowhere.toml")
    (tmp_path / "empty").mkdir()
    assert "has no .coagent/config.toml" in worker.refused("log", "--domain", "empty")
    elsewhere = worker.coagent("status", cwd=Path("/"))
    assert elsewhere.returncode == 2
    assert "Run `coagent init`" in elsewhere.stderr


def test_a_domain_that_nobody_has_joined_is_empty(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").write_text(CONFIG)
    for command in ("status", "log"):
        done = commands.coagent(command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "nobody has joined this domain yet" in " ".join(done.stdout.split())  # wherever it is wrapped
    assert [path.name for path in (tmp_path / ".coagent").iterdir()] == ["config.toml"]


def test_a_damaged_log_is_named(worker: Worker) -> None:
    at_work(worker)
    with sqlite3.connect(worker.log) as connection:
        connection.execute("update coagent_records set record = '[1]' where number = 2")
    done = worker.coagent("status")
    assert done.returncode == 1
    assert "record 2 of log" in done.stderr
    assert "is damaged, or not in its place" in done.stderr


def test_control_characters_of_others_are_not_printed(worker: Worker) -> None:
    worker.do("join", "A")
    worker.do("write_file", "A", {"path": "a\x1b[31m.txt", "content": "x"})
    assert "\x1b" not in worker.said("log") + worker.said("status")


def test_the_log_is_told_from_its_first_event_also_where_it_is_archived(
    worker: Worker,
) -> None:
    worker.do("join", "A")
    for number in range(150):
        worker.do("write_file", "A", {"path": "a.txt", "content": f"{number}\n"})
    worker.do("finish", "A")
    worker.close()  # which keeps a checkpoint
    with worker.again() as later:
        later.do("join", "B")
        for number in range(150):
            later.do("write_file", "B", {"path": "b.txt", "content": f"{number}\n"})
        later.do("finish", "B")
    assert Archive(worker.log, kept_bytes=0).fill() > 0
    told = [json.loads(line) for line in worker.said("log", "--json").splitlines()]
    assert (told[0]["text"], told[-1]["text"]) == ("joined with rank 0", "committed")
    assert [one["kind"] for one in told].count("call") == 300
    assert [json.loads(line) for line in worker.said("log", "--json", "--tail", "5").splitlines()] == told[
        -5:
    ]
    assert worker.said("log", "--agent", "A", "--tail", "1").split(maxsplit=1)[1].startswith("A ")
    assert "Did you mean 'A'" in worker.refused("log", "--agent", "AA", "--tail", "1")
