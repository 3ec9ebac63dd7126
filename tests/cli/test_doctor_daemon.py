"""What `coagent doctor` says of daemons: alive, killed, stopped, of another version, or something else."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctoring import daemon_pid, doctor, event, only, stopped, workspace

from coagent.cli.doctor.daemon import daemon
from coagent.cli.doctor.finding import Finding
from coagent.cli.doctor.place import find_place
from coagent.gateways.claude.hook import socket_path
from coagent.gateways.claude.stop import stop_daemon


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield workspace(tmp_path)
    stop_daemon(tmp_path)


def looked(root: Path) -> Finding:
    return only(daemon(find_place(root)))


def gone(pid: int) -> None:
    """Wait until a process has gone."""
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([descriptor], [], [], 30)[0]
    os.close(descriptor)


def test_none_is_started_by_looking(root: Path) -> None:
    assert looked(root).state == "ok"
    assert not (root / ".coagent" / "daemon.lock").exists()


def test_one_that_runs_answers_and_no_agent_joins(root: Path) -> None:
    event(root, "docs", "SessionStart")
    found = looked(root)
    assert found.state == "ok", found
    assert f"process {daemon_pid(root)}" in found.text
    assert found.text.endswith("of this version")
    code, findings = doctor(root)
    assert code == 0, findings
    assert any("1 agent at work: docs" in one["text"] for one in findings)


def test_one_that_was_killed_has_left_its_socket(root: Path) -> None:
    event(root, "docs", "SessionStart")
    gone(daemon_pid(root))
    found = looked(root)
    assert (found.state, "it was killed" in found.text) == ("warning", True)
    event(root, "docs", "UserPromptSubmit", prompt="go on")
    assert looked(root).state == "ok"


def test_one_that_hangs_is_a_problem_and_the_look_ends(root: Path) -> None:
    event(root, "docs", "SessionStart")
    pid = daemon_pid(root)
    with stopped(pid):
        found = looked(root)
    assert found.state == "problem"
    assert found.cure == f"kill {pid}"


def test_one_that_was_started_before_a_change_of_coagent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event(root, "docs", "SessionStart")
    newer = root / "package" / "__init__.py"
    newer.parent.mkdir()
    newer.touch()
    os.utime(newer, (2**32, 2**32))
    monkeypatch.setattr("coagent.__file__", str(newer))
    found = looked(root)
    assert (found.state, "before CoAgent was last changed" in found.text) == ("warning", True)


def test_one_of_another_installation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event(root, "docs", "SessionStart")
    monkeypatch.setattr("sys.executable", "/usr/bin/other-python")
    found = looked(root)
    assert (found.state, "of another installation" in found.text) == ("warning", True)


def test_a_socket_at_which_nobody_listens(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(socket_path(str(root)))
    assert looked(root).state == "warning"


def test_something_else_that_listens_there(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(socket_path(str(root)))
        other.listen()
        found = looked(root)
    assert found.state == "problem"


def test_one_that_cannot_start_says_why(root: Path) -> None:
    config = root / ".coagent" / "config.toml"
    good = config.read_text()
    config.write_text("protocol = 'none'\n")
    (root / ".coagent" / "daemon.log").write_text("error: /x: token=abcdefghijklmnop1234567890 is wrong\n")
    found = looked(root)
    config.write_text(good)
    assert found.state == "problem"
    assert "abcdefghijklmnop" not in found.text
