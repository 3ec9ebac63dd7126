"""What MCP adds to a call: an official client and a real `coagent serve`, over stdio and over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from mcp import Client, StdioServerParameters

from coagent.errors import CoAgentError
from coagent_lab.bench.samples import machine, percentile

_CONFIG = 'log = "sqlite:log.db"\n[[targets]]\nkind = "files"\nroot = "."\n[serve]\nport = 0\n'


async def measure(samples: int, progress: Callable[[str, int], None]) -> dict[str, Any]:
    """Time calls of one client, one after another.

    Args:
        samples: How often each kind is timed.
        progress: Called with the way of serving and the number of rounds done.

    Returns:
        Medians and 95th percentiles in milliseconds, as JSON data.

    Raises:
        CoAgentError: The server does not start, or a call fails.
    """
    found: dict[str, list[float]] = {}
    for way, serving in (("stdio", _stdio), ("HTTP", _http)):
        with tempfile.TemporaryDirectory(prefix="coagent-bench-") as folder:
            file = Path(folder) / "domain.toml"
            file.write_text(_CONFIG)
            (Path(folder) / "read.txt").write_text("text\n" * 20)
            async with serving(file) as client:
                for number in range(samples):
                    for kind, tool, arguments in (
                        ("read", "read_file", {"path": "read.txt"}),
                        ("write", "write_file", {"path": "written.txt", "content": f"{number}\n"}),
                    ):
                        found.setdefault(f"{kind} over {way}", []).append(
                            await _timed(client, tool, arguments)
                        )
                    progress(way, number + 1)
    return {
        "parameters": {"samples": samples},
        "machine": machine(),
        "calls": {
            name: {"median_ms": round(percentile(one, 0.5), 2), "p95_ms": round(percentile(one, 0.95), 2)}
            for name, one in found.items()
        },
    }


async def _timed(client: Client, tool: str, arguments: dict[str, Any]) -> float:
    start = perf_counter_ns()
    result = await client.call_tool(tool, arguments)
    milliseconds = (perf_counter_ns() - start) / 1e6
    if result.is_error:
        raise CoAgentError(f"{tool} failed: {result.content}")
    return milliseconds


@asynccontextmanager
async def _stdio(file: Path) -> AsyncIterator[Client]:
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "coagent", "serve", str(file)], env=dict(os.environ)
    )
    async with Client(command) as client:
        yield client


@asynccontextmanager
async def _http(file: Path) -> AsyncIterator[Client]:
    command = [sys.executable, "-m", "coagent", "serve", str(file), "--http"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().split()[-1]
            if not url.startswith("http"):
                raise CoAgentError(f"the server does not start: {url}{process.stderr.read()}")
            async with Client(url) as client:
                yield client
        finally:
            process.terminate()
