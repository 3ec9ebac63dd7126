"""Real `coagent serve` processes and official MCP clients for tests.

Most of these processes fork from one that has imported what they need: to import it takes longer than most
tests do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import forked_command
import httpx2
from imported_command_line import started
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, Implementation

CONFIG = """\
log = "sqlite:log.db"

[[targets]]
kind = "files"
root = "tree"

[serve]
port = 0
lease_s = {lease_s}
on_leave = "{on_leave}"
"""


def domain_file(
    folder: Path,
    more: str = "",
    *,
    lease_s: float = 900.0,
    on_leave: str = "abort",
    anonymous: bool | None = True,
) -> Path:
    """Write a domain file over a folder of files, and return it."""
    (folder / "tree").mkdir(exist_ok=True)
    path = folder / "domain.toml"
    text = CONFIG.format(lease_s=lease_s, on_leave=on_leave)
    if anonymous is not None:
        text += f"anonymous = {str(anonymous).lower()}\n"
    path.write_text(text + more)
    return path


def text_of(result: CallToolResult) -> str:
    return "\n".join(getattr(part, "text", "") for part in result.content)


def tree(file: Path) -> dict[str, str]:
    """Return the files of the workspace that a domain file is about."""
    return {path.name: path.read_text() for path in (file.parent / "tree").iterdir()}


async def call(client: Client, tool: str, /, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return text_of(result)


async def failure(client: Client, tool: str, /, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, text_of(result)
    return text_of(result)


@cache
def _imported() -> str:
    modules = ("coagent.systems.files.tools", "coagent.gateways.mcp.http", "coagent.gateways.mcp.stdio",
               "coagent.gateways.mcp.upstream", "coagent.cli.main", "coagent.cli.serve",
               "coagent.config.domain_file", "coagent.log.sqlite", "coagent.systems.files.target",
               "coagent.systems.sql.target", "uvicorn")  # fmt: skip
    return started(modules, os.environ)


def command(*arguments: str, anew: bool = False) -> list[str]:
    """Return the words that start `coagent` with arguments.

    Args:
        arguments: The arguments.
        anew: Whether it starts from nothing, as users have it.
    """
    if anew:
        return [sys.executable, "-m", "coagent", *arguments]
    return [sys.executable, "-IS", forked_command.__file__, _imported(), *arguments]


@asynccontextmanager
async def stdio(file: Path, name: str, *options: str, anew: bool = False) -> AsyncIterator[Client]:
    """A client with a `coagent serve` process of its own."""
    words = command("serve", str(file), "--name", name, *options, anew=anew)
    server = StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ))
    async with Client(server) as client:
        yield client


@contextmanager
def http_server(file: Path, *, anew: bool = False, **environment: str) -> Iterator[str]:
    """A `coagent serve --http` process; gives its URL."""
    process = subprocess.Popen(
        command("serve", str(file), "--http", anew=anew),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"at (http\S+)", line)
        assert found is not None, line + process.stderr.read()
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)
        assert process.stderr is not None
        process.stderr.close()


@asynccontextmanager
async def http(
    url: str, name: str = "client", token: str | None = None, mode: str = "legacy", **options: Any
) -> AsyncIterator[Client]:
    """A client of a server over HTTP: "legacy" of the versions with sessions, "auto" of the newest."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as connection:
        transport = streamable_http_client(url, http_client=connection)
        info = Implementation(name=name, version="1")
        async with Client(transport, mode=mode, client_info=info, **options) as client:
            yield client


async def joined(client: Client, **arguments: Any) -> dict[str, Any]:
    """Have a client join once more; returns what to pass with that agent's calls."""
    result = await client.call_tool("coagent_join", arguments)
    assert not result.is_error, text_of(result)
    return {"coagent_handle": result.structured_content["coagent_handle"]}


async def until(condition: Any) -> None:
    """Wait for another process, looking again and again, up to a limit."""
    with anyio.fail_after(30):
        while not await condition():
            await anyio.sleep(0.02)
