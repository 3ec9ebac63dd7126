"""One of several processes that ask for the same tool at once.

Usage: two_askers.py ROOT COMMAND; prints the name of the tool.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from coagent.systems.files.workspace import Workspace
from coagent.toolsmith import verify
from coagent.toolsmith.library import Library
from coagent.toolsmith.smith import ToolSmith

verify.HOSTILE = verify.HOSTILE[:3]  # it is not about them


async def ask(root: Path, command: str) -> None:
    smith = ToolSmith(Workspace(root), Library(root / ".coagent/tools"))
    print("ready", flush=True)
    sys.stdin.readline()
    answer = await smith.request("set a value", command)
    print(answer.tool.name if answer.tool else answer.reason)


if __name__ == "__main__":
    anyio.run(ask, Path(sys.argv[1]), sys.argv[2])
