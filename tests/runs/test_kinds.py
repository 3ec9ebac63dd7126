"""Run files over a database and over documents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from coagent.errors import ConfigurationError
from coagent.runs.execute import execute
from coagent.runs.plan import make_plan

SCRIPTS = """
def sell():
    yield "sql_query", {"query": "select sum(free) as n from stock"}
    yield "sql_execute", {"statement": "update stock set free = free - 1 where id = 1"}

def report():
    found = yield "sql_query", {"query": "select sum(free) as n from stock"}
    total = found["rows"][0]["n"]
    yield "doc_append_section", {"path": "plan.md", "heading": "Stock", "content": f"{total} are left\\n"}
"""
RUN = """
clock = "virtual"
[[targets]]
kind = "sql"
url = "sqlite:///shop.db"
[[targets]]
kind = "documents"
root = "docs"
[[agents]]
name = "sell"
script = "agents.py:sell"
think_s = 3
[[agents]]
name = "report"
script = "agents.py:report"
think_s = 1
"""


def scene(folder: Path) -> Path:
    """Make a shop, a plan, scripts and a run file."""
    with closing(sqlite3.connect(folder / "shop.db")) as shop:
        shop.executescript(
            "create table stock (id integer primary key, free integer);"
            "insert into stock values (1, 5), (2, 6);"
        )
    (folder / "docs").mkdir()
    (folder / "docs" / "plan.md").write_text("# Plan\n")
    (folder / "agents.py").write_text(SCRIPTS)
    file = folder / "run.toml"
    file.write_text(RUN)
    return file


def test_a_report_follows_the_sale_that_comes_before_it(tmp_path: Path) -> None:
    report = anyio.run(execute, make_plan(scene(tmp_path)))
    assert report.succeeded
    assert report.verdict.kind == "serial"
    assert "10 are left" in (tmp_path / "docs" / "plan.md").read_text()
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        assert shop.execute("select sum(free) from stock").fetchone() == (10,)


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = scene(tmp_path)
    (tmp_path / "shop.db").unlink()
    with pytest.raises(ConfigurationError, match=r"run\.toml:\d+: there is no database"):
        make_plan(file)
