"""What holds for every command: help, errors, exit codes, streams."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import coagent, environment

import coagent as package
from coagent.cli import main as cli
from coagent_lab.cli.bench import BENCHMARKS

COMMANDS = [(name,) for name in cli.COMMANDS] + [("bench", name) for name in BENCHMARKS]


def test_help_lists_all_commands_and_imports_none() -> None:
    code = (
        "import sys\nfrom coagent.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "heavy = ('rich', 'coagent.runs', 'coagent.demos', 'coagent_lab', 'kube_emulator')\n"
        "print('imported', [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("imported []\n")
    for name, lazy in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(lazy.help)}$", done.stdout, re.M), done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples(command: tuple[str, ...]) -> None:
    done = coagent(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"Examples:\n +coagent {' '.join(command)}", done.stdout), done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert coagent(*command, "-h").stdout == done.stdout


def test_the_version_is_shown() -> None:
    done = coagent("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"coagent (\d+\.\d+.*|\(run from its source\))\n", done.stdout)


def test_no_command_is_bad_usage_and_shows_the_help() -> None:
    done = coagent()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("dmeo",), "There is no command 'dmeo'. Did you mean 'demo'?"),
        (("xyzzy",), "There is no command 'xyzzy'. There are: demo, run, "),
        (("bench", "overhed"), "There is no command 'overhed'. Did you mean 'overhead'?"),
        (("--no-such-option",), "--no-such-option"),
        (("demo", "canry"), "there is no demo 'canry'\n       Did you mean 'canary'?"),
        (("demo", "repo", "--protocol", "mtop"), "there is no protocol 'mtop'\n       Did you mean 'mtpo'?"),
        (("demo", "repo", "--seed", "-1"), "--seed"),
        (("run", "nowhere.toml"), "'nowhere.toml' cannot be read"),
    ],
)
def test_bad_usage_gives_2_and_names_what_is_nearest(arguments: tuple[str, ...], said: str) -> None:
    done = coagent(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def _ending_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    def failing() -> None:
        raise error

    monkeypatch.setattr("coagent.cli.demo.demo", failing)
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "demo"])
    return ended.value.code


def _group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("unhandled errors in a TaskGroup", list(errors))


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (
            package.LogError("the log is gone", "Look for it."),
            1,
            "error: the log is gone\n       Look for it.\n",
        ),
        (package.ConfigurationError("[no] such thing"), 2, "error: [no] such thing\n"),
        (_group(ValueError("x"), _group(package.LogError("full"))), 1, "error: full\n"),
        (ValueError("what"), 1, "error: ValueError: what\n       It was not foreseen: --debug shows"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_errors_are_told_without_a_traceback(
    error: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _ending_with(error, monkeypatch) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(told)
    assert "Traceback" not in err


def test_debug_shows_where_an_error_comes_from() -> None:
    for arguments in (("--debug", "run", "nowhere.toml"), ("run", "nowhere.toml", "--debug")):
        done = coagent(*arguments)
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert "coagent/runs/" in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "coagent", "demo", "repo"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


def test_an_interrupt_ends_with_130_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "print('begun', flush=True)\nimport threading\nthreading.Event().wait()\n"
    )
    (tmp_path / "run.toml").write_text(
        '[[targets]]\nkind = "memory"\n[tools]\nmodules = ["slow.py"]\n'
        '[[agents]]\nname = "A"\nscript = "slow.py:x"\n'
    )
    # A shell that starts the tests in the background has them, and so their children, ignore interrupts.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, sys.executable, "-m", "coagent", "run", "run.toml"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, "error: interrupted\n")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_that_want_it(variables: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "coagent", "demo", "canry"]
    process = subprocess.run(
        command,
        env=environment(TERM="xterm-256color", **variables),
        stdout=theirs,
        stderr=theirs,
        check=False,
    )
    told = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 2
    assert ("\x1b[" in told) == coloured
    assert "there is no demo 'canry'" in told


def test_the_list_of_demos_as_json() -> None:
    done = coagent("demo", "--json")
    assert done.returncode == 0
    assert [one["name"] for one in json.loads(done.stdout)["demos"]] == ["canary", "repo"]
