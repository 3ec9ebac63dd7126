"""Handles: clients that nothing else tells apart, sub-agents, and tokens that bind."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from serving import call, domain_file, failure, http, http_server, joined, stdio, tree, until

pytestmark = pytest.mark.anyio
CLIENTS = """
[[clients]]
name = "reviewer"
token_env = "REVIEWER_TOKEN"
tools = ["read_file", "list_files"]

[[clients]]
name = "writer"
token_env = "WRITER_TOKEN"
"""
TOKENS = {"REVIEWER_TOKEN": "r" * 32, "WRITER_TOKEN": "w" * 32}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = domain_file(tmp_path)
    (tmp_path / "tree" / "geo.txt").write_text("image=bad\n")
    return path


async def test_a_client_without_a_session_is_told_to_join_and_its_handle_says_who_it_is(file: Path) -> None:
    with http_server(file) as url:
        async with http(url, "one", mode="auto") as one, http(url, "one", mode="auto") as other:
            assert one.protocol_version == "2026-07-28"
            said = await failure(one, "read_file", path="geo.txt")
            assert "without a session, a token or a handle" in said
            assert "Call coagent_join once" in said
            first, second = await joined(one), await joined(other)
            assert "You are 'one', rank 0" in await call(one, "coagent_status", **first)
            await call(other, "read_file", path="geo.txt", **second)
            await call(one, "write_file", path="geo.txt", content="image=good\n", **first)
            told = await call(other, "list_files", **second)
            assert "changed by: one, call one.1" in told
            assert "You are 'one-2', rank 1" in await call(other, "coagent_status", **second)
            assert "committed" in await call(one, "coagent_finish", **first)
            assert "committed" in await call(other, "coagent_finish", **second)


async def test_whatever_a_client_calls_itself_it_can_join(file: Path) -> None:
    named = [("gpt-4.1", "gpt-4-1"), ("a\nb", "ab"), ("", "client"), ("x" * 300, "x" * 90)]
    with http_server(file) as url:
        for rank, (called, name) in enumerate(named):
            async with http(url, called) as client:
                await call(client, "list_files")
                assert f"You are '{name}', rank {rank}" in await call(client, "coagent_status")


async def test_every_client_gets_the_same_list_of_tools_and_each_takes_a_handle(file: Path) -> None:
    with http_server(file) as url:
        for mode in ("auto", "legacy"):
            async with http(url, mode=mode) as client:
                tools = (await client.list_tools()).tools
                without = {
                    one.name for one in tools if "coagent_handle" not in one.input_schema["properties"]
                }
                assert without == {"coagent_join"}


async def test_sub_agents_of_one_client_are_agents_of_their_own_order(file: Path) -> None:
    async with stdio(file, "main") as client:
        await call(client, "list_files")
        tests, docs = await joined(client, name="tests"), await joined(client, name="docs")
        await call(client, "read_file", path="geo.txt", **docs)
        await call(client, "edit_file", path="geo.txt", old_string="bad", new_string="good", **tests)
        assert "changed by: tests" in await call(client, "read_file", path="geo.txt", **docs)
        assert "waits for main" in await call(client, "coagent_finish", wait_s=0, **tests)
        assert "committed" in await call(client, "coagent_finish")
        assert "committed" in await call(client, "coagent_finish", **tests)
        assert "committed" in await call(client, "coagent_finish", **docs)
        await call(client, "write_file", path="more.txt", content="x", **docs)
        assert "You are 'docs', rank 3" in await call(client, "coagent_status", **docs)
    assert tree(file) == {"geo.txt": "image=good\n"}  # what was unfinished went with its client


async def test_a_name_that_is_taken_gets_a_number_and_a_lost_handle_a_successor(file: Path) -> None:
    async with stdio(file, "main") as client:
        lost, other = await joined(client, name="tests"), await joined(client, name="tests")
        await call(client, "write_file", path="x.txt", content="x", **lost)
        assert "You are 'tests-2'" in await call(client, "coagent_status", **other)
        again = await joined(client, name="tests", take_up=True)
        assert "[call tests.1] write_file" in await call(client, "coagent_status", **again)
        assert "this handle is not known" in await failure(client, "coagent_status", **lost)
        assert "no agent 'nobody' is at work" in await failure(
            client, "coagent_join", name="nobody", take_up=True
        )
        assert "is no name" in await failure(client, "coagent_join", name="a\nb")
        assert "name is 7" in await failure(client, "coagent_join", name=7)
        assert "take_up is 'yes'" in await failure(client, "coagent_join", take_up="yes")
        assert "is no text" in await failure(client, "coagent_status", coagent_handle=7)


async def test_sub_agents_of_two_processes_may_ask_for_one_name(file: Path) -> None:
    async with stdio(file, "A") as one, stdio(file, "B") as other:
        first = await joined(one, name="tests")
        await call(one, "list_files", **first)
        await call(one, "coagent_finish", **first)
        second = await joined(other, name="tests")
        assert "You are 'tests-2'" in await call(other, "coagent_status", **second)


async def test_nobody_takes_up_what_another_client_is_at(file: Path) -> None:
    with http_server(file) as url:
        async with http(url, "a", mode="auto") as a, http(url, "b", mode="auto") as b:
            await joined(a, name="tests")
            said = await failure(b, "coagent_join", name="tests", take_up=True)
            assert "agent 'tests' is another client's" in said


async def test_tokens_bind_as_soon_as_there_are_any(tmp_path: Path) -> None:
    path = domain_file(tmp_path, CLIENTS, anonymous=None)
    with http_server(path, **TOKENS) as url:
        async with httpx2.AsyncClient() as client:
            answer = await client.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "server/discover"})
            assert answer.status_code == 401


async def test_a_handle_goes_with_its_token_and_so_do_its_tools_and_name(tmp_path: Path) -> None:
    path = domain_file(tmp_path, CLIENTS, anonymous=True)
    with http_server(path, **TOKENS) as url:
        async with (
            http(url, token="r" * 32, mode="auto") as reviewer,
            http(url, token="w" * 32, mode="auto") as writer,
            http(url, mode="auto") as anybody,
        ):
            handle = await joined(reviewer, name="second")
            await call(reviewer, "list_files", **handle)
            assert "there is no tool 'write_file'" in await failure(
                reviewer, "write_file", path="x", content="x", **handle
            )
            for thief in (writer, anybody):
                assert "another client's" in await failure(thief, "list_files", **handle)
                assert "is the name of a client with a token" in await failure(
                    thief, "coagent_join", name="reviewer"
                )
                said = await failure(thief, "coagent_join", name="second", take_up=True)
                assert "agent 'second' is another client's" in said


async def test_a_handle_that_is_silent_ends_with_its_lease(tmp_path: Path) -> None:
    path = domain_file(tmp_path, lease_s=0.5)
    with http_server(path) as url:
        async with http(url, mode="auto") as client:
            silent, other = await joined(client, name="silent"), await joined(client, name="other")
            await call(client, "write_file", path="half.txt", content="half", **silent)

            async def aborted() -> bool:
                return "half.txt" not in await call(client, "list_files", **other)

            await until(aborted)
            said = await failure(client, "coagent_status", **silent)
            assert "its lease has run out" in said
            assert "take_up = true" in said
