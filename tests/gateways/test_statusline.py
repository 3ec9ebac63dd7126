"""`coagent statusline`: one line, from the daemon where it knows, else from the log; and it never fails."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from client import FakeClient
from commands import coagent, environment

from coagent.config.domain_file import ClaudeTable
from coagent.gateways.claude.hook import socket_path
from coagent.gateways.claude.hub import Hub
from coagent.gateways.claude.sessions import Sessions
from coagent.gateways.claude.statusline import NOT_HERE, describe, line
from coagent.gateways.claude.workspace import open_workspace
from coagent.gateways.setup import workspace as setup
from coagent.runtime.domain import Domain
from coagent.runtime.place_in_order import place_in_order


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Shared:
    """A workspace that sessions are at work in, by way of the hub."""

    def __init__(self, root: Path, domain: Domain, sessions: Sessions) -> None:
        self.root, self.domain, self.sessions = root, domain, sessions

    def session(self, name: str) -> FakeClient:
        return FakeClient(self.sessions, self.root, name, random.Random(1))

    async def line(self, session: str) -> str:
        return await anyio.to_thread.run_sync(line, given(self.root, session))


def given(root: Path, session: str) -> str:
    """Return what the client gives: some of it is for others."""
    folders = {"current_dir": str(root), "project_dir": str(root), "added_dirs": []}
    return json.dumps(
        {"session_id": session, "cwd": str(root), "workspace": folders, "model": {"id": "m"}, "cost": {}}
    )


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    file = setup.make(tmp_path)
    file.write_text('order = "fixed"\n' + file.read_text())
    (tmp_path / "a.txt").write_text("one\n")
    domain, tree, _, *more = open_workspace(tmp_path)
    async with domain:
        hub = Hub(domain, tree, ClaudeTable(wait_s=0), *more)
        yield Shared(tmp_path, domain, Sessions(hub, tmp_path / ".coagent" / "sessions.json"))


@pytest.mark.anyio
async def test_the_place_notices_and_whom_a_session_waits_for(shared: Shared) -> None:
    docs, tests = shared.session("docs"), shared.session("tests")
    for one in (docs, tests):
        await one.hook("SessionStart")
    assert await shared.line("docs") == "coagent: 1st of 2"
    assert await tests.read("a.txt") == "one\n"
    await docs.read("a.txt")
    await docs.tool("Write", file_path=str(shared.root / "a.txt"), content="two\n")
    assert await shared.line("tests") == "coagent: 2nd of 2 · 1 notice"
    await tests.read("a.txt")
    while await tests.stop():
        pass
    assert await shared.line("tests") == "coagent: 2nd of 2 · waits for docs"
    assert await shared.line("elsewhere") == "coagent: not at work, 2 others are"


@pytest.mark.anyio
async def test_a_daemon_that_knows_is_asked_and_the_log_left_alone(shared: Shared) -> None:
    await shared.session("docs").hook("SessionStart")
    asked: list[dict[str, Any]] = []

    def listen(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            asked.append(json.loads(connection.makefile().readline()))
            answer = place_in_order(shared.domain.kernel, asked[0]["place_of"])
            connection.sendall(json.dumps({"answer": answer}).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(socket_path(str(shared.root)))
        server.listen()
        thread = threading.Thread(target=listen, args=(server,), daemon=True)
        thread.start()
        config = shared.root / ".coagent" / "config.toml"
        config.write_text("log = 'memory:'")  # of which nothing can be read
        assert await shared.line("docs") == "coagent: 1st of 1"
        thread.join(10)
    assert asked == [{"place_of": "docs"}]


def test_the_line_in_all_its_forms() -> None:
    here = {"of": 12, "stuck": 0, "place": 11, "finished": False, "notices": 0, "waits_for": []}
    assert describe(here) == "coagent: 11th of 12"
    assert (
        describe({**here, "place": 3, "notices": 2, "stuck": 1}) == "coagent: 3rd of 12 · 2 notices · 1 stuck"
    )
    waiting = {**here, "place": 4, "finished": True, "waits_for": ["a", "b", "c"]}
    assert describe(waiting) == "coagent: 4th of 12 · waits for a, b and 1 more"
    assert describe({**here, "place": 1, "finished": True}) == "coagent: 1st of 12 · finished"
    assert describe({"of": 0, "stuck": 0}) == "coagent: not at work"
    assert describe({"of": 0, "stuck": 2}, has_session=False) == "coagent: nobody at work · 2 stuck"
    assert describe({"of": 1, "stuck": 0}) == "coagent: not at work, one other is"


def typed(root: Path, text: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "coagent", "statusline"],
        cwd=root,
        env=environment(PYTHONIOENCODING="utf-8"),
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"x"', "null", '{"cwd": 3}', '{"workspace": [], "cwd": "/"}']
)
def test_what_cannot_be_made_sense_of_is_no_failure(tmp_path: Path, text: str) -> None:
    code, out, err = typed(tmp_path, text)
    assert (code, err) == (0, "")
    assert out in ("", f"{NOT_HERE}\n")


@pytest.mark.parametrize("damage", ["log", "config", "sessions", "locked"])
def test_damage_is_no_failure(tmp_path: Path, damage: str) -> None:
    folder = setup.make(tmp_path).parent
    if damage == "log":
        (folder / "log.db").write_bytes(b"no database" * 100)
    elif damage == "config":
        (folder / "config.toml").write_text("= = =")
    elif damage == "sessions":
        (folder / "sessions.json").write_text("[1")
    else:
        (folder / "daemon.sock").mkdir()
    code, out, err = typed(tmp_path, given(tmp_path, "x"))
    assert (code, err) == (0, "")
    assert out in ("", "coagent: not at work\n")


def test_a_daemon_that_hangs_or_was_killed_is_no_failure(tmp_path: Path) -> None:
    assert coagent("init", str(tmp_path)).returncode == 0
    event = {"session_id": "docs", "cwd": str(tmp_path), "hook_event_name": "SessionStart"}
    hook = Path(sys.modules["coagent.gateways.claude.hook"].__file__ or "")
    subprocess.run([sys.executable, "-IS", str(hook)], input=json.dumps(event), text=True, check=True)
    pid = int((tmp_path / ".coagent" / "daemon.lock").read_text())
    assert typed(tmp_path, given(tmp_path, "docs"))[1] == "coagent: 1st of 1\n"
    os.kill(pid, signal.SIGSTOP)
    try:
        assert typed(tmp_path, given(tmp_path, "docs")) == (0, "coagent: 1st of 1\n", "")
    finally:
        os.kill(pid, signal.SIGKILL)
    assert typed(tmp_path, given(tmp_path, "docs")) == (0, "coagent: 1st of 1\n", "")


def test_names_steer_no_terminal_and_secrets_are_masked(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").touch()
    answer = {"of": 2, "stuck": 0, "place": 2, "finished": True, "notices": 0, "waits_for": ["\x1b[2J\r"]}

    def listen(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.makefile().readline()
            connection.sendall(json.dumps({"answer": answer}).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".coagent" / "daemon.sock"))
        server.listen()
        threading.Thread(target=listen, args=(server,), daemon=True).start()
        _, out, _ = typed(tmp_path, given(tmp_path, "x"))
    assert out == "coagent: 2nd of 2 · waits for ?[2J?\n"


def test_it_imports_little(tmp_path: Path) -> None:
    (tmp_path / ".coagent").mkdir()
    (tmp_path / ".coagent" / "config.toml").touch()
    code = (
        "import sys; from coagent.gateways.claude.statusline import main; main();"
        "print(sorted(one for one in sys.modules if one.startswith('coagent')))"
        "; print([one for one in ('typing', 'socket', 'subprocess', 'typer') if one in sys.modules])"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-IS",
            "-c",
            f"import sys; sys.path.insert(0, {environment()['PYTHONPATH']!r}); {code}",
        ],
        cwd="/",
        input=json.dumps({"cwd": "/"}),
        capture_output=True,
        text=True,
        check=True,
    )
    said, ours, heavy = done.stdout.splitlines()
    assert said == NOT_HERE
    assert (
        ours
        == "['coagent', 'coagent.gateways', 'coagent.gateways.claude', 'coagent.gateways.claude.statusline']"
    )
    assert heavy == "[]"
