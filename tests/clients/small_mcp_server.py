"""An MCP server on standard input and output with one tool, `put`, that keeps values in a file; for tests.

Run as `python small_mcp_server.py FILE`. It speaks as much of the protocol as it takes to call a tool.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PUT = {
    "name": "put",
    "description": "Put a value under a key.",
    "inputSchema": {
        "type": "object",
        "properties": {"key": {"type": "string"}, "value": {"type": "string"}},
        "required": ["key", "value"],
    },
}


def answer(method: str, params: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return the result of a request."""
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "small", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [PUT]}
    if method == "tools/call":
        arguments = params["arguments"]
        values = json.loads(file.read_text()) if file.exists() else {}
        values[arguments["key"]] = arguments["value"]
        file.write_text(json.dumps(values))
        return {"content": [{"type": "text", "text": f"{arguments['key']} is {arguments['value']}"}]}
    return {}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request and "method" in request:
            result = answer(request["method"], request.get("params") or {}, Path(sys.argv[1]))
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
