"""Cursor. Source: Cursor documentation, "Model Context Protocol"."""

from __future__ import annotations

from typing import Any

from coagent.gateways.setup import server_entry
from coagent.gateways.setup.clients.base import McpClient


def _entry(words: list[str]) -> dict[str, Any]:
    return {"type": "stdio", **server_entry.split(words)}


CURSOR = McpClient(
    name="cursor",
    title="Cursor",
    files=(".cursor/mcp.json",),
    entry=_entry,
    then="switch the server on in its settings, under MCP.",
)
