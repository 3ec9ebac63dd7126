"""`coagent resolve` and `coagent status` about what a target will not take back."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from commands import coagent

from coagent.config.domain_file import configured

CONFIG = '[[targets]]\nkind = "sql"\nurl = "sqlite:///../shop.db"\n'
FROZEN = ("insert into items values (3, 3)", "create unique index frozen on items (price)")
"""The price that is to come back is somebody else's by then."""


def changed(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def prices(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        return [row[0] for row in connection.execute("select price from items order by id")]


def with_stuck_price(folder: Path) -> Path:
    """Have an agent take its write back where its target will not have that."""
    (folder / ".coagent").mkdir()
    (folder / ".coagent" / "config.toml").write_text(CONFIG)
    changed(
        folder,
        "create table items (id integer primary key, price integer)",
        "insert into items values (1, 3), (2, 7)",
    )

    async def work() -> None:
        async with configured(folder / ".coagent" / "config.toml").domain as domain:
            a, b = await domain.join("A"), await domain.join("B")
            raised = await a.call("sql_execute", statement="update items set price = 4 where id = 1")
            await b.call("sql_query", query="select price from items where id = 1")
            changed(folder, *FROZEN)
            await a.undo(raised.call_id)

    anyio.run(work)
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a workspace in which an agent took its write back, and its target would not have that."""
    return with_stuck_price(tmp_path)


def test_what_is_stuck_is_listed_with_the_words_of_its_target(shop: Path) -> None:
    listed = json.loads(coagent("resolve", "--json", cwd=shop).stdout)["stuck"]
    assert [one["key"] for one in listed] == ["sql:items/1"]
    assert "UNIQUE constraint failed" in listed[0]["error"]
    log = [json.loads(line) for line in coagent("log", "--json", cwd=shop).stdout.splitlines()]
    assert [one["number"] for one in log if one["kind"] == "stuck"] == [listed[0]["since"]]
    said = coagent("resolve", cwd=shop).stdout
    assert "sql:items/1 is stuck" in said
    assert "coagent resolve KEY --retry" in said


def test_status_says_what_is_stuck_and_how_to_decide(shop: Path) -> None:
    said = " ".join(coagent("status", cwd=shop).stdout.split())
    assert "sql:items/1 is stuck: " in said
    assert "coagent resolve" in said
    assert "has touched sql:items/1, stuck" in said
    assert [one["key"] for one in json.loads(coagent("status", "--json", cwd=shop).stdout)["stuck"]] == [
        "sql:items/1"
    ]


def test_an_object_is_shown_as_it_should_be_and_as_it_is(shop: Path) -> None:
    said = coagent("resolve", "sql:items/1", cwd=shop)
    assert said.returncode == 0
    assert "/price: 3 -> 4" in said.stdout
    assert prices(shop) == [4, 7, 3]


def test_trying_again_says_so_where_the_cause_is_still_there(shop: Path) -> None:
    said = coagent("resolve", "sql:items/1", "--retry", cwd=shop)
    assert said.returncode == 1
    assert "is still stuck" in said.stdout
    changed(shop, "drop index frozen")
    said = coagent("resolve", "sql:items/1", "--retry", cwd=shop)
    assert (said.returncode, said.stdout) == (0, "sql:items/1 was put again\n")
    assert prices(shop) == [3, 7, 3]
    assert coagent("resolve", cwd=shop).stdout == "Nothing is stuck.\n"


def test_what_is_there_can_be_accepted_and_agents_are_told(shop: Path) -> None:
    done = json.loads(coagent("resolve", "sql:items/1", "--accept", "--json", cwd=shop).stdout)
    assert (done["how"], done["stuck"]) == ("accept", False)
    assert prices(shop) == [4, 7, 3]
    log = [json.loads(line) for line in coagent("log", "--json", cwd=shop).stdout.splitlines()]
    decided = [one["kind"] for one in log].index("resolve")
    assert log[decided]["difference"] == "/price: 3 -> 4"
    assert "B.1 sql_query ran again, for somebody outside" in [one["text"] for one in log[decided:]]


def test_bad_usage_is_refused_with_what_there_is(shop: Path) -> None:
    for arguments, cause in (
        (("sql:items/9", "--retry"), "Stuck is: sql:items/1"),
        (("--retry",), "Name one"),
        (("sql:items/1", "--retry", "--accept"), "Choose one"),
    ):
        said = coagent("resolve", *arguments, cwd=shop)
        assert said.returncode == 2
        assert cause in said.stderr
    assert prices(shop) == [4, 7, 3]


def test_a_log_alone_shows_what_there_is_to_decide_and_says_what_deciding_takes(shop: Path) -> None:
    log = f"sqlite:{shop / '.coagent' / 'log.db'}"
    [stuck] = json.loads(coagent("resolve", "--json", "--domain", log, cwd=shop).stdout)["stuck"]
    shown = coagent("resolve", stuck["key"], "--domain", log, cwd=shop)
    assert shown.returncode == 0
    assert "UNIQUE constraint failed" in shown.stdout
    assert "name a domain file" in shown.stdout
    refused = coagent("resolve", stuck["key"], "--retry", "--domain", log, cwd=shop)
    assert refused.returncode == 2
    assert "to decide takes the targets and tools of its domain" in " ".join(refused.stderr.split())
    changed(shop, "drop index frozen")
    assert coagent("resolve", stuck["key"], "--retry", cwd=shop).returncode == 0
