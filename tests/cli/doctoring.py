"""What the tests of `coagent doctor` share: real workspaces, real daemons, and what was found in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commands import coagent, environment

from coagent.cli.doctor.finding import Finding
from coagent.gateways.claude import hook

HOOK = Path(hook.__file__)


def workspace(root: Path, config: str = "") -> Path:
    """Make a workspace, with a git repository; a configuration is put above what is there."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert coagent("init", str(root)).returncode == 0
    if config:
        file = root / ".coagent" / "config.toml"
        file.write_text(f"{config}\n{file.read_text()}")
    return root


def doctor(root: Path, **more: str) -> tuple[int, list[dict[str, str]]]:
    """Return the exit code and the findings of `coagent doctor --json`."""
    done = coagent("doctor", str(root), "--json", **more)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)["findings"]


def about(findings: list[dict[str, str]], what: str) -> list[tuple[str, str]]:
    """Return state and text of the findings about one thing."""
    return [(one["state"], one["text"]) for one in findings if one["about"] == what]


def only(findings: Any) -> Finding:
    """Return the one finding that there is."""
    found = list(findings)
    assert len(found) == 1, found
    assert isinstance(found[0], Finding)
    return found[0]


def event(root: Path, session: str, name: str, **fields: Any) -> None:
    """Hand an event of a session to the daemon, which is started where there is none, as the client does.

    The session's process is this one, so that it lives.
    """
    given = {"session_id": session, "cwd": str(root), "hook_event_name": name, **fields}
    done = subprocess.run(
        [sys.executable, "-IS", str(HOOK)],
        input=json.dumps(given),
        env=environment(COAGENT_AGENT=session),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "systemMessage" not in done.stdout, done.stdout


def daemon_pid(root: Path) -> int:
    """Return the process of the daemon of a workspace."""
    return int((root / ".coagent" / "daemon.lock").read_text())


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Keep a process from doing anything."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
