"""`coagent serve`: its spans go on with those of real MCP clients, whose context comes in `params._meta`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import pytest
from collector import Collector, collector, values
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from serving import call, command, domain_file, failure, http, http_server, stdio

pytestmark = pytest.mark.anyio

TELEMETRY = "\n[telemetry]\nenabled = true\n"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
CLIENT = """
import sys, anyio
from mcp import Client, StdioServerParameters
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
import os

async def main():
    server = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:], env=dict(os.environ))
    async with Client(server) as client:
        with trace.get_tracer("agent").start_as_current_span("invoke_agent of the client"):
            await client.call_tool("read_file", {"path": "geo.txt"})
        await client.call_tool("coagent_finish", {})

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
anyio.run(main)
"""


UPSTREAM = """
import sys
from pathlib import Path
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("upstream")

@server.tool()
def get(ctx: Context) -> str:
    \"\"\"Read the value.\"\"\"
    told = (ctx.request_context.meta or {}).get("traceparent", "nothing")
    Path(sys.argv[1]).write_text(told)
    return "value"

server.run()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = domain_file(tmp_path, TELEMETRY)
    (tmp_path / "tree" / "geo.txt").write_text("image=bad\n")
    return path


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector to which all processes of a test send."""
    with collector() as made:
        for name in [one for one in os.environ if one.startswith("OTEL_")]:
            monkeypatch.delenv(name)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


async def test_the_servers_span_goes_on_with_the_clients_trace(file: Path, there: Collector) -> None:
    async with stdio(file, "A") as a:
        await a.call_tool("read_file", {"path": "geo.txt"}, meta={"traceparent": TRACEPARENT})
        await failure(a, "read_file", path="nothing.txt")
        await call(a, "coagent_finish")
    read, failed = there.named("tools/call read_file")
    assert (read.trace_id.hex(), read.parent_span_id.hex()) == (TRACE, PARENT)
    assert read.kind == Span.SPAN_KIND_SERVER
    found = values(read)
    assert found["mcp.method.name"] == "tools/call"
    assert found["gen_ai.operation.name"] == "execute_tool"
    assert found["gen_ai.tool.name"] == "read_file"
    assert found["gen_ai.agent.name"] == "A"
    assert found["network.transport"] == "pipe"
    assert found["coagent.call.id"] == "A.1"
    assert there.named("execute_tool read_file") == [], "the request's span traces the tool already"
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert values(failed)["error.type"] == "tool_error"
    assert values(failed)["coagent.error.code"] == "tool_failed"
    agent = there.the("invoke_agent A")
    assert values(agent)["coagent.agent.outcome"] == "committed"
    assert not agent.parent_span_id, "a request ends long before its agent"
    assert [link.span_id for link in agent.links] == [read.span_id]
    assert [link.span_id for link in read.links] == [agent.span_id]


async def test_a_client_that_traces_itself_is_the_parent_by_the_library_alone(
    file: Path, there: Collector
) -> None:
    words = command("serve", str(file), "--name", "A")
    subprocess.run([sys.executable, "-c", CLIENT, *words], check=True, timeout=120)
    own = there.the("invoke_agent of the client")
    (sent,) = [one for one in there.spans if one.kind == Span.SPAN_KIND_CLIENT and "read_file" in one.name]
    read = there.the("tools/call read_file")
    assert read.trace_id == sent.trace_id == own.trace_id
    assert sent.parent_span_id == own.span_id
    assert read.parent_span_id == sent.span_id


async def test_a_notice_links_the_requests_of_two_clients_of_one_server(file: Path, there: Collector) -> None:
    with http_server(file) as url:
        async with http(url, "A") as a, http(url, "B") as b:
            await call(a, "list_files")
            await call(b, "read_file", path="geo.txt")
            await call(a, "write_file", path="geo.txt", content="image=good\n")
            assert "[coagent notice]" in await call(b, "list_files")
            await call(a, "coagent_finish")
            await call(b, "coagent_finish")
    write = there.the("tools/call write_file")
    told = there.named("tools/call list_files")[-1]
    assert values(told)["gen_ai.agent.name"] == "B"
    assert values(told)["network.transport"] == "tcp"
    assert values(told)["coagent.notice.causes"] == ["A.2"]
    (notice,) = [link for link in told.links if values(link)["coagent.link"] == "notice"]
    assert (notice.trace_id, notice.span_id) == (write.trace_id, write.span_id)
    again = there.the("execute_tool read_file")
    assert values(again)["coagent.run"] == "reexecution"
    assert again.parent_span_id == there.the("invoke_agent B").span_id
    assert "coagent.notices" in there.metrics


async def test_no_path_or_content_is_sent(file: Path, there: Collector) -> None:
    async with stdio(file, "A") as a:
        await call(a, "read_file", path="geo.txt")
        await call(a, "edit_file", path="geo.txt", old_string="bad", new_string="good")
        await failure(a, "edit_file", path="geo.txt", old_string="bad", new_string="good")
        await call(a, "coagent_finish")
    assert there.named("tools/call edit_file")
    text = str(there.spans)
    assert "geo.txt" not in text
    assert "image=" not in text


async def test_two_processes_of_one_log_name_the_cause_though_no_link_leads_to_it(
    file: Path, there: Collector
) -> None:
    async with stdio(file, "A") as a, stdio(file, "B") as b:
        await call(a, "list_files")
        await call(b, "read_file", path="geo.txt")
        await call(a, "write_file", path="geo.txt", content="image=good\n")
        await call(b, "list_files")
        await call(a, "coagent_finish")
        await call(b, "coagent_finish")
    requests = there.named("tools/call list_files")
    (told,) = [one for one in requests if values(one)["gen_ai.agent.name"] == "B"]
    assert values(told)["coagent.notice.causes"] == ["A.2"]
    assert [values(link)["coagent.link"] for link in told.links] == ["agent"]


async def test_an_upstream_server_is_told_the_trace_that_a_client_began(
    tmp_path: Path, there: Collector
) -> None:
    (tmp_path / "upstream.py").write_text(UPSTREAM)
    words = json.dumps([sys.executable, str(tmp_path / "upstream.py"), str(tmp_path / "told")])
    table = f'[[upstreams]]\nname = "up"\ncommand = {words}\n[upstreams.tools.get]\n'
    file = domain_file(tmp_path, f'{TELEMETRY}{table}effect = "read"\nreads = ["up:value"]\n')
    async with stdio(file, "A") as a:
        await a.call_tool("get", {}, meta={"traceparent": TRACEPARENT})
        await call(a, "coagent_finish")
    request = there.the("tools/call get")
    sent = there.the("MCP send tools/call get")
    assert request.parent_span_id.hex() == PARENT
    assert (sent.trace_id.hex(), sent.parent_span_id) == (TRACE, request.span_id)
    assert (tmp_path / "told").read_text() == f"00-{TRACE}-{sent.span_id.hex()}-01"


async def test_clients_are_answered_while_a_collector_holds_what_it_was_sent(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector(holds=True) as there:
        for name, value in (there.environment | {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}).items():
            monkeypatch.setenv(name, value)
        async with stdio(file, "A") as a:
            await call(a, "read_file", path="geo.txt")
            await anyio.to_thread.run_sync(there.came.wait)
            for _ in range(3):
                await call(a, "read_file", path="geo.txt")
            assert "committed" in await call(a, "coagent_finish")
            assert not there.release.is_set()
        assert not there.release.is_set(), "the server has ended"
