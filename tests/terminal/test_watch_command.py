"""`coagent watch` as it is typed: in a terminal of its own, without one, and without Textual."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import commands
import pytest
from domain_worker import Worker, at_work, domain_worker

WAIT_S = 30


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with domain_worker(tmp_path) as worker:
        yield worker


class Tmux:
    """A real terminal of 80 by 24, on a server of its own."""

    def __init__(self, socket: Path, command: str, cwd: Path, **more: str) -> None:
        self._socket = socket
        environment = commands.environment(LC_ALL="C.UTF-8", TERM="xterm-256color", **more)
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(cwd), command, env=environment)

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["tmux", "-f", os.devnull, "-S", str(self._socket), *arguments],
            capture_output=True,
            text=True,
            env=env,
            timeout=WAIT_S,
            check=False,
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def until(self, seen: Callable[[str], bool]) -> str:
        until = monotonic() + WAIT_S
        while True:
            text = self._tmux("capture-pane", "-p")
            if seen(text):
                return text
            assert monotonic() < until, text

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
@pytest.mark.parametrize("no_colour", ["", "1"])
def test_it_works_in_a_real_terminal_and_leaves_it_as_it_was(
    worker: Worker, tmp_path: Path, no_colour: str
) -> None:
    at_work(worker)
    command = f"{sys.executable} -m coagent watch; echo ended with $?; exec cat"
    terminal = Tmux(tmp_path / "tmux", command, worker.folder, NO_COLOR=no_colour)
    try:
        terminal.until(lambda text: "2 agents: 1 active, 1 finished" in text and "waits for A" in text)
        worker.do("write_file", "A", {"path": "a.txt", "content": "three\n"})
        terminal.until(lambda text: "1 to read" in text)
        terminal.press("?")
        terminal.until(lambda text: "The signs of steps" in text)
        terminal.press("C-c")
        text = terminal.until(lambda text: "ended with" in text)
        assert "ended with 0" in text
        assert "── steps" not in text
    finally:
        terminal.close()


def test_without_a_terminal_it_says_what_to_use_instead(worker: Worker) -> None:
    done = worker.coagent("watch")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "coagent log --follow" in done.stderr
    assert "coagent status --watch" in done.stderr


IN_A_TERMINAL = """
import sys
for stream in (sys.stdin, sys.stdout, sys.stderr):
    stream.isatty = lambda: True
{before}
from coagent.cli.main import main
main({arguments!r})
"""


def in_a_terminal(folder: Path, *arguments: str, before: str = "", **more: str) -> str:
    """Run a command that ends before it draws, as if in a terminal; returns what it says of its error."""
    script = IN_A_TERMINAL.format(before=before, arguments=["watch", *arguments])
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=commands.environment(TERM="xterm", **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode in (1, 2), done.stdout
    assert "\x1b[?1049h" not in done.stdout + done.stderr, "nothing was drawn"
    return done.stderr


def test_without_textual_it_says_how_to_install_it(worker: Worker) -> None:
    said = in_a_terminal(worker.folder, before="sys.modules['textual'] = None")
    assert "pip install 'coagent-mtpo[watch]'" in said


def test_a_terminal_that_cannot_place_text_is_refused(worker: Worker) -> None:
    said = in_a_terminal(worker.folder, before="import os; os.environ['TERM'] = 'dumb'")
    assert "coagent log --follow" in said


def test_what_is_no_log_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no log" * 1000)
    (tmp_path / "x.db").chmod(0o600)
    assert "cannot be read as a log" in in_a_terminal(tmp_path, "sqlite:x.db")
    assert "in the memory of a process" in in_a_terminal(tmp_path, "memory:")
    assert "Run `coagent init`" in in_a_terminal(tmp_path, str(tmp_path))


def test_other_commands_do_not_import_textual(worker: Worker) -> None:
    script = (
        "import sys\n"
        "from coagent.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not [one for one in sys.modules if one.partition('.')[0] == 'textual']"
    )
    at_work(worker)
    for arguments in (["status"], ["log"], ["watch"], ["--help"], ["watch", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=worker.folder,
            env=commands.environment(),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert "AssertionError" not in done.stderr
        assert done.returncode == (2 if arguments == ["watch"] else 0), done.stderr
