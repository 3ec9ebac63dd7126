"""A real collector, Rotel, takes what CoAgent sends, and hands it on whole.

It is a program of its own (`pip install rotel`; ROTEL_AGENT names one elsewhere), and no dependency of ours:
these tests are passed over where it is not there.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from collector import Collector, collector, values
from test_sending import environment

WORK = """
from coagent.config.telemetry import TelemetryTable, telemetry
import anyio, coagent
from looked import TOOLS

async def main():
    async with domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("copy", source="kv:x", to="kv:y")
        await a.call("put", key="kv:x", value=2)
        await a.finish()
        await b.call("get", key="kv:y")
        assert (await b.finish(wait=True)).state == "committed"

domain = coagent.open_domain(targets=[coagent.targets.Memory({"kv:x": 1})], tools=TOOLS)
with telemetry(TelemetryTable(enabled=True), domain):
    anyio.run(main)
"""


def agent() -> str | None:
    """Return where the collector's program is."""
    found = importlib.util.find_spec("rotel")
    folders = [] if found is None else list(found.submodule_search_locations or ())
    named = os.environ.get("ROTEL_AGENT")
    return named or next((str(Path(one) / "rotel-agent") for one in folders), None)


pytestmark = [
    pytest.mark.long,  # another receiver has shown the same, but for that one's being ours
    pytest.mark.skipif(agent() is None, reason="there is no Rotel here: pip install rotel"),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def rotel(folder: Path, to: Collector) -> Iterator[tuple[str, Path]]:
    """Run the collector; yields its address, and the file in which it tells of what it has got."""
    program = agent()
    assert program is not None
    ports, said = (free_port(), free_port()), folder / "rotel.out"
    with said.open("w") as output:
        running = subprocess.Popen(
            [
                program, "start", "--otlp-grpc-endpoint", f"127.0.0.1:{ports[0]}",
                "--otlp-http-endpoint", f"127.0.0.1:{ports[1]}", "--exporter", "otlp",
                "--otlp-exporter-protocol", "http", "--otlp-exporter-endpoint", to.url,
                "--debug-log", "traces", "--debug-log", "metrics", "--debug-log-verbosity", "detailed",
                "--pid-file", str(folder / "rotel.pid"), "--log-file", str(folder / "rotel.log"),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while True:
                assert running.poll() is None, said.read_text()
                try:
                    socket.create_connection(("127.0.0.1", ports[1]), timeout=1).close()
                    break
                except OSError:
                    continue
            yield f"http://127.0.0.1:{ports[1]}", said
        finally:
            running.terminate()  # it hands on what it still has, and ends
            running.wait(20)


def test_spans_links_and_metrics_arrive_through_a_real_collector(tmp_path: Path) -> None:
    with collector() as behind:
        with rotel(tmp_path, behind) as (address, said):
            done = subprocess.run(
                [sys.executable, "-c", WORK],
                env=environment(
                    OTEL_EXPORTER_OTLP_ENDPOINT=address,
                    PYTHONPATH=f"{Path(__file__).parents[2] / 'src'}{os.pathsep}{Path(__file__).parent}",
                ),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
        wrote = behind.named("execute_tool put")[0]
        (again,) = [one for one in behind.named("execute_tool copy") if one.links]
        assert {(one.trace_id, one.span_id) for one in again.links} >= {(wrote.trace_id, wrote.span_id)}
        assert values(again)["coagent.run"] == "reexecution"
        for name in ("A", "B"):
            assert values(behind.the(f"invoke_agent {name}"))["coagent.agent.outcome"] == "committed"
        assert behind.resources[0]["service.name"] == "coagent"
        assert {"gen_ai.execute_tool.duration", "coagent.calls", "coagent.commits"} <= behind.metrics
        told = said.read_text()
        assert "invoke_agent A" in told
        assert "coagent.commits" in told
