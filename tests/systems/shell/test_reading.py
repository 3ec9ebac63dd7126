"""What is known to write nothing runs without a layer to write to, and gives the same as with one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells, tree

from coagent.systems.shell.read_only import only_reads
from coagent.systems.shell.views.confined import Confined, Frame
from coagent.systems.shell.views.launch_server import LaunchServer
from coagent.systems.shell.views.snapshot import Snapshots


@pytest.mark.parametrize(
    "command",
    [
        "cat a.txt > b.txt", "cat a.txt; rm b.txt", "cat a.txt && rm b.txt", "cat a.txt\nrm b.txt",
        "cat $(rm b.txt)", "cat `rm b.txt`", "cat <(rm b.txt)", "sort -o b.txt a.txt", "find . -delete",
        "git status | tee x", "git stash", "git -c alias.status='!rm b.txt' status", "X=1 cat a.txt",
        "sudo cat a.txt", "catx", "",
        "git status& rm b.txt", "git statusx", "git diff --output=b.txt", "git log -p --output b.txt",
        "git diff --outpu=b.txt",
        "git diff '--out'put=b.txt", "git branch x", "git show HEAD >b.txt", "git commit -m x",
        "git diff-files", "sed -i s/a/b/ a.txt", "cat a.txt\r\nrm b.txt", "\\cat a.txt",
        "cat a.txt | tee b.txt", "cat a.txt || rm b.txt", "cat a.txt |& tee b.txt", "git grep -O one",
        "git grep -nO one", "git grep --open-files-in-pager one", "cat a.txt | rm b.txt", "grep 'x|rm' a.txt",
    ],
)  # fmt: skip
def test_what_may_write_is_not_taken_for_what_only_reads(command: str) -> None:
    assert not only_reads(command)


_READERS = (
    "git status", "git status --short", "git status --porcelain=v2 --branch", "cat a.txt src/run.sh",
    "ls -la src", "grep -rn one .", "wc -l a.txt b.txt", "head -n1 a.txt", "stat -c %s a.txt", "du -a src",
    "git diff", "git diff --stat HEAD -- src", "git log --oneline -3", "git show --stat HEAD",
    "git blame a.txt", "git ls-files -m", "git rev-parse HEAD", "git describe --always",
    "tail -n 1 *.txt", "cat none", "ls node_modules", "ls .git/HEAD", "  git status  ",
    "cat a.txt | wc -l", "git grep -n one | wc -l", "grep -rn 'one' . | cut -d: -f1 | head -n 1",
)  # fmt: skip


@needs_views
@pytest.mark.anyio
async def test_it_says_the_same_with_a_layer(workspace: Path) -> None:
    assert all(map(only_reads, _READERS))
    (workspace / "node_modules/x").mkdir(parents=True)
    (workspace / ".gitignore").write_text("node_modules\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "ignored")
    before = tree(workspace)
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for command in _READERS:
            plain, layered = [
                (await a.call("bash", command=one)).value for one in (command, f": ; {command}")
            ]
            if command.startswith("ls -la") or command.startswith(
                "du"
            ):  # these tell folders' sizes, and times
                plain["output"] = layered["output"] = ""
            assert plain == layered
        assert tree(workspace) == before


@needs_views
@pytest.mark.anyio
async def test_it_shows_what_is_another_thing_at_its_place(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("bash", command="echo three >> a.txt; echo new > c.txt")

        async def seen(agent: Any, command: str) -> str:
            return str((await agent.call("bash", command=command)).value["output"])

        assert await seen(a, "cat a.txt") == "one\n"
        assert await seen(a, "git status --short") == ""
        assert await seen(b, "cat a.txt") == "one\nthree\n"
        assert await seen(b, "git status --short") == " M a.txt\n?? c.txt\n"


def _output(view: Confined, command: str) -> str:
    server = LaunchServer()
    try:
        view.spec(["bash", "-c", command], view.frame.root, dict(os.environ))
        with tempfile.TemporaryFile() as output:
            server.run(view, output, 60)
            output.seek(0)
            return output.read().decode()
    finally:
        server.close()
        view.remove()


@needs_views
@pytest.mark.parametrize("name", ["left", "src/left"])
def test_nothing_can_be_written_but_in_what_is_no_part_of_the_tree(workspace: Path, name: str) -> None:
    (workspace / name).mkdir()
    snapshots = Snapshots(
        str(workspace), workspace / ".coagent/snapshots", lambda path: "left" in path or path[0] == "."
    )
    scratch = Path(tempfile.mkdtemp(prefix="coagent-test-"))
    view = Confined(Frame(str(workspace)), snapshots.take(), scratch, real=snapshots.left_out())
    view.prepare({})
    view.expect_only_reads()
    said = _output(view, f"cat a.txt; echo x > {name}/x; echo x > a.txt; echo x > new")
    assert (workspace / name / "x").read_text() == "x\n"
    assert (workspace / "a.txt").read_text() == "one\n"
    assert not (workspace / "new").exists()
    assert said.count("Read-only file system") == 2
    snapshots.close()


@needs_views
@pytest.mark.anyio
async def test_a_folder_that_is_left_out_is_seen_as_long_as_it_is_there(workspace: Path) -> None:
    deep = workspace / "src/package/node_modules"
    (deep / "x").mkdir(parents=True)
    (workspace / "node_modules").mkdir()
    listed = "src:\npackage\nrun.sh\n\nsrc/package:\n"
    async with shells(workspace) as domain:
        a = await domain.join("A")

        async def seen(command: str) -> str:
            return str((await a.call("bash", command=command)).value["output"])

        assert await seen("ls -R src node_modules -I node_modules") == f"node_modules:\n\n{listed}"
        assert await seen("ls src/package/node_modules") == "x\n"
        shutil.rmtree(deep)
        (workspace / "node_modules").rmdir()
        assert await seen("ls -R src") == listed
        assert "node_modules" not in await seen("ls")
        deep.mkdir()
        assert await seen("ls src/package") == "node_modules\n"
        shutil.rmtree(deep.parent)
        assert await seen("ls src") == await seen(": ; ls src") == "run.sh\n"
        deep.mkdir(parents=True)
        assert await seen("ls src/package") == await seen(": ; ls src/package") == "node_modules\n"
