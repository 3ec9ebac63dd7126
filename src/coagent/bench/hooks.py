"""What a hook adds to a tool call of Claude Code: whole processes, as the client starts them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coagent.bench.samples import machine, percentile
from coagent.gateways.claude.stop import stop_daemon
from coagent.gateways.setup import workspace
from coagent.gateways.setup.claude_code import command

_SESSION = "benchmark"


@dataclass(frozen=True)
class HookTimes:
    """Milliseconds by kind of hook, and what they depend on.

    Args:
        files: How many files the workspace has.
        samples: Kind of hook to how long each one took.
    """

    files: int
    samples: dict[str, list[float]]

    def as_data(self) -> dict[str, Any]:
        """Return medians and 95th percentiles as JSON data."""
        return {
            "parameters": {"files": self.files, "samples": len(next(iter(self.samples.values())))},
            "machine": machine(),
            "hooks": {
                name: {"median_ms": round(percentile(one, 0.5), 2), "p95_ms": round(percentile(one, 0.95), 2)}
                for name, one in self.samples.items()
            },
        }


def measure(files: int, samples: int, progress: Callable[[int], None]) -> HookTimes:
    """Start hooks one after another, each a process of its own, in a scratch workspace.

    Args:
        files: How many files it has.
        samples: How often each kind is timed.
        progress: Called with the number of rounds done.

    Raises:
        CoAgentError: A hook fails.
    """
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as scratch:
        root = Path(scratch).resolve()
        for number in range(files):
            path = root / f"folder{number % 50}" / f"file{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"text of {number}\n" * 20)
        workspace.make(root)
        try:
            _hook(root, "SessionStart", source="startup")
            for number in range(samples):
                _round(root, number, found)
                progress(number + 1)
        finally:
            stop_daemon(root)
    return HookTimes(files, found)


def _round(root: Path, number: int, found: dict[str, list[float]]) -> None:
    read, written = root / "folder0" / "file0.txt", root / "written.txt"
    lines = read.read_text().rstrip("\n").split("\n")
    file = {"filePath": str(read), "content": "\n".join(lines), "numLines": len(lines), "startLine": 1}
    shown = {"type": "text", "file": {**file, "totalLines": len(lines)}}

    def timed(kind: str, event: str, tool: str, given: dict[str, Any], response: Any = None) -> None:
        milliseconds = _hook(
            root, event, tool_name=tool, tool_input=given, tool_use_id=f"{number}", tool_response=response
        )
        found.setdefault(kind, []).append(milliseconds)

    timed("before Read", "PreToolUse", "Read", {"file_path": str(read)})
    timed("after Read", "PostToolUse", "Read", {"file_path": str(read)}, shown)
    write = {"file_path": str(written), "content": f"{number}\n"}
    timed("before Write", "PreToolUse", "Write", write)
    written.write_text(write["content"])
    timed("after Write", "PostToolUse", "Write", write, {})
    timed("before a command", "PreToolUse", "Bash", {"command": "make"})
    timed("after a command", "PostToolUse", "Bash", {"command": "make"}, {"stdout": "", "stderr": ""})


def _hook(root: Path, name: str, **fields: Any) -> float:
    from time import perf_counter_ns

    event = {"session_id": _SESSION, "cwd": str(root), "hook_event_name": name, **fields}
    environment = {**os.environ, "CLAUDE_PROJECT_DIR": str(root)}
    start = perf_counter_ns()
    done = subprocess.run(
        ["/bin/sh", "-c", command()],
        input=json.dumps(event),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    milliseconds = (perf_counter_ns() - start) / 1e6
    if done.stderr:
        from coagent.errors import CoAgentError

        raise CoAgentError(f"a hook has failed: {done.stderr.strip()}")
    return milliseconds
