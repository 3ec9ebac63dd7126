"""The Bash commands of real Claude Code sessions, run by their shell prefix at their place in the order."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess

import pytest
from claude_workspace import Play, Script, Workspace, coagent
from scripted_endpoint import Turn, call

pytestmark = pytest.mark.usefixtures("claude_code")


def git(workspace: Workspace, *arguments: str) -> str:
    command = ["git", "-c", "user.name=Person", "-c", "user.email=person@localhost", *arguments]
    return subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(workspace: Workspace) -> Workspace:
    """The workspace, with a first commit of a file for each of four."""
    for name in "abcd":
        (workspace.root / f"{name}.txt").write_text(f"{name}\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "first")
    return workspace


def bash(command: str, **more: object) -> object:
    return call("Bash", command=command, description="Run it", **more)


def answered(turn: Turn) -> str:
    assert not turn.result.is_error, turn.result.text
    return turn.result.text


def committer(workspace: Workspace, name: str, turns: list[str], sessions: int) -> Script:
    """Changes its own file and commits all, when its turn has come."""

    def script(turn: Turn) -> Play:
        workspace.stage.meet("all are here", sessions)
        answered((yield bash(f"echo of {name} >> {name}.txt && echo new > {name}-new.txt")))
        workspace.stage.meet("all have changed something", sessions)
        before = turns[: turns.index(name)]
        if before:
            workspace.stage.wait(f"{before[-1]} has committed")
        answered((yield bash(f"git add -A && git commit -qm 'work of {name}'")))
        shown = answered((yield bash("git show --stat --format=%s HEAD && git status --short")))
        assert f"work of {name}" in shown
        workspace.stage.give(f"{name} has committed")
        while True:
            yield "Done."

    return script


@pytest.mark.parametrize(
    "turns",
    ["ba", *(pytest.param(turns, marks=pytest.mark.long) for turns in ("ab", "abcd", "dcba"))],
)
def test_each_commit_holds_its_sessions_own_changes_in_order(repository: Workspace, turns: str) -> None:
    repository.fix_order()
    names = sorted(turns)
    sessions = [
        repository.start(name, committer(repository, name, list(turns), len(names))) for name in names
    ]
    for session in sessions:
        assert session.wait().exit_code == 0
    commits: dict[str, list[str]] = {}
    for line in git(repository, "log", "--reverse", "--format=> %s", "--name-only").splitlines():
        if line.startswith("> "):
            last = commits.setdefault(line[2:], [])
        elif line:
            last.append(line)
    assert list(commits) == ["first", *(f"work of {name}" for name in names)]
    for name in names:
        assert commits[f"work of {name}"] == [f"{name}-new.txt", f"{name}.txt"]
    assert git(repository, "status", "--short") == ""
    assert all(repository.text(f"{name}.txt") == f"{name}\nof {name}\n" for name in names)


def test_folders_links_and_the_working_directory_stay_for_the_next_command(workspace: Workspace) -> None:
    stage = workspace.stage
    (workspace.root / "src").mkdir()
    (workspace.root / "src" / "a.txt").write_text("a\n")

    def early(turn: Turn) -> Play:
        stage.wait("late has written")
        answered((yield bash("cd src")))
        assert answered((yield bash("pwd"))) == workspace.path("src")
        answered(
            (
                yield bash(
                    "mkdir -p empty/deeper && ln -s a.txt link && python3 -m venv --without-pip ../.venv"
                )
            )
        )
        text = answered(
            (yield bash("ls -d empty/deeper && cat link && test -x ../.venv/bin/python && echo there"))
        )
        assert text.splitlines() == ["empty/deeper", "a", "there"]
        yield "Done."

    def late(turn: Turn) -> Play:
        answered((yield bash("echo late > src/late.txt")))
        stage.give("late has written")
        yield "Done."

    sessions = [workspace.start("early", early), workspace.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert (workspace.root / "src" / "empty" / "deeper").is_dir()
    assert os.readlink(workspace.root / "src" / "link") == "a.txt"
    assert (workspace.root / ".venv" / "bin" / "python").exists()


def test_rules_see_the_command_as_it_was_given(repository: Workspace) -> None:
    stage = repository.stage

    def early(turn: Turn) -> Play:
        stage.wait("late has written")
        assert "first" in answered((yield bash("git log --oneline")))
        turn = yield bash("touch forbidden.txt")
        assert turn.result.is_error
        yield "Done."

    def late(turn: Turn) -> Play:
        answered((yield bash("echo late > a.txt")))
        stage.give("late has written")
        yield "Done."

    options = {"allowed": ["Bash(git log:*)"], "permission_mode": "default"}
    sessions = [repository.start("early", early, options), repository.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert not (repository.root / "forbidden.txt").exists()


def test_what_a_command_has_read_is_news_when_it_changes(workspace: Workspace) -> None:
    workspace.fix_order()
    stage = workspace.stage
    (workspace.root / "part.sh").write_text("echo 1 passed\n")
    (workspace.root / "run.sh").write_text(". ./part.sh\n")

    def early(turn: Turn) -> Play:
        stage.wait("late has run it")
        answered((yield bash("echo 'echo 1 failed' > part.sh")))
        stage.give("early has changed it")
        yield "Done."

    def late(turn: Turn) -> Play:
        assert answered((yield bash("sh run.sh"))) == "1 passed"
        stage.give("late has run it")
        stage.wait("early has changed it")
        turn = yield bash("true")
        assert "object: part.sh" in turn.shown
        assert "Bash 'sh run.sh': returns something else now" in turn.shown
        assert answered((yield bash("sh run.sh"))) == "1 failed"
        yield "Done."

    sessions = [workspace.start("early", early), workspace.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0


@pytest.mark.long
def test_a_stash_takes_the_sessions_own_work_and_keeps_it_over_turns(repository: Workspace) -> None:
    stage = repository.stage

    def early(turn: Turn) -> Play:
        yield call("Read", file_path=repository.path("a.txt"))
        yield call("Edit", file_path=repository.path("a.txt"), old_string="a", new_string="A")
        stage.give("early has edited")
        stage.wait("late has stashed")
        yield "Done."

    def late(turn: Turn) -> Play:
        stage.wait("early has edited")
        answered((yield bash("echo mine > mine.txt && git stash -u")))
        assert answered((yield bash("cat a.txt; test -e mine.txt || echo gone"))) == "A\ngone"
        answered((yield bash("git stash pop")))
        assert answered((yield bash("cat mine.txt"))) == "mine"
        stage.give("late has stashed")
        yield "Done."

    sessions = [repository.start("early", early), repository.start("late", late)]
    for session in sessions:
        assert session.wait().exit_code == 0
    assert (repository.text("a.txt"), repository.text("mine.txt")) == ("A\n", "mine\n")


def test_what_a_session_leaves_stashed_is_in_the_repository_when_it_has_ended(repository: Workspace) -> None:
    def script(turn: Turn) -> Play:
        answered((yield bash("echo later > later.txt && git stash -u -m 'for later'")))
        yield "Done."

    assert repository.start("worker", script).wait().exit_code == 0
    coagent(repository.root, "status")
    assert "for later" in git(repository, "stash", "list")


def test_streams_codes_and_variables_are_those_of_a_plain_shell(workspace: Workspace) -> None:
    def script(turn: Turn) -> Play:
        turn = yield bash("echo out; echo err >&2; exit 7")
        assert turn.result.is_error
        assert turn.result.text.splitlines() == ["Exit code 7", "out", "err"]
        assert answered((yield bash("echo $MINE; (cd /; pwd); echo kept > $TMPDIR/kept"))) == "7\n/"
        assert answered((yield bash("cat $TMPDIR/kept"))) == "kept"
        assert answered((yield bash("cat <<'E'\nit's \"quoted\"\nE\n"))) == 'it\'s "quoted"'
        yield "Done."

    assert workspace.start("worker", script, MINE="7").wait().exit_code == 0


def test_output_comes_while_the_command_runs(workspace: Workspace) -> None:
    fifo = workspace.root.with_name(f"{workspace.root.name}-fifo")
    os.mkfifo(fifo)

    def script(turn: Turn) -> Play:
        told = answered(
            (yield bash(f"echo first; cat {fifo} > /dev/null; echo last", run_in_background=True))
        )
        output = told.partition("written to: ")[2].partition(". You")[0]
        while "first" not in (text := answered((yield call("Read", file_path=output)))):
            pass
        assert "last" not in text
        fifo.write_text("go on")
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0


@pytest.mark.long
def test_a_server_in_the_background_sees_each_edit_and_writes_as_its_session(workspace: Workspace) -> None:
    page = workspace.root / "page.txt"
    page.write_text("first\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fetch = f"until curl -s --noproxy '*' 127.0.0.1:{port}/page.txt; do sleep 0.1; done"

    def script(turn: Turn) -> Play:
        serve = f"echo {port} > port.txt; exec python3 -m http.server --bind 127.0.0.1 {port}"
        turn = yield bash(serve, run_in_background=True)
        assert "keeps seeing what you write" in turn.shown
        task = re.search(r"ID: (\w+)", turn.result.text)
        assert task is not None, turn.result.text
        assert answered((yield bash(fetch))) == "first"
        yield call("Read", file_path=workspace.path("page.txt"))
        yield call("Edit", file_path=workspace.path("page.txt"), old_string="first", new_string="second")
        assert answered((yield bash(fetch))) == "second"
        yield call("TaskStop", task_id=task[1])  # newer clients wait for it before they end
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0
    assert page.read_text() == "second\n"
    assert "port.txt" in coagent(workspace.root, "log", "--key", "file:port.txt", "--agent", "worker")


def test_what_a_command_did_until_it_was_ended_is_kept(workspace: Workspace) -> None:
    def script(turn: Turn) -> Play:
        turn = yield bash("echo half > half.txt; sleep 1000", timeout=1000)
        # A newer client puts it into the background, and ends it when it is told to.
        if moved := re.search(r"moved to the background \(ID: (\w+)\)", turn.result.text):
            yield call("TaskStop", task_id=moved[1])
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0
    assert workspace.text("half.txt") == "half\n"


@pytest.mark.parametrize("on_failure", ["warn", "stop"])
def test_without_a_daemon_a_command_runs_with_a_word_or_is_refused(
    workspace: Workspace, on_failure: str
) -> None:
    config = workspace.root / ".coagent" / "config.toml"
    config.write_text(config.read_text().replace('on_failure = "warn"', f'on_failure = "{on_failure}"'))
    prefix = workspace.root / ".claude" / "coagent-shell"
    environment = {**os.environ, "CLAUDE_CODE_SESSION_ID": "1234", "CLAUDE_PID": str(os.getpid())}
    config.write_text(config.read_text() + "\nnonsense = 1\n")
    command = "source none 2>/dev/null || true && eval 'echo done > a.txt; exit 3' && pwd -P >| cwd"
    done = subprocess.run(
        [prefix, command], cwd=workspace.root, env=environment, capture_output=True, text=True, check=False
    )
    assert "unknown key 'nonsense'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == (3 if on_failure == "warn" else 1)
    assert (workspace.root / "a.txt").exists() == (on_failure == "warn")


def test_a_command_whose_client_ends_it_ends_at_once_and_what_it_did_is_kept(workspace: Workspace) -> None:
    begun = workspace.root.with_name(f"{workspace.root.name}-begun")
    os.mkfifo(begun)
    environment = {**os.environ, "CLAUDE_CODE_SESSION_ID": "1234", "CLAUDE_PID": str(os.getpid())}
    command = (
        f"source none || true && eval 'echo half > half.txt; echo > {begun}; sleep 1000' && pwd -P >| cwd"
    )
    prefix = workspace.root / ".claude" / "coagent-shell"
    with subprocess.Popen([prefix, command], cwd=workspace.root, env=environment) as client:
        begun.read_text()
        client.terminate()
    assert client.returncode == 128 + signal.SIGTERM
    assert workspace.text("half.txt") == "half\n"


def daemon(workspace: Workspace) -> int:
    return int((workspace.root / ".coagent" / "daemon.lock").read_text())


@pytest.mark.long
def test_what_a_command_did_until_its_daemon_was_killed_is_its_sessions_work(workspace: Workspace) -> None:
    def script(turn: Turn) -> Play:
        answered((yield bash("echo kept > kept.txt")))
        turn = yield bash(f"echo said; echo half > half.txt; kill -9 {daemon(workspace)}; sleep 1000")
        assert turn.result.is_error
        assert "said" in turn.result.text
        assert "What it had changed is kept: half.txt." in turn.result.text
        assert answered((yield bash("cat kept.txt half.txt"))) == "kept\nhalf"
        coagent(workspace.root, "undo", "worker", "--yes")
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0
    assert not (workspace.root / "half.txt").exists()
    assert not (workspace.root / "kept.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_command_did_until_its_daemon_ended_is_kept(
    workspace: Workspace, number: signal.Signals
) -> None:
    (workspace.root / "a.txt").write_text("a\n")
    (workspace.root / "gone.txt").write_text("gone\n")
    begun = workspace.root.with_name(f"{workspace.root.name}-begun")
    os.mkfifo(begun)
    environment = {**os.environ, "CLAUDE_CODE_SESSION_ID": "1234", "CLAUDE_PID": str(os.getpid())}
    made = "echo said; echo b > a.txt; rm gone.txt; mkdir empty; ln -s a.txt link"
    command = f"source none || true && eval '{made}; echo > {begun}; sleep 1000' && pwd -P >| cwd"
    prefix = [workspace.root / ".claude" / "coagent-shell", command]
    with subprocess.Popen(
        prefix, cwd=workspace.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        begun.read_text()
        os.kill(daemon(workspace), number)
        output, errors = client.communicate()
    assert client.returncode in (128 + number, 128 + signal.SIGKILL)
    assert output == "said\n"
    assert ("is kept: a.txt, empty, gone.txt, link" in errors) == (number == signal.SIGKILL), errors
    assert workspace.text("a.txt") == "b\n"
    assert not (workspace.root / "gone.txt").exists()
    assert (workspace.root / "empty").is_dir()
    assert os.readlink(workspace.root / "link") == "a.txt"


def test_a_daemon_that_is_killed_between_hooks_loses_nothing(workspace: Workspace) -> None:
    def script(turn: Turn) -> Play:
        answered((yield bash("echo one > one.txt")))
        os.kill(daemon(workspace), signal.SIGKILL)
        answered((yield bash("cat one.txt && echo two > two.txt")))
        coagent(workspace.root, "undo", "worker", "--yes")
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0
    assert not (workspace.root / "one.txt").exists()
    assert not (workspace.root / "two.txt").exists()


def test_what_init_has_made_is_in_no_commit(workspace: Workspace) -> None:
    def script(turn: Turn) -> Play:
        answered((yield bash("echo a > a.txt && git add -A && git commit -qm all")))
        yield "Done."

    assert workspace.start("worker", script).wait().exit_code == 0
    assert git(workspace, "ls-files").split() == ["a.txt"]
    assert git(workspace, "status", "--short") == ""
