"""A daemon that dies after it has noted that a session was told, and before the session was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coagent.gateways.claude import hook
from coagent.gateways.claude.stop import stop_daemon

HOOK = "import sys; sys.path.append(sys.argv[1]); import hook; hook.main()"
DIES = """
import os, signal, sys
from coagent.gateways.claude import daemon
from coagent.protocol.events import NoticesDelivered
from coagent.runtime.recorder import Recorder

tell = Recorder._tell

def dies(recorder, event):
    if isinstance(event, NoticesDelivered):
        os.kill(os.getpid(), signal.SIGKILL)
    tell(recorder, event)

Recorder._tell = dies
daemon.main()
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return a workspace whose daemon dies as soon as it has noted that a session was told."""
    (tmp_path / "a.txt").write_text("one\n")
    subprocess.run([sys.executable, "-m", "coagent", "init"], cwd=tmp_path, check=True, capture_output=True)
    with subprocess.Popen([sys.executable, "-c", DIES, str(tmp_path)], cwd=tmp_path) as process:
        while not (tmp_path / ".coagent" / "daemon.sock").exists():
            assert process.poll() is None
        yield tmp_path
        stop_daemon(tmp_path)
        process.kill()


def answer(root: Path, session: str, name: str, **fields: Any) -> dict[str, Any]:
    """Return what a hook prints for an event of a session whose process is this one."""
    event = {"session_id": session, "cwd": str(root), "hook_event_name": name} | fields
    ran = subprocess.run(
        [sys.executable, "-IS", "-c", HOOK, str(Path(hook.__file__).parent)],
        cwd=root,
        env={**os.environ, "CLAUDE_PROJECT_DIR": str(root), "COAGENT_AGENT": session},
        input=json.dumps(event),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    found: dict[str, Any] = json.loads(ran.stdout or "{}")
    return found


def told(found: dict[str, Any]) -> str:
    return str(found.get("hookSpecificOutput", {}).get("additionalContext", ""))


def read(root: Path, session: str) -> None:
    call = {"tool_name": "Read", "tool_input": {"file_path": str(root / "a.txt")}, "tool_use_id": session}
    shown = {"type": "text", "file": {"filePath": str(root / "a.txt"), "content": "one"}}
    assert answer(root, session, "PreToolUse", **call) == {}
    answer(root, session, "PostToolUse", **call, tool_response=shown)


def test_what_a_daemon_told_before_it_died_is_told_again_by_the_next(root: Path) -> None:
    answer(root, "first", "SessionStart")
    answer(root, "second", "SessionStart")
    read(root, "first")
    read(root, "second")
    edit = {"file_path": str(root / "a.txt"), "old_string": "one", "new_string": "1"}
    call = {"tool_name": "Edit", "tool_input": edit, "tool_use_id": "edit"}
    assert answer(root, "first", "PreToolUse", **call) == {}
    (root / "a.txt").write_text("1\n")
    answer(root, "first", "PostToolUse", **call, tool_response={})
    died = (root / ".coagent" / "daemon.lock").read_text()

    found = told(answer(root, "second", "UserPromptSubmit", prompt="go on"))

    assert (root / ".coagent" / "daemon.lock").read_text() != died
    assert "may not have reached you" in found
    assert "read_file a.txt" in found
    assert told(answer(root, "second", "UserPromptSubmit", prompt="go on")) == ""
    assert told(answer(root, "first", "UserPromptSubmit", prompt="go on")) == ""
