"""What hooks and the shell prefix add to tool calls of Claude Code: processes, as the client starts them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from coagent.config.domain_file import FOLDER
from coagent.gateways.claude.stop import stop_daemon
from coagent.gateways.setup import workspace
from coagent.gateways.setup.claude_code import command
from coagent.gateways.setup.shell_script import PREFIX, SCRIPT, text, write
from coagent_lab.bench.samples import machine, percentile

_SESSION = "benchmark"
_COMMANDS = ("true", "git status")
_REPOSITORY = "git init -q && git add -A && git -c user.name=B -c user.email=b@localhost commit -qm files"
_IN_FOLDER = 20
_STARTS = 5
_THOUGHT_S = 10.0
"""How long a model takes from the start of its session to its first command, when it takes its time."""
_BLOCK = 512  # what `st_blocks` counts (stat(2))


@dataclass(frozen=True)
class HookTimes:
    """Milliseconds by kind of hook, and what they depend on.

    Args:
        files: How many files the workspace has.
        samples: Kind of hook, or command, to how long each one took.
        bare: How long each of as many bare interpreters took.
        starts: How long each first hook took, which started the daemon.
        first_ms: How long the first command took, governed, right after the first hook.
        thought_ms: How long it took some seconds after that.
        kept: How many bytes `.coagent` took, beside links to what is in the tree: while the daemon ran, and
            when it had ended.
        changed: How many bytes agents had written into files.
    """

    files: int
    samples: dict[str, list[float]]
    bare: list[float]
    starts: list[float]
    first_ms: float
    thought_ms: float
    kept: tuple[int, int]
    changed: int

    def as_data(self) -> dict[str, Any]:
        """Return medians and 95th percentiles as JSON data."""
        return {
            "parameters": {"files": self.files, "samples": len(self.bare)},
            "machine": machine(),
            "bare_interpreter": _median(self.bare),
            "first_hook": _median(self.starts),
            "first_command_ms": {
                "at once": round(self.first_ms, 2),
                f"after {_THOUGHT_S:g} s": round(self.thought_ms, 2),
            },
            "bytes": {
                "changed": self.changed,
                "kept while the daemon runs": self.kept[0],
                "kept": self.kept[1],
            },
            "hooks": {name: _median(one) for name, one in self.samples.items()},
        }


def _median(samples: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(percentile(samples, 0.5), 2),
        "p95_ms": round(percentile(samples, 0.95), 2),
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
    bare: list[float] = []
    starts: list[float] = []
    folder = tempfile.TemporaryDirectory
    with folder(prefix="coagent-bench-") as scratch, folder(prefix="coagent-bench-") as outside:
        root = Path(scratch).resolve()
        _make(root, files)
        prefix = Path(outside) / SCRIPT
        write(prefix, text(root))
        one = [str(prefix), _whole(root, "echo a > a.txt")]
        try:
            for _ in range(_STARTS):
                stop_daemon(root)
                starts.append(_hook(root, prefix, "SessionStart", source="startup"))
            first = _command(root, one, prefix)
            stop_daemon(root)
            _hook(root, prefix, "SessionStart", source="startup")
            time.sleep(_THOUGHT_S)
            thought = _command(root, one, prefix)
            for number in range(samples):
                bare.append(_bare())
                _round(root, prefix, number, found)
                progress(number + 1)
            living = _kept(root)
        finally:
            stop_daemon(root)
        changed = 2 * (root / "a.txt").stat().st_size + sum(len(f"{number}\n") for number in range(samples))
        return HookTimes(files, found, bare, starts, first, thought, (living, _kept(root)), changed)


def _make(root: Path, files: int) -> None:
    for number in range(files):
        path = root / f"folder{number // _IN_FOLDER}" / f"file{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"text of {number}\n" * 20)
    subprocess.run(_REPOSITORY, shell=True, cwd=root, check=True, capture_output=True)
    workspace.make(root)


def _kept(root: Path) -> int:
    """Return how many bytes CoAgent's own folder takes, beside links to files of the tree."""
    own = root / FOLDER
    in_tree: set[int] = set()
    for at, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in (FOLDER, ".git")]
        in_tree.update(os.lstat(f"{at}/{name}").st_ino for name in names)
    found = {}
    for at, _, names in os.walk(own):
        for name in ("", *names):
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(f"{at}/{name}")
                found[status.st_ino] = status.st_blocks * _BLOCK
    return sum(size for inode, size in found.items() if inode not in in_tree)


def _bare() -> float:
    """Return how long an interpreter takes that does nothing, in milliseconds."""
    start = perf_counter_ns()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (perf_counter_ns() - start) / 1e6


def _round(root: Path, prefix: Path, number: int, found: dict[str, list[float]]) -> None:
    read, written = root / "folder0" / "file0.txt", root / "written.txt"
    lines = read.read_text().rstrip("\n").split("\n")
    file = {"filePath": str(read), "content": "\n".join(lines), "numLines": len(lines), "startLine": 1}
    shown = {"type": "text", "file": {**file, "totalLines": len(lines)}}

    def timed(kind: str, event: str, tool: str, given: dict[str, Any], response: Any = None) -> None:
        milliseconds = _hook(
            root,
            prefix,
            event,
            tool_name=tool,
            tool_input=given,
            tool_use_id=f"{number}",
            tool_response=response,
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
    for one in _COMMANDS:
        whole = _whole(root, one)
        for kind, argv in (("plain", ["bash", "-c", whole]), ("governed", [str(prefix), whole])):
            found.setdefault(f"{one}, {kind}", []).append(_command(root, argv, prefix))


def _whole(root: Path, text: str) -> str:
    """Return a command as the client gives it to its shell."""
    setup = f"source {root}/none 2>/dev/null || true"
    return f"{setup} && eval {shlex.quote(text)} < /dev/null && pwd -P >| /dev/null"


def _command(root: Path, argv: list[str], prefix: Path) -> float:
    """Return how long a command takes, its output going into a file, in milliseconds."""
    known = {PREFIX: str(prefix), "CLAUDE_CODE_SESSION_ID": _SESSION, "CLAUDE_PID": str(os.getpid())}
    with tempfile.TemporaryFile() as output:
        start = perf_counter_ns()
        subprocess.run(
            argv, cwd=root, env={**os.environ, **known}, stdin=subprocess.DEVNULL, stdout=output, check=True
        )
        return (perf_counter_ns() - start) / 1e6


def _hook(root: Path, prefix: Path, name: str, **fields: Any) -> float:
    event = {"session_id": _SESSION, "cwd": str(root), "hook_event_name": name, **fields}
    environment = {**os.environ, "CLAUDE_PROJECT_DIR": str(root), PREFIX: str(prefix)}
    start = perf_counter_ns()
    done = subprocess.run(
        ["/bin/sh", "-c", f"{shlex.quote(str(prefix))} {shlex.quote(command())}"],
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
