"""Real Codex CLI and Gemini CLI as clients of `coagent serve`, configured as `coagent init` does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from gemini_endpoint import GeminiEndpoint
from other_clients import start_codex, start_gemini
from responses_endpoint import ResponsesEndpoint
from scripted_endpoint import Reply, Turn, call

Play = Generator[Reply, Turn, None]


def init(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "coagent", "init", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


def wired(tmp_path: Path, client: str) -> Path:
    root = tmp_path / "work"
    root.mkdir()
    (root / "config.txt").write_text("image=bad\n")
    init(root, "--client", client)
    return root


def repair(prefix: str) -> Play:
    turn = yield call(f"{prefix}read_file", path="config.txt")
    assert "image=bad" in turn.shown
    turn = yield call(f"{prefix}edit_file", path="config.txt", old_string="bad", new_string="good")
    assert "edited" in turn.shown, turn.shown
    turn = yield call(f"{prefix}coagent_finish")
    assert "committed" in turn.shown, turn.shown
    yield "Done."


def assert_left_as_it_was(root: Path) -> None:
    assert (root / "config.txt").read_text() == "image=good\n"
    init(root, "--remove")
    assert [path.name for path in root.iterdir()] == ["config.txt"]


def test_gemini_works_by_the_tools_of_its_server(tmp_path: Path, gemini: Path) -> None:
    root = wired(tmp_path, "gemini")

    def script(turn: Turn) -> Play:
        assert "mcp_coagent_edit_file" in turn.tools
        yield from repair("mcp_coagent_")

    with GeminiEndpoint() as endpoint:
        endpoint.script("repairer", script)
        run = start_gemini(root, "[script:repairer] go", endpoint, tmp_path / "home").wait()
        assert run.exit_code == 0, run.stderr
    assert_left_as_it_was(root)


def test_codex_works_by_the_tools_of_its_server(tmp_path: Path, codex: Path) -> None:
    root = wired(tmp_path, "codex")

    def script(turn: Turn) -> Play:
        for _ in range(100):  # it asks its model before its servers have started
            if any(name.startswith("mcp__coagent") for name in turn.tools):
                break
            turn = yield call("list_mcp_resources")
        yield from repair("mcp__coagent/")

    with ResponsesEndpoint() as endpoint:
        endpoint.script("repairer", script)
        allowed = ["-c", 'mcp_servers.coagent.default_tools_approval_mode="approve"']
        prompt = "[script:repairer] go"
        run = start_codex(root, prompt, endpoint, tmp_path / "home", arguments=allowed).wait()
        assert run.exit_code == 0, run.stderr
    assert_left_as_it_was(root)
