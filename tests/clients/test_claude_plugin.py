"""Real Claude Code with CoAgent's hooks in a plug-in, beside settings that have them or have not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from anthropic_endpoint import AnthropicEndpoint
from claude import run_claude
from claude_workspace import coagent
from scripted_endpoint import Reply, Turn, call

from coagent.gateways.claude.stop import stop_daemon

Play = Generator[Reply, Turn, None]

pytestmark = pytest.mark.usefixtures("claude_code")


@pytest.mark.parametrize("client", ["claude-plugin", "claude-code"])
def test_a_session_is_governed_once_by_the_plugin_or_the_settings(tmp_path: Path, client: str) -> None:
    root, plugin = tmp_path / "work", tmp_path / "plugin"
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "a.txt").write_text("one\n")
    coagent(root, "init", "--plugin", str(plugin))
    coagent(root, "init", "--client", client)

    def script(turn: Turn) -> Play:
        yield call("Read", file_path=str(root / "a.txt"))
        yield call("Edit", file_path=str(root / "a.txt"), old_string="one", new_string="two")
        yield "Done."

    with AnthropicEndpoint() as endpoint:
        endpoint.script("plugged", script)
        options = ["--plugin-dir", str(plugin)]
        named = {"COAGENT_AGENT": "plugged"}
        run = run_claude(root, "[script:plugged] go", endpoint, arguments=options, environment=named)
        assert run.exit_code == 0, run.stderr
    first = next(event for event in run.events if event.get("subtype") == "init")
    assert [one["name"] for one in first["plugins"]].count("coagent") == 1  # a newer client brings some too
    log = coagent(root, "log")
    stop_daemon(root)
    assert [log.count(step) for step in ("joined with rank", "read_file(", "edit_file(")] == [1, 1, 1], log
    settings = root / ".claude" / "settings.local.json"
    assert ("hooks" in json.loads(settings.read_text())) == (client == "claude-code")
    coagent(root, "init", "--remove")
    assert sorted(path.name for path in root.iterdir()) == [".git", "a.txt"]
