"""Codex CLI. Source: Codex documentation, "Configuration reference" and "Model Context Protocol"."""

from __future__ import annotations

from coagent.gateways.setup.clients.base import McpClient
from coagent.gateways.setup.forms import TOML

CODEX = McpClient(
    name="codex",
    title="Codex CLI",
    files=(".codex/config.toml",),
    table="mcp_servers",
    form=TOML,
    then="it reads the settings of projects that it trusts: start `codex` here once, and say so.",
)
