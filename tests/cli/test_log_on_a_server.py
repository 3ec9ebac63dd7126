"""Commands about a domain whose log is on a PostgreSQL server, by its domain file and by its URL."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import psycopg
import pytest
from commands import coagent
from doctoring import about

from coagent.config.domain_file import configured
from coagent.log.urls import place_of


@pytest.fixture
def url(postgres_log: str) -> str:
    """The URL of a log, with a password that nobody is to see."""
    return postgres_log.replace("postgres@", "postgres:quite-secret@")


@pytest.fixture
def workspace(tmp_path: Path, url: str) -> Path:
    """A folder in which an agent has changed a file."""
    (tmp_path / ".coagent").mkdir()
    (tmp_path / "a.txt").write_text("before\n")
    config = tmp_path / ".coagent" / "config.toml"
    config.write_text(f'log = "{url}"\n[[targets]]\nkind = "files"\nroot = ".."\n')

    async def work() -> None:
        async with configured(config).domain as domain:
            a = await domain.join("A")
            await a.call("write_file", path="a.txt", content="after\n")

    anyio.run(work)
    return tmp_path


def test_commands_take_the_url_of_a_log_and_show_no_password(workspace: Path, url: str) -> None:
    status = coagent("status", "--domain", url, "--json")
    assert (status.returncode, status.stderr) == (0, "")
    found = json.loads(status.stdout)
    assert [(one["name"], one["state"]) for one in found["agents"]] == [("A", "active")]
    undone = coagent("undo", "A", "--yes", cwd=workspace)
    assert (undone.returncode, undone.stderr) == (0, "")
    assert (workspace / "a.txt").read_text() == "before\n"
    log = coagent("log", "--domain", url)
    assert log.returncode == 0
    assert "A" in log.stdout
    for said in (status, undone, log):
        assert "quite-secret" not in said.stdout + said.stderr
    assert "postgresql://postgres:" in found["domain"]


def test_the_doctor_looks_at_the_server(workspace: Path) -> None:
    done = coagent("doctor", str(workspace), "--json")
    findings = about(json.loads(done.stdout)["findings"], "log")
    assert [state for state, _ in findings] == ["warning", "ok", "ok", "ok"]
    assert "a password stands in" in findings[0][1]
    assert "PostgreSQL" in findings[1][1]
    assert "1 agent at work: A" in findings[3][1]
    assert "quite-secret" not in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("command", [("resolve", "--json"), ("restore",), ("log", "--key", "file:a.txt")])
def test_further_commands_work_on_it(workspace: Path, command: tuple[str, ...]) -> None:
    done = coagent(*command, cwd=workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert "quite-secret" not in done.stdout


def test_a_server_that_is_away_is_named_without_the_password(url: str, tmp_path: Path) -> None:
    done = coagent("status", "--domain", url.replace("coagent-pg-", "nowhere-"))
    assert done.returncode == 1
    assert "cannot be opened" in done.stderr + done.stdout
    assert "quite-secret" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("query", "said"),
    [("domian=x", "Did you mean 'domain'?"), ("sslmoed=require", "Did you mean 'sslmode'?")],
)
def test_a_part_of_the_query_that_nobody_knows_is_named(query: str, said: str, url: str) -> None:
    done = coagent("status", "--domain", url + ("&" if "?" in url else "?") + query)
    assert done.returncode == 1
    assert query.partition("=")[0] in done.stderr
    assert said in done.stderr


def test_a_role_that_may_only_read_is_told_which_rights_it_lacks(workspace: Path, url: str) -> None:
    place = place_of(url)
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("create role only_reads login password 'quite-secret'")
        connection.execute(f"grant usage on schema {place.schema} to only_reads".encode())
        connection.execute(f"grant select on all tables in schema {place.schema} to only_reads".encode())
    config = workspace / ".coagent" / "config.toml"
    config.write_text(config.read_text().replace("//postgres:", "//only_reads:"))
    done = coagent("doctor", str(workspace), "--json")
    problems = [one for one in json.loads(done.stdout)["findings"] if one["state"] == "problem"]
    assert [one["about"] for one in problems] == ["log"]
    assert "may not write into" in problems[0]["text"]
    assert "GRANT SELECT, INSERT, UPDATE, DELETE" in problems[0]["cure"]
    refused = coagent("undo", "A", "--yes", cwd=workspace)
    assert refused.returncode == 1
    assert "GRANT SELECT, INSERT, UPDATE, DELETE" in " ".join(refused.stderr.split())
