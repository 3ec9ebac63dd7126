"""What processes of CoAgent's own send to a collector, and what one costs that is away, slow or refuses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from collector import collector, values
from looked import TOOLS
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from serving import command

import coagent
from coagent.telemetry import instrument, sending
from coagent.telemetry.sending import END_S_MAX

RUN = """
[[targets]]
kind = "memory"
initial = {"kv:x" = 1}
[tools]
modules = ["tools.py"]
[[agents]]
name = "A"
script = "tools.py:count"
think_s = 0
[[agents]]
name = "B"
script = "tools.py:count"
think_s = 0
[telemetry]
enabled = true
"""
SCRIPT = """
from coagent import State, tool

@tool
async def add(state: State, by: int) -> int:
    value = (await state.get("kv:x")) + by
    await state.put("kv:x", value)
    return value

def count():
    yield "add", {"by": 1}
"""
WAITS_FOR_ITS_END = """
import signal, sys
from coagent.config.telemetry import TelemetryTable, telemetry
import anyio, coagent

async def main():
    async with domain:
        await domain.join("A")
        print("joined", flush=True)
        await anyio.sleep_forever()

domain = coagent.open_domain()
with telemetry(TelemetryTable(enabled=True), domain):
    anyio.run(main)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(SCRIPT)
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


def environment(**more: str) -> dict[str, str]:
    """Return the variables of a process, without those of OpenTelemetry that are there by chance."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | more


def run(file: Path, *, anew: bool = False, **more: str) -> subprocess.CompletedProcess[str]:
    """Carry out a run; a process that hangs at its end does not come back in time."""
    return subprocess.run(
        command("run", str(file), anew=anew),
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=60,
        check=False,
    )


def warnings(text: str) -> list[str]:
    """Return the lines of a process' errors that are about telemetry."""
    return [line for line in text.splitlines() if "OTEL" in line or "telemetry" in line or "traced" in line]


def test_a_run_sends_its_agents_calls_and_metrics_to_a_collector(file: Path) -> None:
    with collector() as there:
        done = run(file, **there.environment, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test")
    assert done.returncode == 0, done.stderr
    assert warnings(done.stderr) == []
    assert {span.name for span in there.spans} == {"invoke_agent A", "invoke_agent B", "execute_tool add"}
    first = values(there.the("invoke_agent A"))
    assert first["coagent.agent.outcome"] == "committed"
    calls = {str(values(span)["coagent.call.id"]) for span in there.named("execute_tool add")}
    assert calls == {"A.1", "B.1"}
    for span in there.named("execute_tool add"):
        parent = there.the(f"invoke_agent {values(span)['gen_ai.agent.name']}")
        assert (span.trace_id, span.parent_span_id) == (parent.trace_id, parent.span_id)
    assert there.resources[0]["service.name"] == "coagent"
    assert there.resources[0]["deployment.environment.name"] == "test"
    assert {"gen_ai.execute_tool.duration", "coagent.calls", "coagent.commits"} <= there.metrics


def test_the_standard_variables_name_the_service_and_switch_all_off(file: Path) -> None:
    with collector() as there:
        run(file, **there.environment, OTEL_SERVICE_NAME="mine")
        assert there.resources[0]["service.name"] == "mine"
    with collector() as there:
        assert run(file, **there.environment, OTEL_SDK_DISABLED="true").returncode == 0
        assert not there.came.is_set()
    with collector() as there:
        assert run(file, **there.environment, OTEL_METRICS_EXPORTER="none").returncode == 0
        assert there.spans
        assert not there.metrics


def test_nothing_is_sent_where_no_file_says_so(file: Path) -> None:
    file.write_text(RUN.replace("enabled = true", "enabled = false"))
    with collector() as there:
        assert run(file, **there.environment).returncode == 0
        assert not there.came.is_set()


def test_what_is_not_switched_on_is_not_even_imported() -> None:
    code = """
import sys
import coagent.cli.serve, coagent.config.domain_file, coagent.gateways.claude.serving, coagent.runs.execute
assert not [name for name in sys.modules if name.startswith(("opentelemetry", "coagent.telemetry"))]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def refused() -> str:
    """Return the URL of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_collector_that_is_away_costs_one_warning(file: Path) -> None:
    done = run(file, OTEL_EXPORTER_OTLP_ENDPOINT=refused())
    assert done.returncode == 0, done.stderr
    assert len(warnings(done.stderr)) == 1, done.stderr
    assert "the agents go on without" in warnings(done.stderr)[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("status", [401, 503])
def test_a_collector_that_refuses_costs_one_warning(file: Path, status: int) -> None:
    with collector(status) as there:
        done = run(file, **there.environment)
        assert there.came.is_set()
    assert done.returncode == 0, done.stderr
    assert len(warnings(done.stderr)) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_ends_while_a_collector_still_holds_what_it_was_sent(file: Path) -> None:
    # Every limit of the library is an hour: only ours can end the process.
    with collector(holds=True) as there:
        done = run(file, **there.environment, OTEL_EXPORTER_OTLP_TIMEOUT="3600")
        assert there.came.is_set()
        assert not there.release.is_set()
    assert done.returncode == 0, done.stderr
    assert len(warnings(done.stderr)) == 1, done.stderr


def test_an_unknown_exporter_or_protocol_is_said_and_nothing_is_sent(file: Path) -> None:
    with collector() as there:
        done = run(file, **there.environment, OTEL_TRACES_EXPORTER="zipkin", OTEL_METRICS_EXPORTER="none")
        assert "OTEL_TRACES_EXPORTER: there is no 'zipkin'" in done.stderr
        done = run(file, **there.environment, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
        assert "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken" in done.stderr
        assert not there.came.is_set()


def test_a_process_that_is_told_to_end_sends_what_it_has() -> None:
    with collector() as there:
        process = subprocess.Popen(
            [sys.executable, "-c", WAITS_FOR_ITS_END],
            stdout=subprocess.PIPE,
            env=environment(**there.environment),
        )
        assert process.stdout is not None
        with process.stdout as says:
            assert says.readline() == b"joined\n"
            process.terminate()
            assert process.wait(60) == -signal.SIGTERM
        assert values(there.the("invoke_agent A"))["coagent.agent.outcome"] == "open"


class Stuck(SpanExporter):
    """An exporter that does not come back until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.go_on.wait()
        return SpanExportResult.SUCCESS


@pytest.mark.anyio
async def test_calls_go_on_while_an_exporter_is_stuck_and_the_queue_is_full() -> None:
    stuck, tracers = Stuck(), TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(
        BatchSpanProcessor(stuck, max_queue_size=4, max_export_batch_size=2, schedule_delay_millis=1)
    )
    domain = coagent.open_domain(targets=[coagent.targets.Memory({"kv:x": 1})], tools=TOOLS)
    try:
        async with instrument(domain, tracer_provider=tracers) as looked:
            a = await looked.join("A")
            for number in range(50):
                await a.call("put", key="kv:x", value=number)
            stuck.entered.wait()
            for number in range(50):
                assert (await a.call("get", key="kv:x")).value == 49, number
            assert (await a.finish()).state == "committed"
            assert not stuck.go_on.is_set()
    finally:
        stuck.go_on.set()
        tracers.shutdown()


def test_what_is_done_at_the_end_is_waited_for_only_so_long(caplog: pytest.LogCaptureFixture) -> None:
    never, done = threading.Event(), threading.Event()
    sending._within(0.01, never.wait, done.set)
    assert done.is_set()
    assert not never.is_set()
    assert "was not sent in time" in caplog.text
    never.set()
    assert END_S_MAX < 2, "an MCP client waits two seconds for its server's end"


def test_the_library_that_is_missing_is_named_and_nobody_is_kept_from_working(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    done = run(
        file, anew=True, PYTHONPATH=os.pathsep.join([str(tmp_path), str(Path(coagent.__file__).parents[1])])
    )
    assert done.returncode == 0, done.stderr
    (line,) = warnings(done.stderr)
    assert "pip install 'coagent-mtpo[otel]'" in line
