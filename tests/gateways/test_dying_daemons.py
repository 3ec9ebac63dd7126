"""A daemon that dies while it answers a hook: the next one tells again, and does what has not been done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coagent.gateways.claude import hook
from coagent.gateways.claude.stop import stop_daemon

HOOK = "import sys; sys.path.append(sys.argv[1]); import hook; hook.main()"
DIES = """
import os, signal, sys
from coagent.gateways.claude import daemon
from coagent.gateways.claude.session import ClaudeSession
from coagent.runtime.recorder import Recorder

tell, after, when = Recorder._tell, ClaudeSession.after, sys.argv[2]

def die(now):
    if now == when:
        os.kill(os.getpid(), signal.SIGKILL)

def dies(recorder, event):
    die(getattr(event, "tool", type(event).__name__))
    tell(recorder, event)

async def dies_after(session, event):
    die("after " + event["tool_name"])
    return await after(session, event)

Recorder._tell, ClaudeSession.after = dies, dies_after
daemon.main()
"""


@contextmanager
def daemon_that_dies(root: Path, when: str) -> Iterator[str]:
    """Have a workspace whose daemon dies, the first time that something is so.

    Args:
        root: The workspace.
        when: A tool or kind of event that it has recorded, or "after TOOL": when a session has used that.

    Returns:
        What names the daemon.
    """
    (root / "a.txt").write_text("one\n")
    subprocess.run([sys.executable, "-m", "coagent", "init"], cwd=root, check=True, capture_output=True)
    with subprocess.Popen([sys.executable, "-c", DIES, str(root), when], cwd=root) as process:
        while not (root / ".coagent" / "daemon.sock").exists():
            assert process.poll() is None
        try:
            yield str(process.pid)
        finally:
            stop_daemon(root)
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


def edit(root: Path, session: str) -> str:
    """Edit a file as the client does; returns what its session is told."""
    given = {"file_path": str(root / "a.txt"), "old_string": "one", "new_string": "1"}
    call = {"tool_name": "Edit", "tool_input": given, "tool_use_id": "edit"}
    assert answer(root, session, "PreToolUse", **call) == {}
    (root / "a.txt").write_text("1\n")
    return told(answer(root, session, "PostToolUse", **call, tool_response={}))


def daemon(root: Path) -> str:
    return (root / ".coagent" / "daemon.lock").read_text()


def recorded(root: Path) -> list[str]:
    """Return what the log says of calls that have written, and of outsiders."""
    command = [sys.executable, "-m", "coagent", "log", "--json"]
    lines = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    written = [one for one in found if " wrote " in one["text"] or one["kind"] == "outside"]
    return [f"{one['agent']} {one['kind']}" for one in written]


def test_what_a_daemon_told_before_it_died_is_told_again_by_the_next(tmp_path: Path) -> None:
    with daemon_that_dies(tmp_path, "NoticesDelivered") as died:
        answer(tmp_path, "first", "SessionStart")
        answer(tmp_path, "second", "SessionStart")
        read(tmp_path, "first")
        read(tmp_path, "second")
        assert edit(tmp_path, "first") == ""
        assert daemon(tmp_path) == died
        found = told(answer(tmp_path, "second", "UserPromptSubmit", prompt="go on"))
        assert daemon(tmp_path) != died
        assert "may not have reached you" in found
        assert "read_file a.txt" in found
        assert told(answer(tmp_path, "second", "UserPromptSubmit", prompt="go on")) == ""
        assert told(answer(tmp_path, "first", "UserPromptSubmit", prompt="go on")) == ""


@pytest.mark.parametrize("when", ["after Edit", pytest.param("edit_file", marks=pytest.mark.long)])
def test_an_edit_whose_daemon_dies_before_or_after_it_was_recorded_is_recorded_once(
    tmp_path: Path, when: str
) -> None:
    with daemon_that_dies(tmp_path, when) as died:
        answer(tmp_path, "first", "SessionStart")
        answer(tmp_path, "second", "SessionStart")
        read(tmp_path, "first")
        read(tmp_path, "second")
        assert edit(tmp_path, "first") == ""
        assert daemon(tmp_path) != died
        assert recorded(tmp_path) == ["first call"]
        assert "a.txt" in told(answer(tmp_path, "second", "UserPromptSubmit", prompt="go on"))
