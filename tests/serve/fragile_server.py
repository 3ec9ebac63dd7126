"""An MCP server over one file that can be made to crash in the middle of a call, and to refuse an undo."""

import os
import sys
from pathlib import Path

from mcp.server import MCPServer

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


server.run()
