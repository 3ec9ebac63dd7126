"""`coagent init` and `--remove`: settings get our entries, and get their very bytes back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import commands
import pytest

from coagent.gateways.setup.claude_code import MARK


def coagent(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.coagent("init", *arguments, cwd=folder)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    } | {f"{path.relative_to(folder)}/": b"" for path in folder.rglob("*") if path.is_dir()}


def ours(settings: Path) -> list[str]:
    found = []
    for event, groups in json.loads(settings.read_text("utf-8-sig"))["hooks"].items():
        found += [event for group in groups for one in group["hooks"] if MARK in one["command"]]
    return found


SETTINGS = [
    '{\n  "permissions": {"allow": ["Bash(ls:*)"]}\n}\n',
    '{"hooks":{"PreToolUse":[{"matcher":"Bash","hooks":[{"type":"command","command":"true"}]}]}}',
    '{\n\t"env": {"X": "ü"},\n\t"hooks": {"Stop": []}\n}',
    "{}",
    "",
    '{\r\n  "model":   "opus"\r\n}\r\n',
    '\ufeff{"model": "opus"}\n',
]


@pytest.mark.parametrize("text", SETTINGS)
@pytest.mark.parametrize("name", ["settings.local.json", "settings.json"])
def test_settings_get_their_very_bytes_back(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / ".claude").mkdir()
    settings = tmp_path / ".claude" / name
    settings.write_bytes(text.encode())
    before = tree(tmp_path)
    assert coagent(tmp_path, *(["--shared"] if name == "settings.json" else [])).returncode == 0
    assert {"SessionStart", "PreToolUse", "PostToolUse", "Stop", "SessionEnd"} <= set(ours(settings))
    assert coagent(tmp_path, "--remove").returncode == 0
    assert tree(tmp_path) == before


def test_a_workspace_without_settings_has_none_afterwards(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    before = tree(tmp_path)
    assert coagent(tmp_path).returncode == 0
    assert (tmp_path / ".coagent" / ".gitignore").read_text() == "/*\n!/tools/\n"
    assert coagent(tmp_path, "--remove").returncode == 0
    assert tree(tmp_path) == before


def test_hooks_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    settings = tmp_path / ".claude" / "settings.local.json"
    theirs: dict[str, Any] = {"matcher": "Bash", "hooks": [{"type": "command", "command": "echo theirs"}]}
    settings.write_text(json.dumps({"hooks": {"PreToolUse": [theirs]}}))
    coagent(tmp_path)
    assert json.loads(settings.read_text())["hooks"]["PreToolUse"][0] == theirs


def test_doing_it_twice_changes_nothing_and_taking_it_out_still_works(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.write_text('{"model":"opus"}')
    coagent(tmp_path)
    once = settings.read_bytes()
    again = coagent(tmp_path)
    assert settings.read_bytes() == once
    assert "Nothing was to be done." in again.stdout
    coagent(tmp_path, "--remove")
    assert settings.read_text() == '{"model":"opus"}'


def test_what_was_changed_since_is_kept_when_ours_are_taken_out(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.write_text('{\n  "model": "opus"\n}\n')
    coagent(tmp_path)
    data = json.loads(settings.read_text())
    data["model"] = "sonnet"
    data["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": "echo theirs"}]})
    settings.write_text(json.dumps(data, indent=2) + "\n")
    coagent(tmp_path, "--remove")
    assert json.loads(settings.read_text()) == {
        "model": "sonnet",
        "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "echo theirs"}]}]},
    }


def prefix(settings: Path) -> str:
    return str(json.loads(settings.read_text("utf-8-sig"))["env"]["CLAUDE_CODE_SHELL_PREFIX"])


def test_commands_are_run_by_a_script_beside_the_settings(tmp_path: Path) -> None:
    coagent(tmp_path, "--shared")
    script = tmp_path / ".claude" / "coagent-shell"
    assert prefix(tmp_path / ".claude" / "settings.local.json") == str(script)
    assert "env" not in json.loads((tmp_path / ".claude" / "settings.json").read_text())
    done = subprocess.run([script, "echo a hook; exit 3"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "a hook\n", "")


def test_another_prefix_is_kept_for_what_is_not_governed_and_comes_back(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text('#!/bin/sh\necho "by another: $1"\n')
    other.chmod(0o755)
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"env": {"CLAUDE_CODE_SHELL_PREFIX": str(other), "X": "1"}}))
    before = tree(tmp_path)
    assert "CLAUDE_CODE_SHELL_PREFIX was" in coagent(tmp_path).stdout
    coagent(tmp_path)
    done = subprocess.run([prefix(settings), "a hook"], capture_output=True, text=True, check=True)
    assert done.stdout == "by another: a hook\n"
    coagent(tmp_path, "--remove")
    assert tree(tmp_path) == before


def test_a_prefix_with_arguments_is_left_and_said(tmp_path: Path) -> None:
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"env": {"CLAUDE_CODE_SHELL_PREFIX": "/bin/sh -c"}}))
    assert "is left as it is" in coagent(tmp_path).stdout.replace("\n", " ")
    assert prefix(settings) == "/bin/sh -c"


@pytest.mark.parametrize("text", [None, "", "*.log\n", "*.log"])
def test_git_ignores_what_is_made_and_its_list_gets_its_very_bytes_back(
    tmp_path: Path, text: str | None
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    exclude = tmp_path / ".git" / "info" / "exclude"
    exclude.unlink() if text is None else exclude.write_text(text)
    before = tree(tmp_path)
    coagent(tmp_path)
    coagent(tmp_path)
    status = ["git", "status", "--short"]
    assert subprocess.run(status, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == ""
    coagent(tmp_path, "--remove")
    assert tree(tmp_path) == before


def test_folders_that_git_ignores_are_not_governed(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("build/\n/out/\n*.log\na/b/\n")
    coagent(tmp_path)
    config = (tmp_path / ".coagent" / "config.toml").read_text()
    assert 'exclude = ["**/.venv/**", "**/build/**", "out/**", "a/b/**"]' in config


def test_settings_behind_a_link_stay_there(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / "mine.json").write_text('{"model": "opus"}')
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.symlink_to("../mine.json")
    coagent(tmp_path)
    assert settings.is_symlink()
    coagent(tmp_path, "--remove")
    assert settings.is_symlink()
    assert (tmp_path / "mine.json").read_text() == '{"model": "opus"}'


def test_files_of_a_persons_own_stay_in_the_folder(tmp_path: Path) -> None:
    coagent(tmp_path)
    (tmp_path / ".coagent" / "notes.md").write_text("mine")
    assert "notes.md" in coagent(tmp_path, "--remove").stdout
    assert [one.name for one in (tmp_path / ".coagent").iterdir()] == ["notes.md"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "holds no JSON object"),
        ("// mine\n{}", "comments are none of JSON"),
    ],
)
def test_settings_that_cannot_be_read_are_left_alone(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / ".claude").mkdir()
    settings = tmp_path / ".claude" / "settings.local.json"
    settings.write_text(text)
    before = tree(tmp_path)
    done = coagent(tmp_path)
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")
    assert tree(tmp_path) == before


def test_opencode_gets_coagent_as_its_server_and_loses_it_again(tmp_path: Path) -> None:
    config = tmp_path / "opencode.json"
    config.write_text('{"model": "local/m", "mcp": {"other": {"type": "local", "command": ["x"]}}}')
    before = config.read_bytes()
    done = coagent(tmp_path, "--opencode", "--json")
    assert "opencode.json" in json.loads(done.stdout)["files"]
    servers = json.loads(config.read_text())["mcp"]
    assert servers["other"]["command"] == ["x"]
    assert servers["coagent"]["command"][-2:] == ["serve", str(tmp_path / ".coagent" / "config.toml")]
    coagent(tmp_path, "--remove")
    assert config.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = coagent(tmp_path, "nowhere")
    assert done.returncode == 2
    assert "there is no folder 'nowhere'" in done.stderr


def test_taking_out_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    done = coagent(tmp_path, "--remove")
    assert (done.returncode, done.stdout) == (0, "There was nothing of CoAgent's.\n")
