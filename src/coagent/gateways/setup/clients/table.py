"""The table of clients."""

from __future__ import annotations

from coagent.gateways.setup.clients.base import McpClient
from coagent.gateways.setup.clients.codex import CODEX
from coagent.gateways.setup.clients.cursor import CURSOR
from coagent.gateways.setup.clients.gemini import GEMINI
from coagent.gateways.setup.clients.opencode import OPENCODE
from coagent.gateways.setup.clients.vscode import VSCODE

MCP_CLIENTS: dict[str, McpClient] = {
    client.name: client for client in (CODEX, CURSOR, GEMINI, OPENCODE, VSCODE)
}
"""The clients that are wired up by an MCP server, by name."""
CLAUDE_CODE = "claude-code"
"""The one that is wired up by hooks."""
CLAUDE_PLUGIN = "claude-plugin"
"""The same one, whose hooks are in a plug-in."""
CLIENTS = (CLAUDE_CODE, *MCP_CLIENTS)
"""The names of all clients."""
