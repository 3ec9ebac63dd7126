"""While a client waits: progress, and a person who is asked about what is stuck."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp_types import ElicitRequestParams, ElicitResult
from serving import call, command, domain_file, http, http_server, joined, stdio, text_of

pytestmark = pytest.mark.anyio
CONFIG = """
log = "sqlite:log.db"

[[targets]]
kind = "sql"
url = "sqlite:///shop.db"

[serve]
port = 0
"""
FROZEN = ("insert into items values (3, 3)", "create unique index frozen on items (price)")
"""The price that is to come back is somebody else's by then."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def changed(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def prices(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        return [row[0] for row in connection.execute("select price from items order by id")]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return the domain file of a shop."""
    path = tmp_path / "shop.toml"
    path.write_text(CONFIG)
    changed(
        tmp_path,
        "create table items (id integer primary key, price integer)",
        "insert into items values (1, 3), (2, 7)",
    )
    return path


async def stuck(client: Any, folder: Path, **handle: str) -> None:
    """Have a write taken back that its target will not have taken back."""
    raised = await call(client, "sql_execute", statement="update items set price = 4 where id = 1", **handle)
    await call(client, "sql_query", query="select price from items where id = 1", **handle)
    changed(folder, *FROZEN)
    call_id = raised[raised.index("[call ") + 6 : raised.rindex("]")]
    await call(client, "coagent_undo", call_id=call_id, **handle)


@pytest.mark.parametrize("decision", ["retry", "accept", "later", None])
@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.long)])
async def test_a_person_is_asked_about_what_is_stuck_and_their_decision_is_done(
    shop: Path, mode: str, decision: str | None
) -> None:
    asked: list[str] = []
    with http_server(shop) as url:

        async def person(context: Any, params: ElicitRequestParams) -> ElicitResult:
            asked.append(params.message)
            changed(shop.parent, "drop index frozen")
            if decision is None:
                return ElicitResult(action="decline")
            return ElicitResult(action="accept", content={"decision": decision})

        async with http(url, mode=mode, elicitation_callback=person) as client:
            handle = await joined(client)
            await stuck(client, shop.parent, **handle)
            await call(client, "coagent_finish", wait_s=0, **handle)
            assert prices(shop.parent) == [3 if decision == "retry" else 4, 7, 3]
    assert len(asked) == 1
    assert "CoAgent cannot bring sql:items/1 to the state" in asked[0]
    assert "UNIQUE constraint failed" in asked[0]
    still_stuck = "sql:items/1 is stuck" in resolved(shop)
    assert still_stuck == (decision not in ("retry", "accept"))


async def test_without_a_person_to_ask_the_object_stays_stuck(shop: Path) -> None:
    async with stdio(shop, "A") as client:
        await stuck(client, shop.parent)
        await call(client, "coagent_finish", wait_s=0)
    assert "sql:items/1 is stuck" in resolved(shop)


def resolved(shop: Path) -> str:
    """Return what `coagent resolve` says."""
    return subprocess.check_output(command("resolve", "--domain", str(shop)), text=True)


async def test_progress_says_for_whom_a_call_waits(tmp_path: Path) -> None:
    file, heard = domain_file(tmp_path), anyio.Event()
    told: list[str | None] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append(message)
        heard.set()

    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "write_file", path="x.txt", content="x")
        await call(b, "write_file", path="x.txt", content="y")
        async with anyio.create_task_group() as tasks:

            async def finish() -> None:
                result = await b.call_tool("coagent_finish", {"wait_s": 60}, progress_callback=progress)
                assert "committed" in text_of(result)

            tasks.start_soon(finish)
            with anyio.fail_after(30):
                await heard.wait()
            await call(a, "coagent_finish")
    assert told[0] == "waits for A"


async def test_results_that_are_data_come_as_data_too(shop: Path) -> None:
    async with stdio(shop, "A") as client:
        result = await client.call_tool("sql_query", {"query": "select id, price from items"})
        assert result.structured_content is not None
        assert result.structured_content["call"] == "A.1"
        assert result.structured_content["notices"] == []
        assert "7" in str(result.structured_content["result"])
        assert "[call A.1]" in text_of(result)
        status = await client.call_tool("coagent_status", {})
        assert status.structured_content is None


async def test_results_that_have_to_be_cut_come_as_a_text_that_says_so(shop: Path) -> None:
    numbers = "with recursive n (n) as (select 1 union all select n + 1 from n where n < 3000)"
    changed(shop.parent, f"insert into items (price) {numbers} select n from n")
    async with stdio(shop, "A") as client:
        query = "select price || '0000000000000000000000000000000000000000000000000' as wide from items"
        result = await client.call_tool("sql_query", {"query": query})
        assert result.structured_content is None
        assert "more characters, not shown" in text_of(result)
