"""Real opencode sessions as clients of `coagent serve`, configured as `coagent init` does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from claude import start_opencode
from openai_endpoint import OpenAIEndpoint
from scripted_endpoint import Reply, Turn, call

Play = Generator[Reply, Turn, None]

pytestmark = pytest.mark.usefixtures("opencode")


@pytest.mark.long
def test_two_opencode_sessions_end_as_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "config.txt").write_text("image=bad\n")
    init = [sys.executable, "-m", "coagent", "init", "--opencode"]
    subprocess.run(init, cwd=tmp_path, check=True, capture_output=True)
    settings = json.loads((tmp_path / "opencode.json").read_text())
    with OpenAIEndpoint() as endpoint:
        stage = endpoint.stage

        def repairer(turn: Turn) -> Play:
            yield call("coagent_list_files")
            stage.give("A has joined")
            stage.wait("B has written")
            turn = yield call("coagent_edit_file", path="config.txt", old_string="bad", new_string="good")
            assert "edited" in turn.shown
            stage.give("A has edited")
            turn = yield call("coagent_coagent_finish")
            assert "committed" in turn.shown
            yield "Done."

        def copier(turn: Turn) -> Play:
            stage.wait("A has joined")
            turn = yield call("coagent_read_file", path="config.txt")
            assert "image=bad" in turn.shown
            yield call("coagent_write_file", path="canary.txt", content="image=bad\n")
            stage.give("B has written")
            stage.wait("A has edited")
            turn = yield call("coagent_list_files")
            assert "[coagent notice]" in turn.shown
            written = turn.shown.partition("amend ")[2].split()[0]
            yield call("coagent_coagent_amend", call_id=written, arguments={"content": "image=good\n"})
            turn = yield call("coagent_coagent_finish")
            assert "committed" in turn.shown
            yield "Done."

        endpoint.script("repairer", repairer)
        endpoint.script("copier", copier)
        clients = [
            start_opencode(tmp_path, f"[script:{name}] go", endpoint, settings={"mcp": settings["mcp"]})
            for name in ("repairer", "copier")
        ]
        for client in clients:
            assert client.wait().exit_code == 0
    assert (tmp_path / "config.txt").read_text() == "image=good\n"
    assert (tmp_path / "canary.txt").read_text() == "image=good\n"
