"""Gemini CLI. Source: Gemini CLI documentation, "MCP servers with the Gemini CLI" and "Trusted folders"."""

from __future__ import annotations

from coagent.gateways.setup.clients.base import McpClient

GEMINI = McpClient(
    name="gemini",
    title="Gemini CLI",
    files=(".gemini/settings.json",),
    then="it starts servers in folders that it trusts: start `gemini` here once, and say so.",
)
