"""Settings of people come in many kinds: each gets our entries, and its very bytes back."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from setup_trees import tree

from coagent.errors import ConfigurationError
from coagent.gateways.setup import file_writing
from coagent.gateways.setup.clients.table import MCP_CLIENTS
from coagent.gateways.setup.install import install, uninstall
from coagent.gateways.setup.jsonc import read

FILES = {name: client.files[0] for name, client in MCP_CLIENTS.items()} | {
    "claude-code": ".claude/settings.local.json"
}
JSON_CLIENTS = sorted(set(FILES) - {"codex"})

PLAIN = {
    "empty": "",
    "blank": "\n  \n",
    "no members": "{}",
    "no members, broken": "{\n}\n",
    "one line": '{"model": "opus"}',
    "one line, blanks within": '{ "a": 1, "b": [1, 2] }\n',
    "minified": '{"a":{"b":[1,2,{"c":null}]},"d":true}',
    "no final newline": '{\n  "a": 1\n}',
    "tabs": '{\n\t"a": {\n\t\t"b": 1\n\t}\n}\n',
    "four blanks": '{\n    "a": [\n        1\n    ]\n}\n',
    "CRLF": '{\r\n  "a":   1\r\n}\r\n',
    "byte order mark": '\ufeff{"a": 1}\n',
    "byte order mark and CRLF": '\ufeff{\r\n\t"a": 1\r\n}',
    "unicode": '{\n  "name": "Grüße 👋 \\u2028", "ключ": "\\ud83d\\ude00"\n}\n',
    "duplicate names": '{"a": 1, "a": 2, "mcpServers": {"x": {}}, "mcpServers": {"y": {}}}',
    "hooks of others": json.dumps(
        {"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "true"}]}]}}
    ),
    "empty hooks": '{\n  "hooks": {"Stop": []}\n}',
    "servers of others": '{\n  "mcpServers": {"x": {"y": 1}}, "servers": {"x": {}}, "mcp": {"x": {}}\n}\n',
    "empty servers": '{"mcpServers": {}, "servers": {  }, "mcp": {\n}}',
    "odd numbers": '{"a": 1.0, "b": 1e3, "c": -0, "d": 12345678901234567890}',
    "not UTF-8": b'{"a": "\xff\xfe"}\n'.decode("utf-8", "surrogateescape"),
    "what is no comment": '{"a": "// not, nor /* this */", "b": "\\"//"}',
    "deep": '{"a": ' * 50 + "1" + "}" * 50,
}
COMMENTED = {
    "comments": '// top\n{\n  // before\n  "a": 1, // behind\n  /* last */\n}\n// end\n',
    "trailing commas": '{\n  "a": [1, 2,],\n  "mcpServers": {"x": {},},\n}\n',
    "a comment alone": "{ // nothing yet\n}",
    "a comment at the end": '{"a": 1 // one\n}',
}
TOML = {
    "empty": "",
    "keys": 'model = "o3" # mine',
    "comments": '# top\n[mcp_servers.other]\ncommand = "y"  # why\n\n[profiles.a]\nmodel = "z"\n# end\n',
    "CRLF": 'a = 1\r\n[b]\r\nc = """x\r\ny"""\r\n',
    "inline": 'mcp_servers = { a = { command = "x" } }\n',
    "dotted": 'mcp_servers.a.command = "x"\n',
    "byte order mark": '\ufeffmodel = "ü"\n',
    "a header in a text": 'a = """\n[mcp_servers.coagent]\ncommand = 1\n"""\n',
    "tables apart": '[[h]]\nx = 1\n[mcp_servers.z]\ncommand = "q"\n[[h]]\nx = 2\n',
}


def placed(root: Path, client: str, text: str) -> Path:
    path = root / FILES[client]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def has_ours(path: Path) -> bool:
    text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    value = tomllib.loads(text) if path.suffix == ".toml" else read(text).value
    return "coagent" in json.dumps(value)


@pytest.mark.parametrize("client", JSON_CLIENTS)
@pytest.mark.parametrize("kind", PLAIN)
def test_every_kind_gets_its_very_bytes_back(tmp_path: Path, client: str, kind: str) -> None:
    path = placed(tmp_path, client, PLAIN[kind])
    before = tree(tmp_path)
    install(tmp_path, [client])
    assert has_ours(path)
    made = path.read_bytes()
    install(tmp_path, [client])
    assert path.read_bytes() == made
    uninstall(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("client", sorted(set(JSON_CLIENTS) - {"claude-code"}))
@pytest.mark.parametrize("kind", COMMENTED)
def test_comments_stay_and_come_back(tmp_path: Path, client: str, kind: str) -> None:
    path = placed(tmp_path, client, COMMENTED[kind])
    before = tree(tmp_path)
    install(tmp_path, [client])
    assert has_ours(path)
    for comment in re.findall(r"//.*|/\*.*?\*/", COMMENTED[kind]):
        assert comment in path.read_text()
    uninstall(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", TOML)
def test_toml_gets_its_very_bytes_back(tmp_path: Path, kind: str) -> None:
    path = placed(tmp_path, "codex", TOML[kind])
    before = tree(tmp_path)
    install(tmp_path, ["codex"])
    assert has_ours(path)
    uninstall(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("client", sorted(FILES))
def test_a_client_without_settings_has_none_afterwards(tmp_path: Path, client: str) -> None:
    before = tree(tmp_path)
    install(tmp_path, [client])
    assert has_ours(tmp_path / FILES[client])
    uninstall(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("client", sorted(FILES))
@pytest.mark.parametrize("mode", [0o400, 0o444, 0o600, 0o640, 0o666, 0o755])
def test_rights_stay(tmp_path: Path, client: str, mode: int) -> None:
    path = placed(tmp_path, client, "")
    path.chmod(mode)
    install(tmp_path, [client])
    assert path.stat().st_mode & 0o7777 == mode
    uninstall(tmp_path)
    assert path.stat().st_mode & 0o7777 == mode
    assert path.read_bytes() == b""


@pytest.mark.parametrize("client", sorted(FILES))
def test_a_link_stays_and_its_target_is_changed(tmp_path: Path, client: str) -> None:
    root, theirs = tmp_path / "work", tmp_path / "dotfiles"
    root.mkdir()
    theirs.write_text("")
    path = root / FILES[client]
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(os.path.relpath(theirs, path.parent))
    before = tree(tmp_path)
    install(root, [client])
    assert path.is_symlink()
    assert has_ours(path)
    assert b"coagent" in theirs.read_bytes()
    uninstall(root)
    assert path.is_symlink()
    assert tree(tmp_path) == before


def test_a_file_that_cannot_be_replaced_is_written_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = placed(tmp_path, "cursor", '{"a": 1}')
    place = path.stat().st_ino

    def busy(target: Path, data: bytes) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(file_writing, "_replace", busy)
    install(tmp_path, ["cursor"])
    assert has_ours(path)
    assert path.stat().st_ino == place


@pytest.mark.parametrize("client", JSON_CLIENTS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON: line 1, column 2: it ends before its '}'"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: ',' or '}' was expected, not '\"'"),
        ('{"a": 1} {', "line 1, column 10: there is more behind the end"),
        ("{'a': 1}", "a name in double quotes was expected"),
        ('{"a": /* 1}', "a value was expected, not '/'"),
        ('{"a": 1,, "b": 2}', "a name in double quotes was expected, not ','"),
        ("[" * 300, "nested too deeply"),
        ("[1]", "holds no JSON object"),
        ('{"hooks": [], "mcpServers": 1, "servers": "x", "mcp": []}', "is to be an object"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_changed(
    tmp_path: Path, client: str, text: str, said: str
) -> None:
    placed(tmp_path, client, text)
    before = tree(tmp_path)
    others = [name for name in FILES if name != client]
    with pytest.raises(ConfigurationError) as raised:
        install(tmp_path, [*others, client])
    assert said in str(raised.value)
    assert tree(tmp_path) == before


def test_claude_code_would_not_read_comments_and_that_is_said(tmp_path: Path) -> None:
    placed(tmp_path, "claude-code", COMMENTED["comments"])
    before = tree(tmp_path)
    with pytest.raises(ConfigurationError, match="not read by its client: comments are none of JSON"):
        install(tmp_path, ["claude-code"])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("text", ["x = ", "[mcp_servers]\ncoagent = 1\n", "mcp_servers = 1\n"])
def test_wrong_toml_is_named_and_nothing_is_changed(tmp_path: Path, text: str) -> None:
    placed(tmp_path, "codex", text)
    before = tree(tmp_path)
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        install(tmp_path, ["cursor", "codex"])
    assert tree(tmp_path) == before


def test_utf_16_is_named(tmp_path: Path) -> None:
    placed(tmp_path, "vscode", "").write_bytes('{"a": 1}'.encode("utf-16"))
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        install(tmp_path, ["vscode"])
    before = tree(tmp_path)
    install(tmp_path, ["cursor"])  # which has nothing to do with it
    uninstall(tmp_path)
    assert tree(tmp_path) == before
