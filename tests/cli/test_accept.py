"""`coagent accept`: what somebody has changed while nobody was at work on it is taken for right."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from commands import coagent

from coagent.config.domain_file import configured

FILES = '[[targets]]\nkind = "files"\nroot = ".."\n'


async def committed(folder: Path) -> None:
    (folder / ".coagent").mkdir(exist_ok=True)
    (folder / ".coagent" / "config.toml").write_text(FILES)
    async with configured(folder / ".coagent" / "config.toml").domain as domain:
        agent = await domain.join("A")
        for name in ("a", "b", "c"):
            await agent.call("write_file", path=f"{name}.txt", content=f"{name} of an agent\n")
        await agent.finish(wait=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """What an agent wrote and committed, of which a person has changed one file and removed another."""
    anyio.run(committed, tmp_path)
    (tmp_path / "a.txt").write_text("a by hand\n")
    (tmp_path / "b.txt").unlink()
    return tmp_path


def data(folder: Path, *arguments: str) -> dict[str, Any]:
    done = coagent("accept", *arguments, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_otherwise_than_the_log_says_is_listed(workspace: Path) -> None:
    assert [one["key"] for one in data(workspace)["objects"]] == ["file:a.txt", "file:b.txt"]
    said = coagent("accept", cwd=workspace).stdout
    assert "file:a.txt  changed, and no record says by whom" in said
    assert "file:b.txt  removed, and no record says by whom" in said
    assert "coagent accept KEY" in coagent("check", cwd=workspace).stdout


def test_what_would_be_accepted_is_shown_first(workspace: Path) -> None:
    said = coagent("accept", "file:a.txt", cwd=workspace).stdout
    assert "-a of an agent\n  +a by hand" in said
    assert "Nothing was recorded" in said
    assert coagent("check", cwd=workspace).returncode == 1


def test_what_is_accepted_counts_from_then_on_and_is_on_record(workspace: Path) -> None:
    said = coagent("accept", "file:a.txt", "--yes", cwd=workspace)
    assert said.returncode == 0, said.stderr
    assert "file:a.txt is accepted as it is there." in said.stdout
    report = json.loads(coagent("check", "--json", cwd=workspace).stdout)
    assert [one["key"] for one in report["findings"]] == ["file:b.txt"]
    assert data(workspace, "--all", "--yes")["accepted"]
    done = coagent("check", cwd=workspace)
    assert done.returncode == 0, done.stdout
    assert "The state is the serial one." in done.stdout
    assert f"{getpass.getuser()} (a person) changed file:a.txt" in coagent("log", cwd=workspace).stdout
    assert "nothing to accept" in coagent("accept", cwd=workspace).stdout
    assert (workspace / "a.txt").read_text() == "a by hand\n"


def test_what_the_log_says_can_be_brought_back_before_and_after(workspace: Path) -> None:
    def of_the_agent(key: str) -> str:
        found = json.loads(coagent("restore", key, "--json", cwd=workspace).stdout)["versions"]
        return str(next(one["number"] for one in found if one["how"] == "wrote"))

    number = of_the_agent("file:b.txt")
    assert coagent("restore", "file:b.txt", "--to", number, "--yes", cwd=workspace).returncode == 0
    assert (workspace / "b.txt").read_text() == "b of an agent\n"
    coagent("accept", "--all", "--yes", cwd=workspace)
    number = of_the_agent("file:a.txt")
    assert coagent("restore", "file:a.txt", "--to", number, "--yes", cwd=workspace).returncode == 0
    assert (workspace / "a.txt").read_text() == "a of an agent\n"
    assert coagent("check", cwd=workspace).returncode == 0


def test_agents_that_come_after_build_on_what_was_accepted(workspace: Path) -> None:
    coagent("accept", "--all", "--yes", cwd=workspace)

    async def goes_on() -> None:
        async with configured(workspace / ".coagent" / "config.toml").domain as domain:
            agent = await domain.join("B")
            await agent.call("edit_file", path="a.txt", old_string="by hand", new_string="by both")
            await agent.finish(wait=True)

    anyio.run(goes_on)
    assert (workspace / "a.txt").read_text() == "a by both\n"
    assert coagent("check", cwd=workspace).returncode == 0


def test_what_there_is_nothing_to_accept_of_is_bad_usage(workspace: Path) -> None:
    for arguments, said in (
        (("--yes",), "Name it"),
        (("file:c.txt",), "There are: file:a.txt, file:b.txt."),
        (("file:a.txt", "--all"), "Choose one"),
        (("--domain", f"sqlite:{workspace / '.coagent' / 'log.db'}"), "Name a domain file"),
    ):
        done = coagent("accept", *arguments, cwd=workspace)
        assert done.returncode == 2, arguments
        assert said in done.stderr


def test_nothing_is_accepted_by_a_log_that_is_damaged(workspace: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(workspace / ".coagent" / "log.db", isolation_level=None)) as connection:
        connection.execute("update coagent_records set checksum = checksum + 1 where number = 3")
    done = coagent("accept", "--all", "--yes", cwd=workspace)
    assert done.returncode == 1
    assert "record 3" in done.stderr


def test_where_nobody_has_joined_there_is_nothing_to_accept(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").write_text(FILES)
    assert "nothing to accept" in coagent("accept", cwd=tmp_path).stdout
