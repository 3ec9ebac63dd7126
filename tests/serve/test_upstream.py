"""Existing MCP servers behind a domain: real public ones, and one that crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client
from serving import call, command, failure, stdio
from upstreams import documented, npm_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def filesystem(folder: Path) -> Path:
    tree, trash = folder / "tree", folder / "trash"
    tree.mkdir()
    trash.mkdir()
    (tree / "geo.txt").write_text("image=bad\n")
    path = folder / "domain.toml"
    command = npm_server("mcp-server-filesystem")
    path.write_text(documented("fs", command=command, srv_data=str(tree), srv_trash=str(trash)))
    return path


async def test_the_filesystem_server_behind_a_domain_ends_as_one_after_another(tmp_path: Path) -> None:
    file = filesystem(tmp_path)
    tree = tmp_path / "tree"
    geo, canary = str(tree / "geo.txt"), str(tree / "canary.txt")
    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "list_directory", path=str(tree))
        assert "image=bad" in await call(b, "read_text_file", path=geo)
        await call(b, "write_file", path=canary, content="image=bad\n")
        # A lists what is there for it: B's canary is rewound meanwhile.
        assert "canary" not in await call(a, "list_directory", path=str(tree))
        await call(a, "edit_file", path=geo, edits=[{"oldText": "bad", "newText": "good"}])
        told = await call(b, "list_directory", path=str(tree))
        assert "[coagent notice]" in told
        assert "canary.txt" in told
        await call(b, "coagent_amend", call_id="B.2", arguments={"content": "image=good\n"})
        await call(a, "coagent_finish")
        assert "committed" in await call(b, "coagent_finish")
    assert {path.name: path.read_text() for path in tree.iterdir()} == {
        "geo.txt": "image=good\n",
        "canary.txt": "image=good\n",
    }


async def test_what_a_client_leaves_behind_is_taken_back_through_the_server(tmp_path: Path) -> None:
    file = filesystem(tmp_path)
    tree = tmp_path / "tree"
    async with stdio(file, "A") as a:
        await call(a, "write_file", path=str(tree / "new.txt"), content="new")
        await call(a, "write_file", path=str(tree / "geo.txt"), content="changed")
        await call(a, "move_file", source=str(tree / "geo.txt"), destination=str(tree / "moved.txt"))
    assert {path.name: path.read_text() for path in tree.iterdir()} == {"geo.txt": "image=bad\n"}


async def test_a_tool_without_a_table_waits_for_those_before_it(tmp_path: Path) -> None:
    file = filesystem(tmp_path)
    tree = tmp_path / "tree"
    tables = file.read_text().split("\n\n")
    file.write_text("\n\n".join(one for one in tables if "tools.create_directory]" not in one))
    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "read_text_file", path=str(tree / "geo.txt"))
        described = {one.name: one.description or "" for one in (await b.list_tools()).tools}
        assert "cannot be taken back" in described["create_directory"]
        assert "cannot be taken back" not in described["directory_tree"]  # annotated as only reading
        await call(a, "coagent_finish")
        await call(b, "create_directory", path=str(tree / "d"))
        assert (tree / "d").is_dir()
        assert "committed" in await call(b, "coagent_finish")


def check(file: Path) -> tuple[int, dict[str, dict[str, str]]]:
    words = command("tools", "check", str(file), "--json")
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout, done.stderr
    return done.returncode, {one["tool"]: one for one in json.loads(done.stdout)}


def test_right_declarations_pass_the_check(tmp_path: Path) -> None:
    code, found = check(filesystem(tmp_path))
    tried = ("read_text_file", "list_directory", "write_file", "edit_file", "move_file", "create_directory")
    assert [found[one]["verdict"] for one in tried] == ["ok"] * 6, found
    assert code == 0
    assert found["search_files"]["verdict"] == "undeclared"
    assert "reading everything" in found["search_files"]["why"]


def test_wrong_declarations_are_found(tmp_path: Path) -> None:
    file = filesystem(tmp_path)
    right = 'source = "{destination}", destination = "{source}"'
    wrong = file.read_text().replace(right, 'source = "{destination}", destination = "{destination}.x"')
    file.write_text(wrong.replace('content = "{before}" } }]', 'content = "{before}!" } }]'))
    code, found = check(file)
    assert code == 1
    assert "does not restore" in found["move_file"]["why"]
    assert "does not restore" in found["edit_file"]["why"]
    assert found["write_file"]["verdict"] == "ok"


FRAGILE = """
log = "sqlite:log.db"

[[upstreams]]
name = "fragile"
command = {command}

[upstreams.tools.get]
effect = "read"
reads = ["fragile:value"]

[upstreams.tools.put]
effect = "write"
writes = ["fragile:value"]
prepare.before = {{ tool = "get" }}
reverse = [{{ tool = "put", arguments = {{ value = "{{before}}" }} }}]
"""


@pytest.fixture
def fragile(tmp_path: Path) -> Path:
    (tmp_path / "value.txt").write_text("first")
    server = [sys.executable, str(Path(__file__).parent / "fragile_server.py"), str(tmp_path / "value.txt")]
    path = tmp_path / "domain.toml"
    path.write_text(FRAGILE.format(command=json.dumps(server)))
    return path


async def test_a_server_that_crashes_in_the_middle_of_a_call_has_done_nothing(fragile: Path) -> None:
    async with stdio(fragile, "A") as a:
        await call(a, "put", value="second")
        said = await failure(a, "put", value="crash")
        assert "gone in the middle of put" in said
        assert "was taken back" in said
        assert "second" in await call(a, "get")
        await call(a, "put", value="third")
        assert "committed" in await call(a, "coagent_finish")
    assert (fragile.parent / "value.txt").read_text() == "third"


async def test_what_can_be_repeated_is_called_again_where_its_server_has_crashed(fragile: Path) -> None:
    async with stdio(fragile, "A") as a:
        assert "marked" in await call(a, "mark")
        assert "committed" in await call(a, "coagent_finish")


async def test_a_reverse_that_fails_says_what_is_unknown(fragile: Path) -> None:
    async with stdio(fragile, "A") as a:
        await call(a, "put", value="no-undo")
        said = await failure(a, "coagent_undo", call_id="A.1")
        assert "could not be reversed" in said
        assert "the state of fragile:value is unknown" in said
        assert "put it right by hand" in said


async def test_a_server_that_does_not_start_is_named(tmp_path: Path) -> None:
    path = tmp_path / "domain.toml"
    path.write_text('[[upstreams]]\nname = "gone"\ncommand = ["nowhere-to-be-found"]\n')
    done = subprocess.run(
        command("serve", str(path)), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "upstream 'gone' cannot be used" in done.stderr


def test_a_table_for_a_tool_that_is_not_there_is_named(fragile: Path) -> None:
    fragile.write_text(fragile.read_text().replace("[upstreams.tools.get]", "[upstreams.tools.gte]"))
    done = subprocess.run(
        command("serve", str(fragile)), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "upstream 'fragile' has no tool 'gte'" in done.stderr
    assert "Did you mean 'get'?" in done.stderr


def test_clients_are_really_official() -> None:
    assert Client.__module__.startswith("mcp.")
