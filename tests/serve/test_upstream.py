"""Existing MCP servers behind a domain: real public ones, and one that crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client
from serving import call, command, failure, stdio
from upstreams import filesystem_server, git_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


FILESYSTEM = """
log = "sqlite:log.db"

[[upstreams]]
name = "fs"
command = {command}
root = "tree"

[upstreams.tools.read_text_file]
effect = "read"
reads = ["fs:{{path:path}}"]
scratch = [{{ path = "{{scratch}}/a.txt" }}]

[upstreams.tools.list_directory]
effect = "read"
reads = ["fs:{{path:path}}/"]
scratch = [{{ path = "{{scratch}}" }}]

[upstreams.tools.write_file]
effect = "write"
writes = ["fs:{{path:path}}"]
prepare.before = {{ tool = "read_text_file", arguments = {{ path = "{{path}}" }}, absent = "ENOENT" }}
reverse = [
  {{ tool = "write_file", arguments = {{ path = "{{path}}", content = "{{before}}" }}, when = "before" }},
  {{ tool = "move_file", unless = "before", arguments = {{ source = "{{path}}", destination = "{gone}" }} }},
]
scratch = [
  {{ path = "{{scratch}}/a.txt", content = "changed" }},
  {{ path = "{{scratch}}/new.txt", content = "made" }},
]

[upstreams.tools.edit_file]
effect = "write"
writes = ["fs:{{path:path}}"]
prepare.before = {{ tool = "read_text_file", arguments = {{ path = "{{path}}" }} }}
reverse = [{{ tool = "write_file", arguments = {{ path = "{{path}}", content = "{{before}}" }} }}]
scratch = [{{ path = "{{scratch}}/a.txt", edits = [{{ oldText = "one", newText = "two" }}] }}]

[upstreams.tools.move_file]
effect = "write"
writes = ["fs:{{source:path}}", "fs:{{destination:path}}"]
reverse = [{{ tool = "move_file", arguments = {{ source = "{{destination}}", destination = "{{source}}" }} }}]
scratch = [{{ source = "{{scratch}}/a.txt", destination = "{{scratch}}/moved.txt" }}]

[upstreams.check]
command = {check}
files = {{ "a.txt" = "one\\n" }}
observe = [
  {{ tool = "list_directory", arguments = {{ path = "{{scratch}}" }} }},
  {{ tool = "read_text_file", arguments = {{ path = "{{scratch}}/a.txt" }} }},
]
"""


def filesystem(folder: Path, text: str = FILESYSTEM) -> Path:
    tree, trash = folder / "tree", folder / "trash"
    tree.mkdir()
    trash.mkdir()
    (tree / "geo.txt").write_text("image=bad\n")
    command = filesystem_server()
    path = folder / "domain.toml"
    path.write_text(
        text.format(
            command=json.dumps([*command, str(tree), str(trash)]),
            check=json.dumps([*command, "{scratch}", str(trash)]),
            gone=f"{trash}/{{unique}}",
        )
    )
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
    tried = ("read_text_file", "list_directory", "write_file", "edit_file", "move_file")
    assert [found[one]["verdict"] for one in tried] == ["ok"] * 5, found
    assert code == 0
    assert found["create_directory"]["verdict"] == "undeclared"
    assert "irreversible" in found["create_directory"]["why"]


def test_wrong_declarations_are_found(tmp_path: Path) -> None:
    right = 'source = "{{destination}}", destination = "{{source}}"'
    wrong = FILESYSTEM.replace(right, 'source = "{{destination}}", destination = "{{destination}}.x"')
    wrong = wrong.replace('content = "{{before}}" }} }}]', 'content = "{{before}}!" }} }}]')
    code, found = check(filesystem(tmp_path, wrong))
    assert code == 1
    assert "does not restore" in found["move_file"]["why"]
    assert "does not restore" in found["edit_file"]["why"]
    assert found["write_file"]["verdict"] == "ok"


GIT = """
log = "sqlite:log.db"

[[upstreams]]
name = "git"
command = {command}

[upstreams.tools.git_status]
effect = "read"
reads = ["git:"]

[upstreams.tools.git_add]
effect = "write"
writes = ["git:index"]
reverse = [{{ tool = "git_reset", arguments = {{ repo_path = "{{repo_path}}" }} }}]
scratch = [{{ repo_path = "{{scratch}}", files = ["a.txt"] }}]

[upstreams.tools.git_commit]
effect = "irreversible"
writes = ["git:index", "git:head"]

[upstreams.check]
command = {command}
files = {{ "a.txt" = "one\\n" }}
observe = [{{ tool = "git_status", arguments = {{ repo_path = "{{scratch}}" }} }}]
"""


@pytest.mark.long
async def test_the_git_server_commits_when_the_agent_does(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    git("config", "user.name", "t")
    git("config", "user.email", "t@example.org")
    git("commit", "-q", "--allow-empty", "-m", "begin")
    (repository / "a.txt").write_text("one\n")
    file = tmp_path / "domain.toml"
    file.write_text(GIT.format(command=json.dumps(git_server())))
    async with stdio(file, "A") as a:
        assert "a.txt" in await call(a, "git_status", repo_path=str(repository))
        await call(a, "git_add", repo_path=str(repository), files=["a.txt"])
        assert "staged" in await call(a, "git_commit", repo_path=str(repository), message="add a")
        assert git("log", "--format=%s").split("\n")[0] == "begin"
        assert "committed" in await call(a, "coagent_finish")
        assert git("log", "--format=%s").split("\n")[0] == "add a"


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


async def test_a_reverse_that_fails_says_what_is_unknown(fragile: Path) -> None:
    async with stdio(fragile, "A") as a:
        await call(a, "put", value="no-undo")
        said = await failure(a, "coagent_undo", call_id="A.1")
        assert "could not be reversed" in said
        assert "the state of fragile:value is unknown" in said
        assert "mend it by hand" in said


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
