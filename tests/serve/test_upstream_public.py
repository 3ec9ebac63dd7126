"""Popular public MCP servers behind a domain, declared as in docs/upstream.md, with two clients at once.

In each, what A does comes late for B: B is told, and the end is that of A and then B.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
from serving import call, command, stdio, text_of
from upstreams import documented, npm_server, python_server, sqlite_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def domain(folder: Path, declarations: str) -> Path:
    path = folder / "domain.toml"
    path.write_text('log = "sqlite:log.db"\n\n' + declarations)
    return path


def memory(folder: Path) -> Path:
    server = npm_server("mcp-server-memory")
    return domain(folder, documented("memory", command=server, srv_data=str(folder)))


def graph(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "memory.jsonl").read_text().splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda one: str(one["name"]))


def person(name: str, *observations: str) -> dict[str, object]:
    return {"name": name, "entityType": "person", "observations": list(observations)}


async def test_memory_two_agents_end_as_one_after_the_other(tmp_path: Path) -> None:
    file = memory(tmp_path)
    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "read_graph")
        assert "Ada" not in await call(b, "open_nodes", names=["Ada"])
        await call(b, "create_entities", entities=[person("Ada", "met by B"), person("Bob")])
        made = await a.call_tool("create_entities", {"entities": [person("Ada", "met by A")]})
        assert made.structured_content is not None
        assert made.structured_content["result"] == {"entities": [person("Ada", "met by A")]}
        told = await call(b, "add_observations", observations=[{"entityName": "Ada", "contents": ["tall"]}])
        assert "[coagent notice]" in told
        assert "met by A" in told
        await call(a, "coagent_finish")
        await call(b, "coagent_finish")
        assert "committed" in await call(b, "coagent_finish")
    assert graph(tmp_path) == [
        {"type": "entity", **person("Ada", "met by A", "tall")},
        {"type": "entity", **person("Bob")},
    ]


@pytest.mark.long
async def test_memory_what_a_client_leaves_behind_is_taken_back(tmp_path: Path) -> None:
    file = memory(tmp_path)
    (tmp_path / "memory.jsonl").write_text(
        "".join(json.dumps({"type": "entity", **person(name, "known")}) + "\n" for name in ("Ada", "Bob"))
    )
    async with stdio(file, "A") as a:
        await call(a, "create_relations", relations=[{"from": "Ada", "to": "Bob", "relationType": "knows"}])
        await call(a, "add_observations", observations=[{"entityName": "Ada", "contents": ["known", "new"]}])
        await call(a, "create_entities", entities=[person("Eve"), person("Ada")])
        await call(a, "delete_entities", entityNames=["Bob"])
    assert graph(tmp_path) == [{"type": "entity", **person(name, "known")} for name in ("Ada", "Bob")]


@pytest.mark.long
def test_memory_declarations_pass_the_check(tmp_path: Path) -> None:
    file = memory(tmp_path)
    words = command("tools", "check", str(file), "--json")
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    found = {one["tool"]: one for one in json.loads(done.stdout)}
    tried = [name for name, one in found.items() if one["verdict"] == "ok"]
    assert {"create_entities", "create_relations", "add_observations", "delete_entities"} <= set(tried), found
    assert done.returncode == 0
    assert found["delete_observations"]["verdict"] == "undeclared"


@pytest.mark.long
async def test_git_each_agent_commits_its_own_files_in_order(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*arguments: str) -> str:
        made = ["git", "-C", str(repository), *arguments]
        return subprocess.run(made, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    git("config", "user.name", "t")
    git("config", "user.email", "t@example.org")
    git("commit", "-q", "--allow-empty", "-m", "begin")
    for name in ("a.txt", "b.txt"):
        (repository / name).write_text(name)
    file = domain(tmp_path, documented("git", command=python_server("mcp-server-git")))
    at = {"repo_path": str(repository)}
    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "git_status", **at)
        assert "begin" in await call(b, "git_log", **at)
        for client, name in ((b, "b"), (a, "a")):
            assert "staged" in await call(client, "git_add", **at, files=[f"{name}.txt"])
            assert "staged" in await call(client, "git_commit", **at, message=f"of {name}")
        assert git("log", "--format=%s").split() == ["begin"]
        assert "committed" in await call(a, "coagent_finish")
        assert git("show", "--name-only", "--format=%s", "HEAD").split() == ["of", "a", "a.txt"]
        told = await call(b, "coagent_finish")
        assert "[coagent notice]" in told  # the history that it saw is another now
        assert "of a" in told
        assert "committed" in await call(b, "coagent_finish")
    assert git("show", "--name-only", "--format=%s", "HEAD").split() == ["of", "b", "b.txt"]


@pytest.mark.long
async def test_sqlite_writes_wait_their_turn_and_readers_are_told(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("create table t (id integer primary key, v text)")
        connection.execute("insert into t values (1, 'old')")
    server = [*sqlite_server(), "--db-path", str(tmp_path / "app.db")]
    text = documented("sqlite", command=server).replace(', "--db-path", "/srv/data/app.db"', "")
    file = domain(tmp_path, text)
    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "list_tables")
        assert "old" in await call(b, "read_query", query="select v from t")
        await call(a, "write_query", query="update t set v = 'new'")
        assert "committed" in await call(a, "coagent_finish")
        statement = {"query": "insert into t select 2, v from t"}
        told = text_of(await b.call_tool("write_query", statement))
        assert "[coagent notice]" in told
        assert "new" in told
        if "held back" in told:
            await call(b, "write_query", **statement)
        assert "committed" in await call(b, "coagent_finish")
    with sqlite3.connect(tmp_path / "app.db") as connection:
        assert connection.execute("select * from t").fetchall() == [(1, "new"), (2, "new")]


@pytest.mark.long
async def test_time_answers_with_data(tmp_path: Path) -> None:
    server = json.dumps([*python_server("mcp-server-time"), "--local-timezone", "UTC"])
    file = domain(tmp_path, f'[[upstreams]]\nname = "time"\ncommand = {server}\n')
    given = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    async with stdio(file, "A") as a:
        await a.list_tools()
        result = await a.call_tool("convert_time", given)
        assert result.structured_content is not None
        assert result.structured_content["result"]["time_difference"] == "+9.0h"
        assert "committed" in await call(a, "coagent_finish")
