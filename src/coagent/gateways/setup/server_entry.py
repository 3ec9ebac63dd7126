"""The entry of `coagent serve` among the MCP servers in a client's settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coagent.config.domain_file import FOLDER, NAME
from coagent.gateways.setup.entries import table_in
from coagent.gateways.setup.settings_file import WrongEntry

SERVER = "coagent"
"""The name of our server."""
_CALL = ["-m", "coagent", "serve"]


def command(domain_file: Path, python: str = sys.executable) -> list[str]:
    """Return the command by which a client starts our server.

    Args:
        domain_file: What it serves.
        python: The interpreter. Modules in the folder in which the client starts it are none of its (`-P`).
    """
    return [python, "-P", *_CALL, str(domain_file)]


def split(words: list[str]) -> dict[str, Any]:
    """Return an entry in the form that most clients have."""
    return {"command": words[0], "args": words[1:]}


def with_server(
    settings: dict[str, Any], table: str, words: list[str], form: Callable[[list[str]], dict[str, Any]]
) -> dict[str, Any]:
    """Return settings with our server.

    Args:
        settings: What is there.
        table: Where the client has its servers.
        words: The command.
        form: Makes an entry of it.

    Raises:
        WrongEntry: There is a server of our name that we have not made.
    """
    servers = table_in(settings, table)
    there, ours = servers.get(SERVER), form(words)
    if there is not None and not is_ours(there):
        raise WrongEntry(
            f"there is an MCP server {SERVER!r} in {table!r} that somebody has put in: give it another name"
        )
    # What a person has added to our entry (a timeout, a permission) stays.
    servers[SERVER] = {**there, **ours} if isinstance(there, dict) else ours
    return settings


def without_server(settings: dict[str, Any], table: str) -> dict[str, Any]:
    """Return settings without our server; what else is there stays."""
    servers = settings.get(table)
    if isinstance(servers, dict) and is_ours(servers.get(SERVER)):
        del servers[SERVER]
        if not servers:
            del settings[table]
    return settings


def is_ours(entry: Any) -> bool:
    """Tell whether `coagent init` has made an entry: of this version or an earlier one, with any Python."""
    if not isinstance(entry, dict):
        return False
    words: list[Any] = []
    for part in (entry.get("command"), entry.get("args")):
        words += part if isinstance(part, list) else [part]
    words = [word for word in words if isinstance(word, str)]
    starts = (words[at : at + len(_CALL)] for at in range(len(words)))
    return _CALL in starts and words[-1].endswith(f"{FOLDER}/{NAME}")
