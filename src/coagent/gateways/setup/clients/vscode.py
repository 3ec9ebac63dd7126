"""Visual Studio Code, agent mode. Source: its documentation, "MCP configuration reference"."""

from __future__ import annotations

from typing import Any

from coagent.gateways.setup import server_entry
from coagent.gateways.setup.clients.base import McpClient


def _entry(words: list[str]) -> dict[str, Any]:
    return {"type": "stdio", **server_entry.split(words)}


VSCODE = McpClient(
    name="vscode",
    title="Visual Studio Code",
    files=(".vscode/mcp.json",),
    table="servers",
    entry=_entry,
    then="trust the workspace, and start the server by the action above its entry in the file.",
)
