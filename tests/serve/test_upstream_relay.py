"""What is passed on between clients and upstream servers besides calls: resources, prompts, progress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ToolListChangedNotification
from serving import call, failure, http, http_server, joined, stdio, until
from test_upstream_results import odd

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def over_http(file: Path, **options: Any) -> AsyncIterator[Client]:
    with http_server(file) as url:
        async with http(url, **options) as client:
            yield client


async def test_resources_are_read_at_the_readers_place_and_told_when_they_change(tmp_path: Path) -> None:
    file = odd(tmp_path)
    (tmp_path / "notes.json").write_text('{"n": "first"}')
    declared = '\n[upstreams.tools.delete_note]\neffect = "write"\nwrites = ["odd:{note-id}"]\nreverse = []\n'
    file.write_text(file.read_text() + declared)
    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "count")
        listed = await b.list_resources()
        assert [str(one.uri) for one in listed.resources] == ["note://all", "note://blob"]
        templates = await b.list_resource_templates()
        assert [one.uri_template for one in templates.resource_templates] == ["note://one/{id}"]
        one = await b.read_resource("note://one/n")
        assert [part.text for part in one.contents] == ["first"]  # type: ignore[union-attr]
        blob = await b.read_resource("note://blob")
        assert [part.blob for part in blob.contents] == ["iVBORw0KGgo="]  # type: ignore[union-attr]
        await b.read_resource("note://all")
        await call(a, "delete_note", **{"note-id": "n"})
        notices, now = (await b.read_resource("note://all")).contents
        assert str(notices.uri) == "coagent://notices"
        assert "[coagent notice]" in notices.text  # type: ignore[union-attr]
        assert now.text == "{}"  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="there is no resource"):
            await b.read_resource("other://one")
        assert "there is no tool" in await failure(b, "odd_resource", uri="note://all")


async def test_prompts_are_passed_on(tmp_path: Path) -> None:
    async with stdio(odd(tmp_path), "A") as a:
        assert [one.name for one in (await a.list_prompts()).prompts] == ["greet"]
        prompt = await a.get_prompt("greet", {"who": "Ada"})
        assert prompt.messages[0].content.text == "Greet Ada."  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="there is no prompt"):
            await a.get_prompt("part")


async def test_a_client_hears_that_a_server_has_more_tools(tmp_path: Path) -> None:
    heard = anyio.Event()

    async def hear(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            heard.set()

    declared = '[upstreams.tools.grow]\neffect = "write"\nwrites = ["odd:tools"]\nreverse = []\n'
    async with over_http(odd(tmp_path, declared), message_handler=hear) as a:
        assert a.server_capabilities.tools is not None
        assert a.server_capabilities.tools.list_changed
        await call(a, "grow")
        with anyio.fail_after(30):
            await heard.wait()
        assert "grown" in await call(a, "grown")


async def test_a_client_without_a_session_hears_it_where_it_listens(tmp_path: Path) -> None:
    declared = '[upstreams.tools.grow]\neffect = "write"\nwrites = ["odd:tools"]\nreverse = []\n'
    async with over_http(odd(tmp_path, declared), mode="auto") as a:
        own = await joined(a, name="A")
        async with a.listen(tools_list_changed=True) as events:
            await call(a, "grow", **own)
            with anyio.fail_after(30):
                async for _ in events:
                    break
        assert "grown" in await call(a, "grown", **own)


async def test_progress_of_a_tool_reaches_the_client(tmp_path: Path) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with stdio(odd(tmp_path), "A") as a:
        await a.call_tool("slow", {"seconds": "0"}, progress_callback=tell)
    assert told == [(0.25, 1.0, "step 0.25"), (0.5, 1.0, "step 0.5")]


async def test_a_read_that_its_client_cancels_is_cancelled_at_its_server(tmp_path: Path) -> None:
    async with stdio(odd(tmp_path), "A") as a:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.call_tool, "slow", {"seconds": "1000"})
            await until(anyio.Path(tmp_path / "slow-began").exists)
            tasks.cancel_scope.cancel()
        await until(anyio.Path(tmp_path / "slow-cancelled").exists)
        assert '{"n": 0}' in await call(a, "count")
        assert "committed" in await call(a, "coagent_finish")
