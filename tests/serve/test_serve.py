"""`coagent serve`: official MCP clients over stdio and HTTP, each an agent of one order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import anyio
import httpx2
import pytest
from serving import call, command, domain_file, failure, http, http_server, stdio, text_of, tree, until

from coagent.config.domain_file import configured

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = domain_file(tmp_path)
    (tmp_path / "tree" / "geo.txt").write_text("image=bad\n")
    return path


async def phases(file: Path) -> dict[str, str]:
    async with configured(file).domain as domain:
        return {agent.name: agent.phase.value for agent in domain.agents}


async def test_two_clients_over_stdio_end_as_one_after_another(file: Path) -> None:
    async with stdio(file, "A", anew=True) as a, stdio(file, "B") as b:
        assert {"read_file", "coagent_finish", "coagent_undo"} <= {
            one.name for one in (await a.list_tools()).tools
        }
        assert "rank 0" not in await call(a, "coagent_status")
        await call(a, "read_file", path="geo.txt")  # joins first
        assert await call(b, "read_file", path="geo.txt") == "image=bad\n\n[call B.1]"
        await call(b, "write_file", path="canary.txt", content="image=bad\n")
        await call(a, "edit_file", path="geo.txt", old_string="bad", new_string="good")
        told = await call(b, "list_files")
        assert told.index("[coagent notice]") < told.index("canary.txt")
        assert "B.2 still carries" in told
        await call(b, "coagent_amend", call_id="B.2", arguments={"content": "image=good\n"})
        waiting = await call(b, "coagent_finish", wait_s=0)
        assert "waits for A to commit" in waiting
        assert "committed" in await call(a, "coagent_finish")
        assert "Your work is committed" in await call(b, "coagent_finish")
    assert tree(file) == {"geo.txt": "image=good\n", "canary.txt": "image=good\n"}


async def test_a_notice_after_finishing_comes_with_the_next_finish(file: Path) -> None:
    async with stdio(file, "A", "--rank", "0") as a, stdio(file, "B") as b:
        await call(a, "list_files")
        await call(b, "read_file", path="geo.txt")
        assert "waits for A" in await call(b, "coagent_finish", wait_s=0)
        await call(a, "write_file", path="geo.txt", content="image=good\n")
        told = await call(b, "coagent_finish")
        assert "[coagent notice]" in told
        assert "call coagent_finish again" in told
        await call(a, "coagent_finish")
        assert "committed" in await call(b, "coagent_finish")


async def test_undo_status_and_failures(file: Path) -> None:
    async with stdio(file, "A", "--rank", "7") as a:
        await call(a, "write_file", path="x.txt", content="x")
        assert "is undone" in await call(a, "coagent_undo", call_id="[call A.1]")
        assert "x.txt" not in tree(file)
        status = await call(a, "coagent_status")
        assert "You are 'A', rank 7, active." in status
        assert "there is no file 'y.txt'" in await failure(a, "read_file", path="y.txt")
        assert "wrong arguments" in await failure(a, "read_file")
        assert "there is no tool 'nonsense'" in await failure(a, "nonsense")
        assert "'call_id' is missing" in await failure(a, "coagent_undo")
        assert "wait_s is -1" in await failure(a, "coagent_finish", wait_s=-1)


async def test_clients_over_http_are_agents_in_the_order_of_their_coming(file: Path) -> None:
    with http_server(file) as url:
        async with http(url, "one") as one, http(url, "one") as other:
            await call(one, "read_file", path="geo.txt")
            await call(other, "read_file", path="geo.txt")
            await call(one, "write_file", path="geo.txt", content="image=good\n")
            told = await call(other, "list_files")
            assert "changed by: one, call one.2" in told
            assert "You are 'one-2', rank 1" in await call(other, "coagent_status")
            await call(one, "coagent_finish")
            assert "committed" in await call(other, "coagent_finish")
    assert await phases(file) == {"one": "committed", "one-2": "committed"}


CLIENTS = """
[[clients]]
name = "reviewer"
rank = 5
token_env = "REVIEWER_TOKEN"
tools = ["read_file"]

[[clients]]
name = "writer"
rank = 2
token_env = "WRITER_TOKEN"
"""
TOKENS = {"REVIEWER_TOKEN": "r" * 32, "WRITER_TOKEN": "w" * 32}


@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.long)])
async def test_a_token_gives_name_rank_and_tools(tmp_path: Path, mode: str) -> None:
    path = domain_file(tmp_path, CLIENTS, anonymous=False)
    (tmp_path / "tree" / "geo.txt").write_text("image=bad\n")
    with http_server(path, **TOKENS) as url:
        async with (
            http(url, token="r" * 32, mode=mode) as reviewer,
            http(url, token="w" * 32, mode=mode) as writer,
        ):
            await call(writer, "list_files")
            await call(reviewer, "read_file", path="geo.txt")
            assert "write_file" not in {one.name for one in (await reviewer.list_tools()).tools}
            assert "there is no tool 'write_file'" in await failure(
                reviewer, "write_file", path="x", content="x"
            )
            await call(writer, "write_file", path="geo.txt", content="image=good\n")
            assert "changed by: writer, call writer.2" in await call(reviewer, "read_file", path="geo.txt")
            assert "You are 'reviewer', rank 5" in await call(reviewer, "coagent_status")


async def test_wrong_missing_and_malformed_tokens_are_refused(tmp_path: Path) -> None:
    path = domain_file(tmp_path, CLIENTS, anonymous=False)
    initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    with http_server(path, **TOKENS) as url:
        async with httpx2.AsyncClient() as client:
            for header, said in [
                (None, "a token is needed"),
                ("Bearer nonsense", "this token is not known"),
                ("Basic abc", "is not `Bearer TOKEN`"),
                ("Bearer", "is not `Bearer TOKEN`"),
            ]:
                headers = {} if header is None else {"Authorization": header}
                answer = await client.post(url, json=initialize, headers=headers)
                assert answer.status_code == 401
                assert said in answer.text
                assert answer.headers["www-authenticate"].startswith("Bearer")
            elsewhere = await client.get(url.replace("/mcp", "/"))
            assert elsewhere.status_code == 404


async def test_garbage_is_answered_and_harms_nobody(file: Path) -> None:
    with http_server(file) as url:
        async with httpx2.AsyncClient() as client:
            for content in (b"\xff\x00", b"{", b"[]", b'{"jsonrpc":"2.0"}', b"x" * 100_000):
                headers = {
                    "Content-Type": "application/json",
                    "Accept": "application/json, text/event-stream",
                }
                answer = await client.post(url, content=content, headers=headers)
                assert 400 <= answer.status_code < 500, answer.text
            rebound = await client.post(url, content=b"{}", headers={"Host": "evil.example"})
            assert 400 <= rebound.status_code < 500
        async with http(url) as one:
            await call(one, "read_file", path="geo.txt")


async def test_garbage_over_stdio_is_survived(file: Path) -> None:
    process = subprocess.Popen(
        command("serve", str(file), "--name", "A"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    initialize = (
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
        b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"garbage\n\xff\xfe\n{}\n" + initialize)
        process.stdin.flush()
        lines = []
        while not lines or b'"serverInfo"' not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
    finally:
        process.stdin.close()
        assert process.wait(20) == 0
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()


async def test_unfinished_work_of_a_client_that_goes_is_withdrawn(file: Path) -> None:
    async with stdio(file, "A") as a:
        await call(a, "write_file", path="half.txt", content="half")
    assert tree(file) == {"geo.txt": "image=bad\n"}
    assert await phases(file) == {"A": "aborted"}


@pytest.mark.parametrize("how", [pytest.param("option", marks=pytest.mark.long), "asked"])
async def test_work_that_is_to_be_kept_is_taken_up_again(file: Path, how: str) -> None:
    async with stdio(file, "before") as before:
        await call(before, "list_files")
        async with stdio(file, "A", *(["--keep"] if how == "option" else [])) as a:
            await call(a, "write_file", path="half.txt", content="half")
            if how == "asked":
                await call(a, "coagent_finish", wait_s=0, keep=True)
        assert "half.txt" in tree(file)
        async with stdio(file, "A") as a:
            assert "[call A.1] write_file" in await call(a, "coagent_status")
            await call(a, "write_file", path="whole.txt", content="whole")
            await call(before, "coagent_finish")
            assert "committed" in await call(a, "coagent_finish")
    assert await phases(file) == {"before": "committed", "A": "committed"}


async def test_one_agent_is_served_by_one_process_only(file: Path) -> None:
    async with stdio(file, "A") as one, stdio(file, "A") as other:
        await call(one, "list_files")
        assert "agent 'A' is served by another process" in await failure(other, "list_files")
        await call(one, "coagent_finish")


async def test_a_client_that_is_silent_is_aborted_after_its_lease(tmp_path: Path) -> None:
    path = domain_file(tmp_path, lease_s=0.5)
    with http_server(path) as url:
        async with http(url, "silent") as silent, http(url, "other") as other:
            await call(silent, "write_file", path="half.txt", content="half")

            async def aborted() -> bool:
                return "half.txt" not in await call(other, "list_files")

            await until(aborted)
            await call(other, "write_file", path="whole.txt", content="whole")
            assert "committed" in await call(other, "coagent_finish")
    assert tree(path) == {"whole.txt": "whole"}


@pytest.mark.parametrize(
    ("on_leave", "kind"),
    [
        ("keep", "sqlite"),
        ("abort", "sqlite"),
        pytest.param("keep", "postgresql", marks=pytest.mark.long),
        pytest.param("abort", "postgresql", marks=pytest.mark.long),
    ],
)
async def test_of_a_killed_server_another_takes_the_agents_up_or_withdraws_what_is_unfinished(
    tmp_path: Path, on_leave: str, kind: str, request: pytest.FixtureRequest
) -> None:
    file = domain_file(tmp_path, on_leave=on_leave)
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_log")
        file.write_text(file.read_text().replace("sqlite:log.db", url))
    with http_server(file, anew=True) as url:
        async with http(url, "A") as a:
            await call(a, "write_file", path="kept.txt", content="kept")
            pid = int(subprocess.check_output(["pgrep", "-f", f"serve {file} --http"], text=True).split()[0])
            os.kill(pid, signal.SIGKILL)
    assert tree(file)["kept.txt"] == "kept"
    async with stdio(file, "A") as again:
        said = await call(again, "coagent_finish")  # without another call before it
    assert ("committed" in said) == (on_leave == "keep")
    assert await phases(file) == {"A": "committed" if on_leave == "keep" else "aborted"}
    assert ("kept.txt" in tree(file)) == (on_leave == "keep")


async def test_status_shows_what_a_person_has_undone_meanwhile(file: Path) -> None:
    async with stdio(file, "A") as a:
        await call(a, "write_file", path="half.txt", content="half")
        subprocess.run(command("undo", "A.1", "--domain", str(file)), check=True, capture_output=True)
        assert "half.txt" not in tree(file)
        assert "write_file" not in await call(a, "coagent_status")


async def test_parallel_calls_of_one_client_are_one_sequence(file: Path) -> None:
    async with stdio(file, "A") as a:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(call_into, a, number)
        assert "committed" in await call(a, "coagent_finish")
    assert len(tree(file)) == 21


async def call_into(client: object, number: int) -> None:
    result = await client.call_tool("write_file", {"path": f"{number}.txt", "content": "x"})  # type: ignore[attr-defined]
    assert not result.is_error, text_of(result)


def refused(file: Path, *options: str, **environment: str) -> str:
    done = subprocess.run(
        command("serve", str(file), *options),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_what_would_let_anybody_in_is_refused(tmp_path: Path) -> None:
    path = domain_file(tmp_path, CLIENTS)
    assert "can be reached from other machines" in refused(path, "--http", "--host", "0.0.0.0", **TOKENS)
    assert "the token of client 'reviewer' is not set" in refused(path, "--http")
    same = {"REVIEWER_TOKEN": "x", "WRITER_TOKEN": "x"}
    assert "have one token" in refused(path, "--http", **same)


def test_a_port_that_is_taken_and_a_file_that_is_wrong_are_named(tmp_path: Path) -> None:
    path = domain_file(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port}" in refused(path, "--http", "--port", str(port))
    path.write_text(path.read_text() + "\nnonsense = 1\n")
    assert "unknown key 'nonsense'" in refused(path)
    assert "there is no" in refused(tmp_path / "gone.toml") or "cannot be read" in refused(
        tmp_path / "gone.toml"
    )
