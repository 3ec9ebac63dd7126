"""Real clients at work in tests: Claude Code and opencode, headless, against scripted endpoints.

`run_claude` and `run_opencode` run a session to its end; `start_claude` and `start_opencode` return at once,
so that several sessions can be at work. All skip the test where the client cannot be installed; so do the
fixtures `claude_code` and `opencode`, with which a test says from the start that it needs one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anthropic_endpoint import AnthropicEndpoint
from installed_clients import CLAUDE_CODE, OPENCODE, installed
from openai_endpoint import OpenAIEndpoint
from scripted_endpoint import ScriptedEndpoint

TIMEOUT_SECONDS = 120.0
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")
TOOLS = ("Read", "Edit", "Write", "NotebookEdit", "Bash", "Grep", "Glob", "Agent")


@pytest.fixture(scope="session")
def claude_code() -> Path:
    """The path of Claude Code's command."""
    return installed(CLAUDE_CODE)


@pytest.fixture(scope="session")
def opencode() -> Path:
    """The path of opencode's command."""
    return installed(OPENCODE)


@dataclass(frozen=True)
class Run:
    """What a client that has ended wrote: JSON events, one a line, and what it said beside them."""

    exit_code: int
    events: list[dict[str, Any]]
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The event in which Claude Code sums up its run; its "result" is what the model said last."""
        found = [event for event in self.events if event.get("type") == "result"]
        assert found, f"no result; exit code {self.exit_code}\n{self.stdout[-2000:]}\n{self.stderr[-2000:]}"
        return found[-1]


class Client:
    """A client at work. Its home is a scratch folder that goes when it has ended, unless one is given.

    It is killed when its endpoint is closed.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        endpoint: ScriptedEndpoint,
        environment: Mapping[str, str],
        home: Path | None,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="coagent-client-", ignore_cleanup_errors=True)
        scratch = Path(self._scratch.name)
        home = home or scratch / "home"
        for folder in (home, scratch / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        # Claude Code keeps the output of background commands in a folder of its own, beside the rest.
        places = {
            "HOME": str(home),
            "TMPDIR": str(scratch / "tmp"),
            "CLAUDE_CODE_TMPDIR": str(scratch / "tmp"),
        }
        self._outputs = (scratch / "stdout", scratch / "stderr")
        with self._outputs[0].open("wb") as stdout, self._outputs[1].open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**kept, **places, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self._run: Run | None = None
        endpoint.at_exit(self.stop)

    @property
    def pid(self) -> int:
        """The process id of the client."""
        return self._process.pid

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the client, and only it, a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float = TIMEOUT_SECONDS) -> Run:
        """Wait for its end. One that does not end in time is killed, and fails the test."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            run = self.stop()
            said = f"{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
            raise AssertionError(f"the client did not end within {timeout_seconds} s\n{said}") from None
        return self.stop()

    def stop(self) -> Run:
        """Kill what is still at work of the client and its children, and return what it wrote."""
        if self._run is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            exit_code = self._process.wait()
            stdout, stderr = (path.read_text(errors="replace") for path in self._outputs)
            self._scratch.cleanup()
            events = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]
            self._run = Run(exit_code, events, stdout, stderr)
        return self._run


def start_claude(
    cwd: Path,
    prompt: str,
    endpoint: AnthropicEndpoint,
    *,
    settings: Mapping[str, Any] | None = None,
    allowed: Sequence[str] = TOOLS,
    permission_mode: str = "acceptEdits",
    arguments: Sequence[str] = (),
    launcher: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Client:
    """Start Claude Code headless with a prompt.

    Args:
        settings: used beside those of the folder's `.claude`; hooks, for example.
        allowed: the tools that need no permission; Grep and Glob are offered only when named here.
        launcher: a command to start the client with, before its own words.
        home: its home, when several runs are to share one (`arguments=["--continue"]`).
    """
    command = [*launcher, str(installed(CLAUDE_CODE)), "-p", prompt]
    command += ["--output-format", "stream-json", "--verbose", "--permission-mode", permission_mode]
    if allowed:
        command += ["--allowedTools", ",".join(allowed)]
    if settings is not None:
        command += ["--settings", json.dumps(settings)]
    variables = {
        "ANTHROPIC_BASE_URL": endpoint.url,
        "ANTHROPIC_API_KEY": "none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        **(environment or {}),
    }
    return Client([*command, *arguments], cwd, endpoint, variables, home)


def run_claude(
    cwd: Path,
    prompt: str,
    endpoint: AnthropicEndpoint,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    **options: Any,
) -> Run:
    """Run Claude Code to its end; the options are those of `start_claude`."""
    return start_claude(cwd, prompt, endpoint, **options).wait(timeout_seconds)


def start_opencode(
    cwd: Path,
    prompt: str,
    endpoint: OpenAIEndpoint,
    *,
    settings: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
    launcher: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Client:
    """Start opencode headless with a prompt; settings are as in `opencode.json`: `{"mcp": …}`, say."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "scripted",
        "options": {"baseURL": endpoint.base_url, "apiKey": "none"},
        "models": {"scripted": {"name": "scripted"}},
    }
    config = {"provider": {"scripted": provider}, "model": "scripted/scripted", "autoupdate": False}
    variables = {
        "OPENCODE_CONFIG_CONTENT": json.dumps({**config, **(settings or {})}),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        **(environment or {}),
    }
    command = [*launcher, str(installed(OPENCODE)), "run", "--format", "json", *arguments, prompt]
    return Client(command, cwd, endpoint, variables, home)


def run_opencode(
    cwd: Path,
    prompt: str,
    endpoint: OpenAIEndpoint,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    **options: Any,
) -> Run:
    """Run opencode to its end; the options are those of `start_opencode`."""
    return start_opencode(cwd, prompt, endpoint, **options).wait(timeout_seconds)
