"""The entry of `coagent serve` in opencode's configuration. Source: opencode documentation, "MCP servers"."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

NAME = "coagent"
SCHEMA = "https://opencode.ai/config.json"


def with_server(config: dict[str, Any], domain_file: Path) -> dict[str, Any]:
    """Return a configuration with our MCP server.

    Args:
        config: What is there.
        domain_file: What the server serves.
    """
    config.setdefault("$schema", SCHEMA)
    config.setdefault("mcp", {})[NAME] = {
        "type": "local",
        "command": [sys.executable, "-m", "coagent", "serve", str(domain_file)],
        "enabled": True,
    }
    return config


def without_server(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without our MCP server; what else is there stays."""
    servers = config.get("mcp")
    if isinstance(servers, dict) and NAME in servers:
        del servers[NAME]
        if not servers:
            del config["mcp"]
    if config == {"$schema": SCHEMA}:
        del config["$schema"]
    return config
