"""Requests that come again, and notices that nobody may have got: done once, and told until heard."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import anyio
import httpx2
import pytest
from serving import call, domain_file, http, http_server, stdio, tree

from coagent import open_domain, targets
from coagent.gateways.mcp.requests import Requests
from coagent.protocol.calls import Call
from coagent.runtime.session import AgentSession
from coagent.tools.native import tool
from coagent.tools.state import State

HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@tool
async def get(state: State, key: str) -> object:
    """Read an object."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: int) -> str:
    """Write an object."""
    await state.put(key, value)
    return "ok"


# ---- requests ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_request_is_done_once_also_while_it_is_under_way_and_others_are_done() -> None:
    requests: Requests[int] = Requests()
    done: list[object] = []
    free = anyio.Event()

    async def act() -> int:
        await free.wait()
        done.append(None)
        return len(done)

    answers: list[int] = []

    async def ask(name: object, content: str) -> None:
        answers.append(await requests.once(name, content, act))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, ("c", 1), "pay")
        tasks.start_soon(ask, ("c", 1), "pay")
        await anyio.wait_all_tasks_blocked()
        free.set()
    await ask(("c", 1), "pay")
    assert answers == [1, 1, 1]
    await ask(("c", 2), "pay")
    await ask(("c", 1), "read")
    await ask(None, "pay")
    await ask(None, "pay")
    assert answers == [1, 1, 1, 2, 3, 4, 5]


@pytest.mark.anyio
async def test_a_request_that_came_to_nothing_is_done_when_it_comes_again() -> None:
    requests: Requests[int] = Requests()
    tried: list[int] = []

    async def act() -> int:
        tried.append(1)
        if len(tried) == 1:
            raise RuntimeError
        return 7

    with pytest.raises(RuntimeError):
        await requests.once("one", "", act)
    assert await requests.once("one", "", act) == 7
    assert len(tried) == 2


@pytest.mark.anyio
async def test_a_call_that_a_client_sends_again_because_the_answer_was_lost_is_made_once(
    tmp_path: Path,
) -> None:
    file = domain_file(tmp_path)
    with http_server(file) as url:
        async with httpx2.AsyncClient(headers=HEADERS, timeout=30) as client:

            async def post(session: str | None, **message: object) -> httpx2.Response:
                headers = {} if session is None else {"Mcp-Session-Id": session}
                answer = await client.post(url, json={"jsonrpc": "2.0", **message}, headers=headers)
                assert answer.status_code in (200, 202), answer.text
                return answer

            about = {"protocolVersion": "2025-06-18", "capabilities": {}}
            who = {"clientInfo": {"name": "once", "version": "1"}}
            begun = await post(None, id=1, method="initialize", params={**about, **who})
            session = begun.headers["mcp-session-id"]
            await post(session, method="notifications/initialized")
            write = {"name": "write_file", "arguments": {"path": "a.txt", "content": "x"}}
            said = [(await post(session, id=2, method="tools/call", params=write)).text for _ in range(2)]
            assert said[0] == said[1]
            assert "[call once.1]" in said[0]
            again = await post(session, id=3, method="tools/call", params=write)
            assert "[call once.2]" in again.text, "another request is another call"


# ---- notices -----------------------------------------------------------------------------------------------


async def moved(a: AgentSession, b: AgentSession) -> Call:
    """Let A change what B has read, and B hear of it; returns B's call."""
    read = await b.call("get", key="kv:x")
    await a.call("put", key="kv:x", value=2)
    told = await b.notifications()
    assert [(one.before, one.after) for one in told] == [(1, 2)]
    return b._participant.calls[read.call_id]


@pytest.mark.anyio
async def test_a_notice_counts_as_told_when_the_client_comes_back(tmp_path: Path) -> None:
    memory = targets.Memory({"kv:x": 1})
    async with open_domain("memory:", targets=[memory], tools=[get, put]) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        b.tell_when_back()
        call = await moved(a, b)
        assert b.notified
        assert call.told.value == 1, "it may never have got the answer"
        assert (await b.finish()).state == "notified", "it is told again as long as it does not come back"
        await b.came_back()
        assert not b.notified
        assert call.told.value == 2
        await a.finish()
        assert (await b.finish()).state == "committed"


@pytest.mark.anyio
async def test_what_has_changed_since_is_told_although_the_client_has_come_back(tmp_path: Path) -> None:
    memory = targets.Memory({"kv:x": 1})
    async with open_domain("memory:", targets=[memory], tools=[get, put]) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        b.tell_when_back()
        await moved(a, b)
        await a.call("put", key="kv:x", value=3)
        await b.came_back()
        assert [one.after for one in await b.notifications()] == [3]


@pytest.mark.anyio
async def test_a_notice_that_its_server_died_with_is_told_by_the_next_one(tmp_path: Path) -> None:
    memory, log = targets.Memory({"kv:x": 1}), f"sqlite:{tmp_path / 'log'}"
    async with open_domain(log, targets=[memory], tools=[get, put]) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        b.tell_when_back()
        await moved(a, b)
        await a.finish()
    async with open_domain(log, targets=[memory], tools=[get, put]) as domain:
        b = await domain.attach("B")
        settlement = await b.finish()
        assert [(one.before, one.after) for one in settlement.notifications] == [(1, 2)]


# ---- another server ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_last_call_of_a_killed_server_is_not_made_twice_unless_it_is_meant(tmp_path: Path) -> None:
    file = domain_file(tmp_path, on_leave="keep")
    twice = {"path": "a.txt", "old_string": "x", "new_string": "xx", "replace_all": True}
    with http_server(file, anew=True) as url:
        async with http(url, "A") as a:
            await call(a, "write_file", path="a.txt", content="x\n")
            await call(a, "edit_file", **twice)
            pid = int(subprocess.check_output(["pgrep", "-f", f"serve {file} --http"], text=True).split()[0])
            os.kill(pid, signal.SIGKILL)
    async with stdio(file, "A") as again:
        said = await call(again, "edit_file", **twice)
        assert "your last call (A.2) once more" in said
        assert tree(file)["a.txt"] == "xx\n"
        assert "once more" not in await call(again, "edit_file", **twice)
        assert tree(file)["a.txt"] == "xxxx\n"
    async with stdio(file, "A") as third:
        await call(third, "read_file", path="a.txt")
        assert "once more" not in await call(third, "edit_file", **twice)
        assert tree(file)["a.txt"] == "xxxxxxxx\n"
