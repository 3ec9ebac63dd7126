"""Sessions of Claude Code in a workspace of which no hook tells, seen by their processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coagent.gateways.claude.elsewhere import Elsewhere, sessions_elsewhere
from coagent.gateways.setup import workspace as setup

pytestmark = pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="processes are seen in /proc")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "shop"
    for folder in (root / "sub", root / ".claude/worktrees/one", root / "other"):
        folder.mkdir(parents=True)
    for one in (root, root / "other"):
        setup.make(one)
    return root


@pytest.fixture
def client(tmp_path: Path) -> Iterator[type]:
    """A program that is called as Claude Code is, and waits."""
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    started: list[subprocess.Popen[bytes]] = []

    class Client:
        def __new__(cls, cwd: Path) -> int:  # type: ignore[misc]
            started.append(subprocess.Popen([program, "600"], cwd=cwd))
            return started[-1].pid

    yield Client
    for process in started:
        process.kill()
        process.wait()


def test_a_session_in_a_folder_below_or_from_before_init_is_found(root: Path, client: type) -> None:
    below, before, _known = client(root / "sub"), client(root), client(root)
    found = list(sessions_elsewhere(str(root), {_known}))
    assert found == sorted([Elsewhere(below, f"{root}/sub"), Elsewhere(before, str(root))])


def test_what_works_in_its_own_worktree_another_workspace_or_elsewhere_is_not(
    root: Path, client: type
) -> None:
    for folder in (root / ".claude/worktrees/one", root / "other", root.parent):
        client(folder)
    assert list(sessions_elsewhere(str(root), ())) == []


def test_doctor_names_it_and_what_to_do(root: Path, client: type) -> None:
    pid = client(root / "sub")
    command = [sys.executable, "-m", "coagent", "doctor", str(root)]
    said = " ".join(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())
    assert f"(process {pid}) works in {root}/sub and is not governed" in said
