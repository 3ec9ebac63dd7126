"""opencode. Source: opencode documentation, "Config" and "MCP servers"."""

from __future__ import annotations

from typing import Any

from coagent.gateways.setup.clients.base import McpClient

_SCHEMA = {"$schema": "https://opencode.ai/config.json"}


def _entry(words: list[str]) -> dict[str, Any]:
    return {"type": "local", "command": words, "enabled": True}


def _begun(settings: dict[str, Any]) -> dict[str, Any]:
    return settings or dict(_SCHEMA)


def _ended(settings: dict[str, Any]) -> dict[str, Any]:
    return {} if settings == _SCHEMA else settings


OPENCODE = McpClient(
    name="opencode",
    title="opencode",
    files=("opencode.json", "opencode.jsonc"),
    table="mcp",
    entry=_entry,
    begun=_begun,
    ended=_ended,
)
