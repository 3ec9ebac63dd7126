"""The shell of a session, without a client: what outlives a turn, and what a command meets that runs on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from client import FakeClient

from coagent.errors import LogError
from coagent.gateways.claude import background
from coagent.gateways.claude.hub import Hub
from coagent.gateways.claude.sessions import Sessions
from coagent.gateways.claude.workspace import open_workspace
from coagent.gateways.setup import workspace as setup
from coagent.protocol.calls import TOP
from coagent.systems.shell.streams import Streams

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Shell(FakeClient):
    """A session whose commands come by the prefix."""

    async def run(
        self,
        command: str,
        gone: anyio.Event | None = None,
        *,
        batch: bool = True,
        in_background: bool = False,
        asks: bool = True,
    ) -> tuple[int, str]:
        given: dict[str, Any] = {"command": command, "run_in_background": in_background}
        call: dict[str, Any] = {"tool_name": "Bash", "tool_input": given, "tool_use_id": "1"}
        if asks:
            await self.hook("PreToolUse", **call)
        quoted = command.replace("'", "'\\''")
        message = {
            "command": f"source none 2>&- || true && eval '{quoted}' < /dev/null && pwd -P >| /dev/null",
            "run": os.urandom(4).hex(),
            "session_id": self.name,
            "pid": os.getpid(),
            "cwd": str(self.root),
            "environment": {**os.environ, **self.environment},
        }
        with tempfile.TemporaryFile() as output:
            streams = Streams(os.dup(output.fileno()), os.dup(output.fileno()), 30_000)
            try:
                answer: dict[str, Any] = await self.sessions.command(message, streams, gone or anyio.Event())
            finally:
                streams.close()
            output.seek(0)
            said = output.read().decode() + answer.get("says", "")
        if answer.get("plain"):  # as the prefix does
            done = subprocess.run(
                command, shell=True, cwd=self.root, capture_output=True, text=True, check=False
            )
            answer, said = {"exit_code": done.returncode}, done.stdout + done.stderr
        if batch:
            await self.hook("PostToolUse", **call, tool_response={"stdout": said, "stderr": ""})
        return answer["exit_code"], said


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Sessions]:
    setup.make(root)
    domain, tree, file, shell = open_workspace(root)
    assert shell is not None
    async with domain:
        yield Sessions(Hub(domain, tree, file.claude, shell), root / ".coagent" / "sessions.json")


def client(sessions: Sessions, root: Path, name: str) -> Shell:
    shell = Shell(sessions, root, name, Random(0))
    shell.environment["CLAUDE_CODE_SHELL_PREFIX"] = "/any/coagent-shell"
    return shell


@pytest.fixture
def root(tmp_path: Path) -> Path:
    commands = (
        "git init -q && echo a > a.txt && git add -A && git -c user.name=P -c user.email=p@x commit -qm first"
    )
    subprocess.run(commands, shell=True, cwd=tmp_path, check=True)
    return tmp_path


async def test_what_was_stashed_and_staged_is_there_in_the_next_turn(root: Path) -> None:
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        assert await one.run(
            "echo later > later.txt && git stash -qu && echo now > now.txt && git add now.txt"
        ) == (0, "")
        assert await one.stop() == ""
        assert (await one.run("git stash list"))[1].startswith("stash@{0}")
        assert await one.run("git commit -qm now && git show --format= --name-only") == (0, "now.txt\n")
        assert (await one.run("git stash pop -q && cat later.txt"))[1].endswith("later\n")


async def test_what_a_command_did_until_its_client_gave_up_is_kept(root: Path) -> None:
    async with opened(root) as sessions:
        one, gone = client(sessions, root, "one"), anyio.Event()
        begun = root.with_name(f"{root.name}-begun")
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                await there(begun)
                gone.set()

            tasks.start_soon(give_up)
            code, _ = await one.run(f"echo half > half.txt; touch {begun}; sleep 1000", gone)
        assert code in (137, 143)
        assert (root / "half.txt").read_text() == "half\n"


async def there(path: Path) -> None:
    while not path.exists():
        await anyio.sleep(0.01)


async def test_a_command_that_outlives_its_turn_belongs_to_the_next(root: Path) -> None:
    begun, go = root.with_name(f"{root.name}-begun"), root.with_name(f"{root.name}-go")
    command = f"touch {begun}; until test -e {go}; do sleep 0.01; done; cp a.txt b.txt"
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                assert (await one.run(command, batch=False))[0] == 0

            tasks.start_soon(run)
            await there(begun)
            assert await one.stop() == ""
            go.touch()
        assert (root / "b.txt").read_text() == "a\n"
        assert {agent.phase.value for agent in sessions._hub.domain.agents} == {"committed"}


@pytest.mark.parametrize(("written", "seen"), [("other.txt", "a\n"), ("a.txt", "changed\n")])
async def test_what_happens_meanwhile_makes_no_command_run_twice_for_its_client(
    root: Path, written: str, seen: str
) -> None:
    """Where it has seen nothing of it, it stands; else it runs again unheard, and its agent is told so."""
    begun, go = root.with_name(f"{root.name}-begun"), root.with_name(f"{root.name}-go")
    count = root.with_name(f"{root.name}-count")
    command = f"echo . >> {count}; touch {begun}; until test -e {go}; do sleep 0.01; done; cat a.txt"
    results: list[tuple[int, str]] = []
    async with opened(root) as sessions:
        first, second = client(sessions, root, "first"), client(sessions, root, "second")
        await first.hook("SessionStart", source="startup")
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                results.append(await second.run(command))

            tasks.start_soon(run)
            await there(begun)
            assert (await first.run(f"echo changed > {written}"))[0] == 0
            go.touch()
    assert results[0][0] == 0
    assert results[0][1].endswith(seen)
    assert ("it ran again" in results[0][1].replace("\n", " ")) == (written == "a.txt")
    assert count.read_text() == ".\n"


async def test_what_the_first_command_needs_is_there_before_it(root: Path) -> None:
    async with opened(root) as sessions:
        shell = sessions._hub.shell
        assert shell is not None
        one = client(sessions, root, "one")
        assert not sessions.commanding.is_set()
        await one.hook("SessionStart", source="startup")
        assert sessions.commanding.is_set()
        await shell.prepare()
        runner = shell.runner
        made = runner._snapshots.generation, runner._git.foreign.looked, runner._git.indexes.made
        assert runner.tracer
        assert await one.run("cat a.txt") == (0, "a\n")
        assert made == (1, 1, 1)
        assert (runner._snapshots.generation, runner._git.foreign.looked, runner._git.indexes.made) == made


async def test_a_session_may_look_at_its_domain_and_is_told_how(root: Path) -> None:
    coagent = f"{sys.executable} -m coagent"
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        code, said = await one.run(f"cd . && {coagent} status 2>&1 | cat")
        assert (code, "one" in said) == (0, True), said
        for command in ("undo one --yes", "status > status.txt"):
            code, said = await one.run(f"{coagent} {command}")
            assert "there is no .coagent inside a command of an agent's shell" in said
            assert "as a command of its own" in said


class Background:
    """A command in the background, which can be ended."""

    def __init__(self, one: Shell, command: str) -> None:
        self._one, self._command = one, command
        self.gone = anyio.Event()
        self.result: tuple[int, str] | None = None

    async def run(self) -> None:
        one = self._one
        self.result = await one.run(self._command, self.gone, batch=False, in_background=True)


def writers(sessions: Sessions, key: str) -> list[str]:
    """Return the agents whose calls have written an object, outsiders as None."""
    kernel = sessions._hub.domain.kernel
    return [
        agent.name
        for agent in kernel.agents.values()
        for call in agent.calls.values()
        if any(one == key for one in call.writes)
    ]


async def test_a_command_in_the_background_sees_its_sessions_later_work_and_writes_as_its_session(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RESTING_S", 0.0)
    begun = root.with_name(f"{root.name}-begun")
    command = (
        f"touch {begun}; until grep -q edited a.txt && test -e sub/new.txt; do sleep 0.01; done; "
        "mkdir -p out/deep; cp a.txt out/deep/b.txt; ls late.txt > late-seen.txt; "
        "until ! test -e sub/new.txt; do sleep 0.01; done; echo end > end.txt; sleep 1000"
    )
    async with opened(root) as sessions, anyio.create_task_group() as tasks:
        one, late = client(sessions, root, "one"), client(sessions, root, "late")
        for each in (one, late):
            await each.hook("SessionStart", source="startup")
        server = Background(one, command)
        tasks.start_soon(server.run)
        await there(begun)
        assert (await late.run("echo late > late.txt"))[0] == 0
        assert (await one.run("mkdir sub && echo new > sub/new.txt && echo edited > a.txt"))[0] == 0
        await there(root / "out" / "deep" / "b.txt")
        assert (root / "out" / "deep" / "b.txt").read_text() == "edited\n"
        assert writers(sessions, "file:out/deep/b.txt") == ["one"]
        await there(root / "late-seen.txt")
        assert (root / "late-seen.txt").read_text() == ""  # it is not there for it
        assert await one.stop() == ""  # its turn is over, and the command goes on
        (root / "sub" / "new.txt").unlink()  # by a person
        await there(root / "end.txt")
        server.gone.set()
    assert server.result is not None
    assert server.result[0] in (137, 143)


async def test_a_program_in_the_background_that_watches_files_hears_of_its_sessions_work(root: Path) -> None:
    watch = (
        "import inotify_simple as i; w = i.INotify(); w.add_watch('.', i.flags.CREATE | i.flags.MODIFY)\n"
        "open({begun!r}, 'w')\n"
        "while all(one.name != 'a.txt' for one in w.read()): pass\n"
        "while open('a.txt').read() != 'edited\\n': pass\n"
        "open('heard.txt', 'w')"
    )
    begun = root.with_name(f"{root.name}-begun")
    command = f"{sys.executable} -c {shlex.quote(watch.format(begun=str(begun)))}"
    async with opened(root) as sessions, anyio.create_task_group() as tasks:
        one = client(sessions, root, "one")
        watcher = Background(one, command)
        tasks.start_soon(watcher.run)
        await there(begun)
        assert (await one.run("echo edited > a.txt"))[0] == 0
        await there(root / "heard.txt")
    assert watcher.result == (0, "")


async def test_what_a_session_did_meanwhile_stands_and_it_hears_what_the_background_had_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "TICK_S", 1000)  # so that nothing is taken over in between
    begun, wrote = root.with_name(f"{root.name}-begun"), root.with_name(f"{root.name}-wrote")
    go = root.with_name(f"{root.name}-go")
    wait = "until test -e {}; do sleep 0.01; done"
    command = (
        f"touch {begun}; {wait.format(go)}; echo of the background > a.txt; echo new > b.txt; touch {wrote}; "
        "until grep -q 'of the session' a.txt; do sleep 0.01; done; echo end > end.txt"
    )
    async with opened(root) as sessions, anyio.create_task_group() as tasks:
        one = client(sessions, root, "one")
        builder = Background(one, command)
        tasks.start_soon(builder.run)
        await there(begun)
        one.notices()
        assert (await one.run(f"touch {go}; {wait.format(wrote)}; echo of the session > a.txt"))[0] == 0
        assert "in the background wrote a.txt, which you, or an agent before you" in one.notices()
    assert builder.result == (0, "")
    texts = {name: (root / f"{name}.txt").read_text() for name in ("a", "b", "end")}
    assert texts == {"a": "of the session\n", "b": "new\n", "end": "end\n"}


async def test_a_commit_in_the_background_is_its_sessions(root: Path) -> None:
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        assert (await one.run("echo now > now.txt"))[0] == 0
        committer = Background(one, "git add -A && git commit -qm 'by the background'")
        await committer.run()
        assert committer.result == (0, "")
        assert await one.run("git show --format=%s --name-only") == (0, "by the background\n\nnow.txt\n")
        assert (await one.run("git status --short")) == (0, "")


async def test_what_the_client_writes_beside_a_file_that_it_edits_is_nobodys_work(root: Path) -> None:
    beside = root / "a.txt.tmp.4242.0badcafe"
    mine = root / "a.txt.tmp.old"
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        beside.write_text("half of it")
        mine.write_text("mine")
        assert await one.run("ls && git add -A && git status --short") == (0, "a.txt\na.txt.tmp.old\n")
        beside.rename(root / "a.txt")
        assert await one.run("ls; cat a.txt") == (0, "a.txt\na.txt.tmp.old\nhalf of it")
        await one.stop()
        kernel = sessions._hub.domain.kernel
        assert [key for key, _ in kernel.known_under("", TOP) if "4242" in key] == []


async def test_what_a_session_writes_next_makes_no_earlier_command_of_it_run_again(root: Path) -> None:
    for name in ("known", "other"):
        (root / f"{name}.txt").write_text(f"{name}\n")
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        assert (await one.run("ls -la; cat *; date +%N"))[0] == 0
        one.notices()
        await one.tool("Write", file_path=str(root / "new.txt"), content="new\n")
        await one.tool("Read", file_path=str(root / "known.txt"))
        await one.tool("Edit", file_path=str(root / "known.txt"), old_string="known", new_string="changed")
        assert one.notices() == ""
        (root / "other.txt").write_text("by a person\n")
        await one.tool("Read", file_path=str(root / "other.txt"))
        told = one.notices()
        assert "changed by: outside" in told
        # Which file it was cannot be said of what nobody wrote; never one that only the session has changed.
        assert "known.txt (result)" not in told


async def test_a_command_that_has_run_does_not_run_again_because_it_cannot_be_logged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = root.with_name(f"{root.name}-count")
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        assert (await one.run("true"))[0] == 0

        async def fail() -> None:
            raise LogError("the disk is full", "Free some space.")

        with monkeypatch.context() as failing:
            failing.setattr(sessions._hub.domain, "flush", fail)
            code, said = await one.run(f"echo . >> {count}; cat a.txt; exit 3", batch=False, asks=False)
    assert (code, count.read_text()) == (3, ".\n")
    assert said.startswith("a\n")
    assert "is not on record yet: the disk is full" in said


async def test_what_a_session_edits_makes_no_command_before_it_run_again(root: Path) -> None:
    given = {"file_path": str(root / "a.txt"), "old_string": "a", "new_string": "one"}
    edit: dict[str, Any] = {"tool_name": "Edit", "tool_input": given, "tool_use_id": "edit"}
    async with opened(root) as sessions:
        domain = sessions._hub.domain
        earlier, one = client(sessions, root, "earlier"), client(sessions, root, "one")
        assert (await earlier.run("ls -l; cat a.txt; date +%N"))[0] == 0
        await one.read("a.txt")
        await domain.look_around()
        await one.hook("PreToolUse", **edit)
        beside = root / "a.txt.tmp.4242.0badcafe"
        beside.write_text("one\n")
        beside.replace(root / "a.txt")
        await domain.look_around()
        await one.hook("PostToolUse", **edit, tool_response={"filePath": given["file_path"]})
        await domain.look_around()
        earlier.notices()
        assert await earlier.run("true") == (0, "")
        assert earlier.notices() == ""


async def test_leaving_keeps_nothing_of_a_workspace_in_which_sessions_were(root: Path) -> None:
    async with opened(root) as sessions:
        assert (await client(sessions, root, "one").run("cat a.txt"))[0] == 0
    assert setup.remove(root) == []
    assert not (root / ".coagent").exists()


async def test_a_folder_that_is_left_out_is_no_news_where_its_command_runs_again(root: Path) -> None:
    async with opened(root) as sessions:
        earlier, one = client(sessions, root, "earlier"), client(sessions, root, "one")
        assert (await earlier.run("true"))[0] == 0
        assert (await one.run("ls a.txt; cat a.txt > /dev/null; mkdir .venv; touch .venv/there"))[0] == 0
        assert (await earlier.run("echo more >> a.txt"))[0] == 0
        assert await one.run("true") == (0, "")
        assert "not_governed" not in one.notices()
        assert (root / ".venv" / "there").exists()


async def test_a_session_is_told_once_of_changes_that_git_does_not_show_it(root: Path) -> None:
    (root / "persons.txt").write_text("a person's\n")
    async with opened(root) as sessions:
        one = client(sessions, root, "one")
        assert await one.run("git status --short") == (0, "")
        assert "git leaves these alone: persons.txt" in one.notices()
        assert (await one.run("git add -f persons.txt && git commit -qm theirs"))[0] == 0
        assert "git leaves" not in one.notices()
        assert await one.run("git show --format= --name-only") == (0, "persons.txt\n")


async def test_a_session_commits_what_its_earlier_turns_and_its_subagents_have_done(root: Path) -> None:
    (root / "persons.txt").write_text("a person's\n")
    async with opened(root) as sessions:
        one, two = client(sessions, root, "one"), client(sessions, root, "two")
        await two.tool("Write", file_path=str(root / "others.txt"), content="of another session\n")
        await one.tool("Write", file_path=str(root / "earlier.txt"), content="in an earlier turn\n")
        assert await two.stop() == await one.stop() == ""
        await one.read("a.txt")
        await one.tool("Edit", file_path=str(root / "a.txt"), old_string="a", new_string="now")
        helper = one.subagent("helper")
        await helper.hook("SubagentStart")
        await helper.tool("Write", file_path=str(root / "helped.txt"), content="by a subagent\n")
        await helper.stop()
        status = " M a.txt\n?? earlier.txt\n?? helped.txt\n"
        assert await one.run("git status --short") == (0, status)
        assert await one.run("git add -A && git commit -qm all && git show --format= --name-only") == (
            0,
            "a.txt\nearlier.txt\nhelped.txt\n",
        )
        assert await one.run("git status --short") == (0, "")
