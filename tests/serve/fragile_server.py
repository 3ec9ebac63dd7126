"""An MCP server over one file that can be made to crash in the middle of a call, and to refuse an undo."""

import os
import sys
from pathlib import Path

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

FILE = Path(sys.argv[1])
server = MCPServer("fragile")


@server.tool()
def get() -> str:
    """Read the value."""
    return FILE.read_text()


@server.tool()
def put(value: str) -> str:
    """Set the value; `crash` does so and dies, `no-undo` cannot be taken back."""
    before = FILE.read_text()
    if before == "no-undo" and value != "no-undo":
        raise ValueError("it will not be changed back")
    FILE.write_text(value)
    if value == "crash":
        os._exit(7)
    return f"was {before}"


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
def mark() -> str:
    """Leave a mark; the first time it dies before it can say so."""
    marked = FILE.with_name("marked")
    if not marked.exists():
        marked.touch()
        os._exit(7)
    return "marked"


server.run()
