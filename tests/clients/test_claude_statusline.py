"""`coagent statusline` in the status line of a real, interactive Claude Code session."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Generator
from pathlib import Path

from anthropic_endpoint import AnthropicEndpoint
from scripted_endpoint import Reply, Turn, call

from coagent.gateways.claude.stop import stop_daemon

SCREEN_S_MAX = 50.0
LOOK_S = 0.1
KEY = "sk-ant-none-00000000000000000000"


class Terminal:
    """Claude Code at a terminal, as a person has it."""

    def __init__(self, claude: Path, root: Path, home: Path, url: str, prompt: str) -> None:
        known = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        (home / ".claude.json").write_text(
            json.dumps(
                {
                    "hasCompletedOnboarding": True,
                    "theme": "dark",
                    "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
                    "projects": {str(root): known},
                }
            )
        )
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "COAGENT_AGENT": "docs",
        }
        self.drawn = b""
        self._main, other = pty.openpty()
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            [str(claude), prompt],
            cwd=root,
            env=environment,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)

    def until(self, come: Callable[[], bool], what: str) -> None:
        """Read what is drawn until something has come."""
        deadline = time.monotonic() + SCREEN_S_MAX
        while not come():
            left = deadline - time.monotonic()
            assert left > 0, f"{what} has not come:\n{self.drawn.decode('utf-8', 'replace')[-2000:]}"
            if select.select([self._main], [], [], min(left, LOOK_S))[0]:
                self.drawn += os.read(self._main, 1 << 16)

    def close(self) -> None:
        """End it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._main)


def test_a_session_shows_its_place(claude_code: Path, tmp_path: Path) -> None:
    root, home = tmp_path / "tree", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    (root / "a.txt").write_text("one\n")
    subprocess.run([sys.executable, "-m", "coagent", "init"], cwd=root, check=True, capture_output=True)
    settings = root / ".claude" / "settings.local.json"
    shown = tmp_path / "shown"  # the screen is drawn by differences
    shown.touch()
    line = {"type": "command", "command": f"{sys.executable} -m coagent statusline | tee -a {shown}"}
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "statusLine": line}))
    with AnthropicEndpoint() as endpoint:

        def script(turn: Turn) -> Generator[Reply, Turn, None]:
            yield call("Read", file_path=str(root / "a.txt"))
            endpoint.stage.wait("the line was seen")
            yield "I have read it."

        endpoint.script("docs", script)
        terminal = Terminal(claude_code, root, home, endpoint.url, "[script:docs] go")
        try:
            terminal.until(lambda: "coagent: 1st of 1\n" in shown.read_text(), "the place")
            terminal.until(lambda: b"coagent:" in terminal.drawn, "the line")
            endpoint.stage.give("the line was seen")
            terminal.until(lambda: shown.read_text().endswith("coagent: not at work\n"), "the end")
        finally:
            endpoint.stage.give("the line was seen")
            terminal.close()
            stop_daemon(root)
