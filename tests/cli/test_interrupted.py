"""Ctrl-C ends a process at once, whatever its agents are at, and nothing is left half done."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from coagent.systems.shell.views import copied
from coagent.systems.shell.views.overlay import available

DEADLINE_S = 60

SCRIPTS = """
import os

def searcher():
    yield "write_file", {"path": "half.txt", "content": "done"}
    while True:
        yield "search_files", {"pattern": r"^(\\s*\\w+,?)+;$|(a+)+$"}

def querier():
    yield "sql_execute", {"statement": "INSERT INTO t VALUES (7)"}
    yield "sql_query", {
        "query": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c, t"
    }

def sleeper():
    yield "bash", {"command": "echo half > half.txt; sleep 1000", "timeout_s": 500}

def other():
    for _ in range(3):
        yield "read_file", {"path": "lines.py"}
    with open(os.environ["BEGUN"], "w"):
        pass
    yield "read_file", {"path": "lines.py"}
"""

RUN_FILE = """
timeout_s = 10000

[tools]
builtin = ["files", "sql"{bash}]

[tools.sql]
timeout_s = 10000

[[targets]]
kind = "files"
root = "tree"

[[targets]]
kind = "sql"
url = "sqlite:///shop.db"

[[agents]]
name = "first"
script = "agents.py:{script}"

[[agents]]
name = "other"
script = "agents.py:other"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    line = "from package import first_name, second_name, third_name, fourth_name\n" + "a" * 2000 + "!\n"
    (tmp_path / "tree/lines.py").write_text(line * 50)
    (tmp_path / "agents.py").write_text(SCRIPTS)
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    os.mkfifo(tmp_path / "begun")
    return tmp_path


def interrupted(command: list[str], folder: Path) -> tuple[int, str]:
    """Interrupt a process as soon as it says that it has begun; return its exit code and what it printed."""
    # A shell that starts the tests in the background has their children ignore interrupts.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *command],
        cwd=folder,
        env=os.environ | {"BEGUN": str(folder / "begun")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with open(folder / "begun"):  # opens when the process opens it
            process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    return process.returncode, printed


@pytest.mark.parametrize("script", ["searcher", "querier", "sleeper"])
def test_a_run_that_is_interrupted_ends_and_withdraws_all_that_was_done(folder: Path, script: str) -> None:
    bash = ', "bash"' if script == "sleeper" else ""
    if bash and available() and copied.available():
        pytest.skip("no private views here")
    (folder / "run.toml").write_text(RUN_FILE.format(script=script, bash=bash))
    code, printed = interrupted([sys.executable, "-m", "coagent", "run", "run.toml"], folder)
    assert code == 1, printed
    assert "interrupted (SIGINT)" in printed
    assert {path.name for path in (folder / "tree").iterdir()} - {".coagent"} == {"lines.py"}
    connection = sqlite3.connect(folder / "shop.db")
    assert connection.execute("SELECT id FROM t").fetchall() == [(1,)]
    connection.close()


PROGRAM = """
import anyio, coagent, os, sys
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.sql.tools import sql_tools
from coagent.targets import Files, Sql

async def main():
    url = "sqlite:///shop.db"
    tools = [FILE_TOOLS, sql_tools(url, timeout_s=10_000)]
    async with coagent.open_domain("memory:", targets=[Files("tree"), Sql(url)], tools=tools) as domain:
        first, other = await domain.join("first"), await domain.join("other")

        async def begin():
            await other.call("read_file", path="lines.py")
            await anyio.to_thread.run_sync(lambda: open(os.environ["BEGUN"], "w").close())

        async with anyio.create_task_group() as group:
            group.start_soon(begin)
            endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
            await first.call("sql_query", query=endless)

anyio.run(main)
"""


def test_a_program_of_ones_own_is_interrupted_too(folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAM)
    code, printed = interrupted([sys.executable, "program.py"], folder)
    assert code in (-signal.SIGINT, 1, 130), printed
    assert "KeyboardInterrupt" in printed
