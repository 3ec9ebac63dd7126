"""Commands that only look, and that nobody follows, run in the same bounds as all others."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest_sandbox import needs_views

from coagent.systems.shell.views.confined import Confined, Frame
from coagent.systems.shell.views.launch_server import LaunchServer
from coagent.systems.shell.views.snapshot import Snapshots

pytestmark = needs_views

_ANY = r"(?m)^(SHLVL|_|TMPDIR)=.*$"


@pytest.fixture
def run(workspace: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """Give what runs a command without following it, as one that only looks or as any other."""
    snapshots = Snapshots(str(workspace), workspace / ".coagent/snapshots", lambda path: path[:1] == ".")
    lower = snapshots.take()

    def run(*argv: str, looks: bool = True, program: str | None = None) -> tuple[int, str]:
        server = LaunchServer()
        scratch = Path(tempfile.mkdtemp(prefix="coagent-test-"))
        view = Confined(Frame(str(workspace)), lower, scratch, trace=False)
        view.prepare({})
        if looks:
            view.expect_only_reads()
        view.spec(argv, str(workspace), {**os.environ, "KNOWN": "é"}, program)
        try:
            with tempfile.TemporaryFile() as output:
                code = server.run(view, output, 60)
                output.seek(0)
                said = output.read().decode()
                assert view.outcome() == (True, None), said
                return code, said
        finally:
            server.close()
            view.remove()

    yield run
    snapshots.close()


def _both(run: Callable[..., tuple[int, str]], command: str) -> tuple[str, str]:
    (one, said), (other, said_too) = (run("bash", "-c", command, looks=looks) for looks in (True, False))
    assert (one, other) == (0, 0)
    return said, said_too


@pytest.mark.parametrize(
    "command",
    [
        "grep -E '^(Cap|SigBlk|NoNewPrivs|Umask)' /proc/self/status",
        "ulimit -a",
        "ls /proc/self/fd | wc -l; readlink /proc/self/fd/0; test -w /proc/self/fd/1",
        "cut -d' ' -f5,6 /proc/$$/stat | tr ' ' '\\n' | sort -u | wc -l; pwd; id -u",
        "cat /proc/net/dev | wc -l; ls /run",
    ],
)
def test_its_bounds_are_those_of_any_other(run: Callable[..., tuple[int, str]], command: str) -> None:
    one, other = _both(run, command)
    assert one == other != ""


def test_its_variables_are_those_of_any_other(run: Callable[..., tuple[int, str]]) -> None:
    one, other = (re.sub(_ANY, "", said) for said in _both(run, "env | sort"))
    assert one == other
    assert "KNOWN=é\n" in one
    assert "GIT_CONFIG_COUNT=2\n" in one


def test_it_leads_a_session_in_a_namespace_of_processes_of_its_own(
    run: Callable[..., tuple[int, str]],
) -> None:
    for _ in range(10):  # each time at once after its namespaces were made
        code, said = run("bash", "-c", "cut -d' ' -f1,4,6 /proc/$$/stat; ls -d /proc/[0-9]* | wc -l")
        (pid, parent, session), count = said.split("\n")[0].split(), int(said.split("\n")[1])
        assert (code, parent, session) == (0, "0", pid)
        assert pid == "3"  # after the first of them, and the one that waits to be followed
        assert count < 8


@pytest.mark.parametrize(
    "how", ["sleep 1000 &", "(setsid sleep 1000 &)", "setsid bash -c 'sleep 1000 & sleep 999' &"]
)
def test_what_it_leaves_in_the_background_has_ended_when_its_answer_comes(
    run: Callable[..., tuple[int, str]], how: str, tmp_path: Path
) -> None:
    lock = tmp_path / "held"
    lock.touch()
    code, said = run("bash", "-c", f"exec 9<{lock}; flock -s 9; {how}\necho begun")
    assert (code, said) == (0, "begun\n")
    with open(lock) as file:
        assert os.system(f"flock -n -x {lock} true") == 0
        assert not file.read()


@pytest.mark.parametrize("name", ["PIPE", "XFSZ", "INT", "CHLD"])
def test_it_ignores_the_signals_that_any_other_ignores(
    run: Callable[..., tuple[int, str]], name: str
) -> None:
    ends = [run("bash", "-c", f"kill -{name} $$", looks=looks)[0] for looks in (True, False)]
    assert ends[0] == ends[1]
    assert (ends[0] == 0) == (name == "CHLD")


def test_its_end_by_a_signal_is_told_as_a_shell_tells_it(run: Callable[..., tuple[int, str]]) -> None:
    assert run("bash", "-c", "kill -9 $$")[0] == 128 + 9
    assert run("bash", "-c", "exit 7")[0] == 7


def test_a_program_that_cannot_be_begun_is_named_as_the_reason(run: Callable[..., tuple[int, str]]) -> None:
    for looks in (True, False):
        code, said = run("none", looks=looks, program="/usr/bin/there-is-none-such")
        assert code == 125
        assert said == "the command cannot be begun: No such file or directory\n"
