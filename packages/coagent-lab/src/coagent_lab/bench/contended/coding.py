"""The coding workloads' tools: a tree of text files behind list, read, write and grep."""

from __future__ import annotations

import re
from typing import Any

from coagent.protocol.values import Value
from coagent.tools.native import tool
from coagent.tools.state import State

_PREFIX = "file:"


def initial(state: dict[str, Any]) -> dict[str, Value]:
    """Return the objects of a coding workload's initial state."""
    return {f"{_PREFIX}{path}": text for path, text in state["files"].items()}


def final(snapshot: dict[str, Value]) -> Value:
    """Return the final state in the workload's form: path to text."""
    return {key.removeprefix(_PREFIX): value for key, value in snapshot.items()}


@tool(name="fs.list")
async def list_paths(state: State) -> list[str]:
    """All tracked paths, sorted."""
    return [key.removeprefix(_PREFIX) for key in await state.list(_PREFIX)]


@tool(name="fs.read")
async def read(state: State, path: str) -> str:
    """The text of a file, or 'NotFound'."""
    text = await state.get(_PREFIX + path)
    return "NotFound" if text is None else str(text)


@tool(name="fs.write")
async def write(state: State, path: str, content: str) -> str:
    """Create or overwrite a whole file."""
    await state.put(_PREFIX + path, content)
    return "ok"


@tool(name="fs.delete")
async def delete(state: State, path: str) -> str:
    """Delete a file."""
    if await state.get(_PREFIX + path) is None:
        return "NotFound"
    await state.delete(_PREFIX + path)
    return "ok"


@tool(name="fs.grep")
async def grep(state: State, pattern: str) -> list[dict[str, Any]]:
    """Search all files by a regular expression: [{path, line, text}]."""
    re.compile(pattern)
    found = await state.search(_PREFIX, pattern)
    return [
        {"path": key.removeprefix(_PREFIX), "line": number, "text": text}
        for key, lines in found.items()
        for number, text in lines
    ]


TOOLS = (list_paths, read, write, delete, grep)
