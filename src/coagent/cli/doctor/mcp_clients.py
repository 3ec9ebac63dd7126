"""Entries of CoAgent in the configuration of MCP clients: whether what they start is there.

Sources: the documentation of opencode ("MCP servers"), Codex ("Model Context Protocol"), Gemini CLI ("MCP
servers"), Cursor ("Model Context Protocol"), VS Code ("MCP servers") and Claude Code ("MCP").
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import Place
from coagent.cli.doctor.settings import Unreadable, settings_of

_ABOUT = "mcp clients"
_NAME = "coagent"
_CONNECT_S_MAX = 1.0


class Client(NamedTuple):
    """Where a client keeps its MCP servers.

    Args:
        name: As people call it.
        table: The name of the table of servers.
        here: Its files, relative to a workspace.
        own: Its files, relative to the user's own folder.
    """

    name: str
    table: str
    here: tuple[str, ...]
    own: tuple[str, ...]


CLIENTS = (
    Client(
        "opencode",
        "mcp",
        ("opencode.json", "opencode.jsonc"),
        (".config/opencode/opencode.json", ".config/opencode/opencode.jsonc"),
    ),
    Client("Codex", "mcp_servers", (".codex/config.toml",), (".codex/config.toml",)),
    Client("Gemini CLI", "mcpServers", (".gemini/settings.json",), (".gemini/settings.json",)),
    Client("Cursor", "mcpServers", (".cursor/mcp.json",), (".cursor/mcp.json",)),
    Client("VS Code", "servers", (".vscode/mcp.json",), (".config/Code/User/mcp.json",)),
    Client("Claude Code", "mcpServers", (".mcp.json",), (".claude.json",)),
)
"""The clients whose files are looked at."""


def mcp_clients(place: Place) -> Iterator[Finding]:
    """Yield the entries that start or reach `coagent serve`, and what is wrong with them."""
    found = False
    for client in CLIENTS:
        paths = [place.root / name for name in client.here] + [place.home / name for name in client.own]
        for path in dict.fromkeys(paths):
            about = client.name.lower()
            try:
                settings = settings_of(path)
            except Unreadable as error:
                yield Finding(about, "warning", f"{error}: {client.name} may leave it out")
                continue
            servers = (settings or {}).get(client.table)
            for name, entry in (servers if isinstance(servers, dict) else {}).items():
                if isinstance(entry, dict) and (words := _words(entry), _is_ours(name, entry, words))[1]:
                    found = True
                    yield from _entry(place, about, path, name, entry, words)
    if found and find_spec("mcp") is None:
        text = "`coagent serve` needs the mcp library, which is not installed here"
        yield Finding(_ABOUT, "problem", text, "pip install 'coagent-mtpo[mcp]'")


def _words(entry: dict[str, Any]) -> list[str]:
    """Return the command line of an entry: one list, or a command and its arguments."""
    command, arguments = entry.get("command"), entry.get("args")
    start = command if isinstance(command, list) else [command] if isinstance(command, str) else []
    return [str(word) for word in (*start, *(arguments if isinstance(arguments, list) else []))]


def _is_ours(name: str, entry: dict[str, Any], words: list[str]) -> bool:
    runs = "serve" in words and any(os.path.basename(word) == _NAME for word in words)
    return runs or (name == _NAME and bool(words or entry.get("url")))


def _entry(
    place: Place, about: str, path: Path, name: str, entry: dict[str, Any], words: list[str]
) -> Iterator[Finding]:
    where = f"{path}, server {name!r}"
    if entry.get("enabled") is False or entry.get("disabled") is True:
        yield Finding(about, "note", f"{where} is switched off")
        return
    if not words:
        yield from _url(about, where, str(entry.get("url")))
        return
    if shutil.which(words[0]) is None:
        cure = f"coagent init, or correct `command` in {path}"
        yield Finding(about, "problem", f"{where} starts {words[0]}, which is not there", cure)
        return
    file = _served(words)
    if file and not (place.root / file).is_file():
        text = f"{where} serves {file}, which is not there"
        yield Finding(about, "problem", text, "Name the domain file after `serve`.")
    else:
        yield Finding(about, "ok", f"{where} starts {words[0]}")


def _served(words: list[str]) -> str:
    """Return the domain file that a command line names; empty where it leaves that to the folder."""
    after = words[words.index("serve") + 1 :] if "serve" in words else []
    return next((word for word in after[:1] if not word.startswith("-")), "")


def _url(about: str, where: str, url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), _CONNECT_S_MAX).close()
    except OSError as error:
        text = f"{where} asks {shown}, where nobody answers: {error}"
        yield Finding(about, "warning", text, "coagent serve --http")
    else:
        yield Finding(about, "ok", f"{where} asks {shown}, where somebody listens")
