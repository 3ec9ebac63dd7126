"""Leaving: what people have done since stays, whatever has come between; what is ours goes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setup_trees import tree

from coagent.errors import ConfigurationError
from coagent.gateways.setup.claude_code import MARK
from coagent.gateways.setup.claude_plugin import make_plugin
from coagent.gateways.setup.clients.table import CLIENTS
from coagent.gateways.setup.install import chosen, install, uninstall
from coagent.gateways.setup.jsonc import read
from coagent.gateways.setup.jsonc_edit import changed
from coagent.gateways.setup.toml_edit import changed as toml_changed

SERVED = ".coagent/config.toml"


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("client", "name", "text"),
    [
        ("gemini", ".gemini/settings.json", '{\n  // mine\n  "a": 1, // one\n}\n'),
        ("cursor", ".cursor/mcp.json", '{\n\t"mcpServers": {\n\t\t"x": {} /* a */\n\t},\n\t"a": 1\n}'),
        ("vscode", ".vscode/mcp.json", '{"servers":{"x":{}},"a": 1}'),
        ("opencode", "opencode.jsonc", '{\r\n    "a": 1, "mcp": {"x": {}}, // c\r\n}\r\n'),
        ("codex", ".codex/config.toml", '"a": 1 # mine\n\n[b]\nc = 1 # why\n'.replace('"a": 1', "a = 1")),
        ("claude-code", ".claude/settings.local.json", '{\n  "a": 1,\n  "hooks": {"Stop": [{"x": 1}]}\n}'),
    ],
)
def test_what_was_changed_since_keeps_every_byte(tmp_path: Path, client: str, name: str, text: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    install(tmp_path, [client])
    old, new = ("a = 1", "a = 22") if client == "codex" else ('"a": 1', '"a":   22')
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    uninstall(tmp_path)
    assert path.read_bytes() == text.replace(old, new).encode()


def test_a_second_init_after_a_change_of_theirs_is_taken_out_to_the_byte_too(tmp_path: Path) -> None:
    path = tmp_path / ".claude" / "settings.local.json"
    path.parent.mkdir()
    path.write_text('{\n  "model": "opus"\n}\n')
    install(tmp_path, ["claude-code"])
    edited(path, "opus", "sonnet")
    config = tmp_path / SERVED
    edited(config, "wait_s = 60.0", "wait_s = 50.0")
    install(tmp_path, ["claude-code"])
    assert '"timeout": 80' in path.read_text()
    uninstall(tmp_path)
    assert path.read_text() == '{\n  "model": "sonnet"\n}\n'


def test_entries_of_an_earlier_version_are_renewed_and_taken_out(tmp_path: Path) -> None:
    old = ["/old/python", "-m", "coagent", "serve", f"/elsewhere/{SERVED}"]
    opencode, claude = tmp_path / "opencode.json", tmp_path / ".claude" / "settings.json"
    opencode.write_text(json.dumps({"mcp": {"coagent": {"type": "local", "command": old, "timeout": 9}}}))
    claude.parent.mkdir()
    hook = {"type": "command", "command": f"/old/python -IS /old/{MARK}", "timeout": 5}
    theirs = {"type": "command", "command": "true"}
    claude.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [theirs, hook]}, {"hooks": [hook]}]}}))
    install(tmp_path, ["opencode", "claude-code"], shared=True)
    entry = json.loads(opencode.read_text())["mcp"]["coagent"]
    assert entry["command"][1:] == ["-P", *old[1:-1], str(tmp_path / SERVED)]
    assert entry["timeout"] == 9
    assert "/old/" not in claude.read_text()
    uninstall(tmp_path)
    assert json.loads(opencode.read_text()) == {}
    assert json.loads(claude.read_text()) == {"hooks": {"Stop": [{"hooks": [theirs]}]}}


def test_entries_whose_memory_is_lost_are_taken_out(tmp_path: Path) -> None:
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text('{\n  "mcpServers": {"x": {}} // mine\n}\n')
    before = tree(tmp_path)
    install(tmp_path, ["cursor"])
    subprocess.run(["rm", "-r", tmp_path / ".coagent"], check=True)
    assert uninstall(tmp_path).files == [".cursor/mcp.json"]
    assert tree(tmp_path) == before


def test_a_workspace_that_has_moved_gets_its_very_bytes_back(tmp_path: Path) -> None:
    root, moved = tmp_path / "work", tmp_path / "moved"
    (root / ".gemini").mkdir(parents=True)
    (root / ".gemini" / "settings.json").write_text('{"a":   1}')
    (root / "opencode.json").write_text("{ }")
    before = tree(root)
    install(root, ["gemini", "opencode", "vscode"])
    root.rename(moved)
    uninstall(moved)
    assert tree(moved) == before


def test_a_server_of_our_name_that_is_theirs_is_left(tmp_path: Path) -> None:
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text('{"mcpServers": {"coagent": {"command": "coagent", "args": ["serve", "my.toml"]}}}')
    before = tree(tmp_path)
    with pytest.raises(ConfigurationError, match="that somebody has put in"):
        install(tmp_path, ["cursor"])
    assert uninstall(tmp_path).files == []
    assert tree(tmp_path) == before


def test_leaving_twice_does_nothing_the_second_time(tmp_path: Path) -> None:
    install(tmp_path, CLIENTS)
    assert uninstall(tmp_path).files
    assert tree(tmp_path) == {}
    assert uninstall(tmp_path).files == []


def test_after_a_failed_init_all_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".cursor").mkdir()
    (tmp_path / ".cursor" / "mcp.json").write_text('{"a": 1}')
    before = tree(tmp_path)

    def full(path: Path, data: bytes) -> None:
        if path.name == "mcp.json":
            raise ConfigurationError("the disk is full")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    monkeypatch.setattr("coagent.gateways.setup.settings_file.write_in_place_of", full)
    with pytest.raises(ConfigurationError, match="the disk is full"):
        install(tmp_path, ["claude-code", "gemini", "cursor", "vscode"])
    assert (tmp_path / ".gemini").exists()
    monkeypatch.undo()
    uninstall(tmp_path)
    assert tree(tmp_path) == before


def test_broken_settings_that_have_something_of_ours_stop_it_before_anything_is_changed(
    tmp_path: Path,
) -> None:
    install(tmp_path, CLIENTS)
    path = tmp_path / ".gemini" / "settings.json"
    path.write_text(path.read_text() + "}")
    before = tree(tmp_path)
    with pytest.raises(ConfigurationError, match="there is more behind the end"):
        uninstall(tmp_path)
    assert tree(tmp_path) == before
    path.write_text("{ broken, and none of it ours")
    uninstall(tmp_path)
    assert list(tree(tmp_path)) == [".gemini/settings.json", ".gemini/"]


def test_one_client_can_leave_alone(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    install(tmp_path, ["claude-code"])
    before = tree(tmp_path)
    install(tmp_path, ["codex", "vscode"])
    done = uninstall(tmp_path, ["codex", "vscode"])
    assert done.files == [".codex/config.toml", ".vscode/mcp.json", ".git/info/exclude"]
    assert tree(tmp_path) == before


def test_a_persons_own_files_stay_in_our_folder(tmp_path: Path) -> None:
    install(tmp_path, ["cursor"])
    ours = tmp_path / ".coagent"
    (ours / "tools").mkdir()
    (ours / "tools" / "grown.toml").write_text("reviewed")
    (ours / "notes.md").write_text("mine")
    with (ours / "config.toml").open("a") as config:
        config.write('[[clients]]\nname = "mine"\n')
    assert uninstall(tmp_path).kept == ["config.toml.kept", "notes.md", "tools"]
    assert sorted(path.name for path in ours.iterdir()) == ["config.toml.kept", "notes.md", "tools"]
    assert uninstall(tmp_path).kept == ["config.toml.kept", "notes.md", "tools"]


def test_git_ignores_the_files_that_are_made_and_no_others(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "opencode.json").write_text("{}")
    before = tree(tmp_path)
    install(tmp_path, CLIENTS)
    status = ["git", "status", "--short", "--untracked-files=all"]
    said = subprocess.run(status, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == "?? opencode.json\n"
    uninstall(tmp_path)
    assert tree(tmp_path) == before


def test_the_plugin_has_the_hooks_and_is_made_again_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    assert make_plugin(folder) == [".claude-plugin/plugin.json", "hooks/hooks.json"]
    assert make_plugin(folder)
    assert json.loads((folder / ".claude-plugin" / "plugin.json").read_text())["name"] == "coagent"
    assert MARK in (folder / "hooks" / "hooks.json").read_text()
    (tmp_path / "theirs").write_text("x")
    with pytest.raises(ConfigurationError, match="holds something else"):
        make_plugin(tmp_path)


def test_with_the_plugin_the_settings_have_no_hooks(tmp_path: Path) -> None:
    install(tmp_path, ["claude-code"])
    install(tmp_path, ["claude-plugin"])
    path = tmp_path / ".claude" / "settings.local.json"
    assert not path.exists() or "hooks" not in json.loads(path.read_text())
    uninstall(tmp_path)
    assert tree(tmp_path) == {}


def test_clients_are_named_once_and_wrong_names_are_told() -> None:
    assert chosen(["codex", "codex", "all"]) == ["codex", *(name for name in CLIENTS if name != "codex")]
    with pytest.raises(ConfigurationError, match="no client 'emacs'"):
        chosen(["emacs"])


WORDS = st.text('aü👋"\\/*{,]\n', max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=4)


@st.composite
def written(draw: Any, value: Any) -> str:
    """A text of a value, with blanks, comments and trailing commas here and there."""

    def gap() -> str:
        return draw(st.sampled_from(["", "", " ", "\n  ", "\t", " /* c */ ", "// l\n", "\r\n"]))  # type: ignore[no-any-return]

    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}{gap()}:{gap()}{draw(written(one))}" for name, one in value.items()]
    elif isinstance(value, list):
        parts = [draw(written(one)) for one in value]
    else:
        return json.dumps(value)
    end = f",{gap()}" if parts and draw(st.booleans()) else ""
    body = ",".join(f"{gap()}{part}{gap()}" for part in parts)
    return f"{{{body}{end}}}" if isinstance(value, dict) else f"[{body}{end}]"


@given(data=st.data(), there=OBJECTS, wanted=OBJECTS)
def test_any_text_can_be_made_to_hold_anything(data: st.DataObject, there: Any, wanted: Any) -> None:
    text = data.draw(written(there))
    assert read(text).value == there
    assert read(changed(text, wanted)).value == wanted


@given(data=st.data(), there=OBJECTS, entry=VALUES)
def test_what_is_put_in_is_taken_out_and_every_comment_stays(
    data: st.DataObject, there: dict[str, Any], entry: Any
) -> None:
    text = data.draw(written(there))
    inner = next((name for name, value in there.items() if isinstance(value, dict)), None)
    wanted = {**there, "ours": entry} if inner is None else {**there, inner: {**there[inner], "ours": entry}}
    made = changed(text, wanted)
    assert read(made).value == wanted
    back = changed(made, there)
    assert read(back).value == there
    comments = re.compile(r"/\* c \*/|// l")
    assert comments.findall(back) == comments.findall(text)
    assert "".join(back.split()) == "".join(text.split())


TOML_KEYS = st.text("abc", min_size=1, max_size=2)


@given(
    there=st.dictionaries(TOML_KEYS, st.integers(0, 9) | st.dictionaries(TOML_KEYS, WORDS), max_size=3),
    comment=st.sampled_from(["", "# c\n", "\n\n"]),
)
def test_toml_tables_are_put_in_and_taken_out(there: dict[str, Any], comment: str) -> None:
    import tomlkit

    text = comment + tomlkit.dumps(there) + comment
    wanted = {**there, "servers": {"coagent": {"command": "a\x7f\\b", "args": ["ü", "👋"]}}}
    assert tomlkit.parse(toml_changed(text, wanted)).unwrap() == wanted
    assert "".join(toml_changed(toml_changed(text, wanted), there).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["# mine\n", "# mine", None])
@pytest.mark.parametrize("first_out", ["", "part"])
def test_workspaces_of_one_repository_keep_their_own_lines_for_git(
    tmp_path: Path, text: str | None, first_out: str
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    exclude = tmp_path / ".git" / "info" / "exclude"
    exclude.unlink(missing_ok=True) if text is None else exclude.write_text(text)
    workspaces = ["", "part"]
    for workspace in workspaces:
        (tmp_path / workspace).mkdir(exist_ok=True)
        install(tmp_path / workspace, ["claude-code"])
    status = ["git", "status", "--short", "--untracked-files=all"]
    assert subprocess.run(status, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == ""
    uninstall(tmp_path / first_out)
    assert subprocess.run(status, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == ""
    workspaces.remove(first_out)
    uninstall(tmp_path / workspaces[0])
    assert (exclude.read_text() if exclude.exists() else None) == text
