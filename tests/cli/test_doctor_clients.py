"""What `coagent doctor` says of the settings of Claude Code and of MCP clients."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doctoring import only, workspace

from coagent.cli.doctor.claude_hooks import hooks
from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.mcp_clients import mcp_clients
from coagent.cli.doctor.place import Place, find_place
from coagent.cli.doctor.shell_prefix import prefix
from coagent.gateways.claude import hook


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace with hooks, and a home of its own."""
    (tmp_path / "home").mkdir()
    root = workspace(tmp_path / "tree")
    return replace(find_place(root), home=tmp_path / "home", environment={})


def settings(place: Place, name: str = "settings.local.json") -> Path:
    return place.root / ".claude" / name


def changed(path: Path, **fields: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **fields}))


def states(findings: Any) -> list[tuple[str, str]]:
    return [(one.state, one.text) for one in findings]


# ---- hooks -------------------------------------------------------------------------------------------------


def test_hooks_as_they_are_put_in(place: Place) -> None:
    assert only(hooks(place)).state == "ok"


def test_no_hooks_at_all(place: Place) -> None:
    settings(place).unlink()
    assert only(hooks(place)).state == "note"


def test_hooks_in_two_files_run_twice(place: Place) -> None:
    changed(settings(place, "settings.json"), **json.loads(settings(place).read_text()))
    assert states(hooks(place))[-1][0] == "problem"


def test_settings_that_are_no_json(place: Place) -> None:
    settings(place).write_text('{"hooks": ')
    assert states(hooks(place))[0][0] == "problem"


def test_hooks_that_are_switched_off(place: Place) -> None:
    changed(place.home / ".claude" / "settings.json", disableAllHooks=True)
    assert next(one for one in hooks(place) if one.state == "problem").text.endswith("governed")


@pytest.mark.parametrize("gone", ["python", "script"])
def test_hooks_that_run_what_is_gone(place: Place, gone: str) -> None:
    path = str(Path(hook.__file__).resolve()) if gone == "script" else sys.executable
    text = settings(place).read_text()
    settings(place).write_text(text.replace(path, f"/gone{path}"))
    assert only(hooks(place)).state == "problem"


def test_hooks_of_another_installation(place: Place, tmp_path: Path) -> None:
    script = Path(hook.__file__).resolve()
    other = tmp_path / "other" / "coagent/gateways/claude/hook.py"
    other.parent.mkdir(parents=True)
    other.write_bytes(script.read_bytes())
    settings(place).write_text(settings(place).read_text().replace(str(script), str(other)))
    assert only(hooks(place)).state == "note"
    other.write_text("# older\n")
    found = only(hooks(place))
    assert (found.state, found.cure) == ("warning", "coagent init")
    assert "CoAgent 0" in found.text or "does not tell" in found.text


def test_hooks_that_lack_an_event_or_time(place: Place) -> None:
    held = json.loads(settings(place).read_text())
    del held["hooks"]["PostToolBatch"]
    held["hooks"]["Stop"][0]["hooks"][0]["timeout"] = 10
    settings(place).write_text(json.dumps(held))
    found = only(hooks(place))
    assert found.state == "warning"
    assert "PostToolBatch lacks" in found.text
    assert "Stop is given 10 s of 90" in found.text


# ---- the shell prefix --------------------------------------------------------------------------------------


def named(place: Place, value: str) -> Finding:
    changed(settings(place), env={"CLAUDE_CODE_SHELL_PREFIX": value})
    return only(prefix(place))


def without_prefix(place: Place) -> None:
    held = json.loads(settings(place).read_text())
    held.pop("env", None)
    settings(place).write_text(json.dumps(held))


def test_a_prefix_of_the_users_own(place: Place) -> None:
    assert named(place, "/bin/sh").state == "note"
    assert named(place, "/gone/wrapper").state == "problem"


def test_a_prefix_in_the_environment(place: Place) -> None:
    without_prefix(place)
    found = only(prefix(replace(place, environment={"CLAUDE_CODE_SHELL_PREFIX": "/bin/sh"})))
    assert "the environment" in found.text


def test_our_prefix(place: Place) -> None:
    script = place.root / ".claude" / "coagent-shell"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    assert named(place, str(script)).state == "ok"
    without_prefix(place)
    assert only(prefix(place)).state == "warning"
    script.unlink()
    assert only(prefix(place)).state == "note"
    assert named(place, str(script)).state == "problem"


# ---- MCP clients -------------------------------------------------------------------------------------------


ENTRIES = {
    "opencode.json": lambda words: json.dumps({"mcp": {"coagent": {"type": "local", "command": words}}}),
    ".codex/config.toml": lambda words: (
        f"[mcp_servers.coagent]\ncommand = {json.dumps(words[0])}\nargs = {json.dumps(words[1:])}\n"
    ),
    ".gemini/settings.json": lambda words: json.dumps(
        {"mcpServers": {"shared": {"command": words[0], "args": words[1:]}}}
    ),
    ".cursor/mcp.json": lambda words: json.dumps(
        {"mcpServers": {"shared": {"command": words[0], "args": words[1:]}}}
    ),
    ".vscode/mcp.json": lambda words: (
        "{\n  // a comment\n"
        + json.dumps({"servers": {"coagent": {"command": words[0], "args": words[1:]}}})[1:-1]
        + ",\n}\n"
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("folder", ["workspace", "home"])
def test_entries_whose_program_or_file_is_gone(place: Place, name: str, folder: str) -> None:
    own = {
        "opencode.json": ".config/opencode/opencode.json",
        ".vscode/mcp.json": ".config/Code/User/mcp.json",
    }
    path = place.root / name if folder == "workspace" else place.home / own.get(name, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    good = [sys.executable, "-m", "coagent", "serve"]
    for words, state in (
        ([*good, ".coagent/config.toml"], "ok"),
        ([*good, "--name", "docs"], "ok"),
        ([*good, "gone.toml"], "problem"),
        (["/gone/bin/coagent", "serve"], "problem"),
    ):
        path.write_text(ENTRIES[name](words))
        assert only(mcp_clients(place)).state == state, words


def test_entries_of_others_are_none_of_ours(place: Place) -> None:
    servers = {"github": {"command": "/gone/server", "args": ["serve"]}, "broken": 1}
    changed(place.root / ".mcp.json", mcpServers=servers)
    assert not list(mcp_clients(place))


def test_a_file_that_is_broken(place: Place) -> None:
    (place.root / "opencode.json").write_text('{"mcp": ')
    assert only(mcp_clients(place)).state == "warning"


def test_a_server_over_http_is_asked_whether_it_listens(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://user:hunter2-secret@127.0.0.1:{server.getsockname()[1]}/mcp"
        changed(place.root / ".cursor" / "mcp.json", mcpServers={"coagent": {"url": url}})
        assert only(mcp_clients(place)).state == "ok"
    found = only(mcp_clients(place))
    assert found.state == "warning"
    assert "hunter2" not in found.text
