"""The daemon of a workspace: what the hooks and the shell prefix of sessions hand over is traced there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collector import Collector, collector, values
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from coagent.gateways.claude import hook, prefix
from coagent.gateways.claude.stop import stop_daemon

HOOK = "import sys; sys.path.append(sys.argv[1]); import hook; hook.main()"
PREFIX = "import sys; sys.path.append(sys.argv[3]); import prefix; prefix.main()"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Session:
    """A session of a client, by its hooks and its shell."""

    def __init__(self, root: Path, name: str, there: Collector) -> None:
        self._root, self._name = root, name
        clean = {one: value for one, value in os.environ.items() if not one.startswith("OTEL_")}
        own = {
            "CLAUDE_PROJECT_DIR": str(root),
            "CLAUDE_CODE_SESSION_ID": name,
            "CLAUDE_PID": str(os.getpid()),
            "COAGENT_AGENT": name,
        }
        self._environment = clean | there.environment | own

    def hook(self, event: str, *, traceparent: str = "", **fields: Any) -> dict[str, Any]:
        """Return what a hook prints for an event."""
        given = {"session_id": self._name, "cwd": str(self._root), "hook_event_name": event} | fields
        ran = subprocess.run(
            [sys.executable, "-IS", "-c", HOOK, str(Path(hook.__file__).parent)],
            cwd=self._root,
            env=self._environment | ({"TRACEPARENT": traceparent} if traceparent else {}),
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stderr == ""
        found: dict[str, Any] = json.loads(ran.stdout or "{}")
        return found

    def read(self, path: str) -> None:
        shown = {"type": "text", "file": {"filePath": str(self._root / path), "content": "one"}}
        self._used("Read", path, {}, response=shown)

    def write(self, path: str, content: str, **more: Any) -> None:
        self._used("Write", path, {"content": content}, response={}, **more)

    def _used(self, tool: str, path: str, given: dict[str, Any], *, response: Any, **more: Any) -> None:
        place = self._root / path
        call = {"tool_name": tool, "tool_input": {"file_path": str(place), **given}, "tool_use_id": "1"}
        assert self.hook("PreToolUse", **call, **more) == {}
        if tool == "Write":
            place.write_text(given["content"])
        self.hook("PostToolUse", **call, tool_response=response, **more)

    def shell(self, command: str) -> int:
        """Run a command by the prefix, and return its exit code."""
        script = f"source none 2>&- || true && eval '{command}' < /dev/null && pwd -P >| /dev/null"
        return subprocess.run(
            [sys.executable, "-IS", "-c", PREFIX, str(self._root), script, str(Path(prefix.__file__).parent)],
            cwd=self._root,
            env=self._environment | {"TRACEPARENT": TRACEPARENT},
            check=False,
        ).returncode


@pytest.fixture
def there() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "a.txt").write_text("one\n")
    subprocess.run([sys.executable, "-m", "coagent", "init"], cwd=tmp_path, check=True, capture_output=True)
    file = tmp_path / ".coagent" / "config.toml"
    file.write_text(f"{file.read_text()}\n[telemetry]\nenabled = true\n")
    try:
        yield tmp_path
    finally:
        stop_daemon(tmp_path)


def of_tool(there: Collector, tool: str) -> Span:
    (found,) = [
        span
        for span in there.named(f"execute_tool {tool}")
        if values(span)["coagent.run"] == "call" and values(span)["gen_ai.agent.name"] != ""
    ]
    return found


def test_two_sessions_their_notices_and_a_command_are_traced(root: Path, there: Collector) -> None:
    first, second = Session(root, "first", there), Session(root, "second", there)
    first.read("a.txt")
    second.read("a.txt")
    first.write("a.txt", "two\n", traceparent=TRACEPARENT)
    assert second.shell("echo b > b.txt; (exit 3)") == 3
    told = second.hook("PostToolBatch", tool_calls=[])
    assert "a.txt" in json.dumps(told)
    first.hook("Stop", stop_hook_active=False)
    stop_daemon(root)
    log = (root / ".coagent" / "daemon.log").read_text()
    assert "Traceback" not in log, log

    write = of_tool(there, "write_file")
    assert (write.trace_id.hex(), write.parent_span_id.hex()) == (TRACE, PARENT)
    agent = there.the("invoke_agent first")
    assert not agent.parent_span_id, "a session is no part of its first tool call"
    assert values(agent)["coagent.agent.outcome"] == "committed"
    assert values(there.the("invoke_agent second"))["coagent.agent.outcome"] == "handed_over"
    command = there.the("execute_tool run_command")
    assert values(command)["process.exit.code"] == 3
    assert command.trace_id.hex() == TRACE
    carriers = [
        span for span in there.spans if any(values(link)["coagent.link"] == "notice" for link in span.links)
    ]
    assert [
        link.span_id for span in carriers for link in span.links if values(link)["coagent.link"] == "notice"
    ] == [write.span_id]
    assert "a.txt" not in str(there.spans)
