"""Views that are copies, for machines without overlays or namespaces."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest_sandbox import git, shells, tree

import coagent
from coagent.errors import ConfigurationError
from coagent.systems.files.target import Files
from coagent.systems.shell import commands
from coagent.systems.shell.tools import bash_tools
from coagent.systems.shell.views import copied, kernel_bounds

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(copied.available()), reason=copied.available() or "copies can be had"),
]


def test_a_machine_without_overlays_has_copies_and_agents_are_told(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "available", lambda: "there are no namespaces")
    files = Files(workspace)
    (bash,) = bash_tools(files.workspace)
    assert "in a copy of the workspace" in bash.description
    runner = commands.CommandRunner(files.workspace)
    assert (runner.view, runner.why_copy) == ("copy", "there are no namespaces")
    with pytest.raises(ConfigurationError, match="there are no namespaces; a copy was not asked for"):
        commands.CommandRunner(files.workspace, view="overlay")
    monkeypatch.setattr(copied, "available", lambda: "no Landlock")
    with pytest.raises(ConfigurationError, match="there are no namespaces; no Landlock"):
        commands.CommandRunner(files.workspace)


@pytest.mark.parametrize(
    "command",
    [
        "sed -i s/one/ONE/ a.txt; chmod 600 b.txt",
        "rm -rf src a.txt; mkdir -p build/deep; ln -s ../b.txt build/link",
        "rm -r src; mkdir src; echo new > src/other",
        "rm -r src; echo file > src; mv a.txt c.txt; touch -r b.txt c.txt",
        "printf 'ONE\\n' > a.txt; touch -r b.txt a.txt",
        "find . -name '*.txt' -not -path './.*' -delete",
    ],
)
async def test_it_does_as_plain_bash_and_is_undone(workspace: Path, command: str) -> None:
    plain = workspace.parent / "plain"
    shutil.copytree(workspace, plain, symlinks=True)
    before = tree(workspace)
    async with shells(workspace, view="copy") as domain:
        a = await domain.join("A")
        done = await a.call("bash", command=command)
        subprocess.run(["bash", "-c", command], cwd=plain, check=True)
        assert tree(workspace) == tree(plain) != before
        await a.undo(done.call_id)
        assert tree(workspace) == before


async def test_nothing_but_the_copy_can_be_written_or_killed_or_reached(workspace: Path) -> None:
    outside = workspace.parent / "outside.txt"
    outside.write_text("as it was\n")
    before = tree(workspace)
    sleeper = subprocess.Popen(["sleep", "60"])
    command = (
        f"up=$(dirname {workspace}); real=$up/wo; real=${{real}}rk\n"
        f"echo x > $up/outside.txt; rm $up/outside.txt; truncate -s 0 $up/outside.txt; ln $up/outside.txt l\n"
        f"echo x > $real/a.txt; mv $real/a.txt .; cat $real/a.txt; kill -9 {sleeper.pid}\n"
        "(echo > /dev/tcp/127.0.0.1/9); echo fine > $TMPDIR/x; cat $TMPDIR/x"
    ).replace(f"dirname {workspace}", f"echo {workspace.parent}")
    async with shells(workspace, view="copy") as domain:
        found = (await (await domain.join("A")).call("bash", command=command)).value
    assert found["output"].endswith("fine\n")
    assert "one" not in found["output"].split()
    assert "Network is unreachable" in found["output"]
    assert outside.read_text() == "as it was\n"
    assert {path: one for path, one in tree(workspace).items() if path != "l"} == before
    if kernel_bounds.version() >= 6:
        assert sleeper.poll() is None
    sleeper.kill()
    assert sleeper.wait() == -signal.SIGKILL


async def test_no_socket_but_in_pairs_can_be_made_by_any_way(workspace: Path) -> None:
    program = (
        "import ctypes, socket\n"
        "socket.socketpair()\n"
        "for family in (1, 2, 10, 17, 40):\n"
        "    try: socket.socket(family, socket.SOCK_STREAM); print(family)\n"
        "    except OSError as error: print(error.errno)\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.syscall(425, 1, None), ctypes.get_errno())\n"
    )
    (workspace / "try.py").write_text(program)
    async with shells(workspace, view="copy", trace=False) as domain:
        found = (await (await domain.join("A")).call("bash", command="python3 try.py")).value
    assert found["output"].split() == ["101"] * 5 + ["-1", "101"]


async def test_the_workspace_is_where_it_is_named(workspace: Path) -> None:
    async with shells(workspace, view="copy") as domain:
        a = await domain.join("A")
        found = (
            await a.call("bash", command=f"cd {workspace}/src && pwd && echo new > {workspace}/c.txt")
        ).value
        assert found == {"exit_code": 0, "output": f"{workspace}/src\n"}
        assert (workspace / "c.txt").read_text() == "new\n"


async def test_what_outlives_its_command_or_its_time_is_ended(workspace: Path) -> None:
    async with shells(workspace, view="copy") as domain:
        a = await domain.join("A")
        await a.call("bash", command="setsid -f sleep 71.25; (setsid sleep 71.25 &)")
        with pytest.raises(coagent.ToolFailed, match="not ended within"):
            await a.call("bash", command="echo x > a.txt; setsid sleep 71.25 & sleep 71.25", timeout_s=0.5)
        assert (workspace / "a.txt").read_text() == "one\n"
    names = [name for name in os.listdir("/proc") if name.isdecimal() and _command(name) == "sleep 71.25"]
    assert names == []


def _command(process: str) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


async def test_git_commits_what_is_the_agents(workspace: Path) -> None:
    async with shells(workspace, view="copy") as domain:
        a, b = await domain.join("A"), await domain.join("B")
        who = "git -c user.name=T -c user.email=t@example.com"
        await b.call("bash", command="echo b > b.txt; echo bb > late.txt")
        await a.call("bash", command=f"echo a > a.txt; git add -A; {who} commit -qm first")
        await b.call("bash", command=f"git add -A; {who} commit -qm second")
        await a.finish()
        await b.finish()
    assert git(workspace, "log", "--format=%s", "--name-only").split() == [
        "second", "b.txt", "late.txt", "first", "a.txt",
        *git(workspace, "log", "-1", "--format=%s", "--name-only", "HEAD~2").split(),
    ]  # fmt: skip
    assert git(workspace, "status", "--short") == ""
    assert git(workspace, "fsck", "--strict") == ""
