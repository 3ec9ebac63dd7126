"""Real Claude Code as a client of `coagent serve`: its own work, and that of agents it names."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from anthropic_endpoint import AnthropicEndpoint
from claude import run_claude
from scripted_endpoint import Reply, Turn, call

Play = Generator[Reply, Turn, None]
pytestmark = pytest.mark.usefixtures("claude_code")
NAMES = ("sql_query", "sql_execute", "coagent_join", "coagent_finish")
TOOLS = ["WaitForMcpServers", *(f"mcp__gw__{name}" for name in NAMES)]


def test_rows_notices_and_handles_reach_the_model(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("create table items (id integer primary key, price integer)")
        connection.execute("insert into items values (1, 3), (2, 7)")
    domain = tmp_path / "domain.toml"
    domain.write_text('log = "sqlite:log.db"\n\n[[targets]]\nkind = "sql"\nurl = "sqlite:///shop.db"\n')
    server = {"command": sys.executable, "args": ["-m", "coagent", "serve", str(domain), "--name", "main"]}
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"gw": server}}))
    asked = "select price from items where id = 1"

    def script(turn: Turn) -> Play:
        yield call("WaitForMcpServers")
        turn = yield call("mcp__gw__sql_query", query=asked)
        assert "3" in turn.shown
        turn = yield call("mcp__gw__coagent_join", name="tests")
        handle = json.loads(turn.shown)["coagent_handle"]  # this client shows data instead of the text
        yield call("mcp__gw__sql_query", query=asked, coagent_handle=handle)
        yield call("mcp__gw__sql_execute", statement="update items set price = 5 where id = 1")
        turn = yield call("mcp__gw__sql_query", query=asked, coagent_handle=handle)
        assert "[coagent notice]" in turn.shown, turn.shown
        assert "5" in turn.shown
        assert "tests.2" in turn.shown  # the call's id, without which it could not be mended
        turn = yield call("mcp__gw__coagent_finish")
        assert "committed" in turn.shown
        turn = yield call("mcp__gw__coagent_finish", coagent_handle=handle)
        assert "committed" in turn.shown
        yield "Done."

    with AnthropicEndpoint() as endpoint:
        endpoint.script("main", script)
        options = ["--mcp-config", str(config), "--strict-mcp-config"]
        run = run_claude(tmp_path, "[script:main] go", endpoint, allowed=TOOLS, arguments=options)
        assert run.exit_code == 0, run.stderr
