"""Edit, add and commit in one command give what separate commands give, over others' uncommitted work."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import IN_COPIES, git, needs_views, shells, tree

pytestmark = [pytest.mark.anyio, needs_views]

COMMANDS = {
    "commit-all": ("sed -i s/two/TWO/ b.txt", "git commit -qam mine"),
    "add-by-name": ("sed -i s/two/TWO/ b.txt", "git add b.txt", "git commit -qm mine"),
    "commit-by-name": ("sed -i s/two/TWO/ b.txt", "git commit -qm mine b.txt"),
    "add-everything": ("echo more >> new.txt", "git add -A", "git commit -qm mine"),
    "a-new-file-by-name": ("echo more >> 'odd [x].txt'", "git add -- odd*", "git commit -qm mine"),
    "delete": ("rm b.txt new.txt", "git add -A", "git commit -qm mine"),
    "delete-a-folder": ("rm -r src", "git commit -qam mine"),
    "rename": ("git mv data.bin moved.bin", "echo more >> b.txt", "git commit -qam mine"),
    "stash-before": ("echo mine > a.txt", "git stash -q", "sed -i s/two/TWO/ b.txt", "git stash pop -q"),
    "stash-all-after": ("sed -i s/two/TWO/ b.txt", "echo x > x.txt", "git stash -qu", "git stash pop -q"),
    "reset-after": ("sed -i s/two/TWO/ b.txt", "git reset -q --hard"),
    "restore-others": ("sed -i s/one/ONE/ a.txt", "git checkout -q .", "git clean -qfd", "ls"),
    "branch-first": ("git checkout -qb topic", "sed -i s/two/TWO/ b.txt", "git commit -qam mine"),
    "in-a-folder": ("cd src && echo '# more' >> run.sh && git add . && git commit -qm mine",),
    "by-a-script": ("sed -i s/two/TWO/ b.txt", "bash -c 'exec git commit -qam mine'"),
    "the-status": ("sed -i s/two/TWO/ b.txt", "git status --short", "git diff --stat"),
}

QUICK = ("commit-all", "add-everything", "delete-a-folder", "stash-before", "restore-others")


async def _outcome(root: Path, commands: tuple[str, ...], *, late: bool) -> tuple[Any, ...]:
    """Let B run commands over what A, who comes before, has written without a commit, or writes later."""
    async with shells(root) as domain:
        a, b = await domain.join("A"), await domain.join("B")

        async def work() -> None:
            await a.call("edit_file", path="b.txt", old_string="two\n", new_string="first\ntwo\n")
            await a.call("write_file", path="src/run.sh", content="#!/bin/sh\necho changed\n")
            for name in ("new.txt", "odd [x].txt"):
                await a.call("write_file", path=name, content="of A\n")

        if not late:
            await work()
        said = [(await b.call("bash", command=one)).value["output"] for one in commands]
        if late:
            await work()
        for session in (a, b):
            while session.state not in ("committed", "aborted"):
                await session.finish(wait=True)
    log = git(root, "log", "-p", "--format=%s%n%T", "--topo-order", "--all")
    return tree(root), log, git(root, "status", "--short"), "".join(said)


@pytest.mark.parametrize(
    "name", [one if one in QUICK else pytest.param(one, marks=pytest.mark.long) for one in COMMANDS]
)
async def test_one_command_does_what_several_do(workspace: Path, name: str) -> None:
    commands = COMMANDS[name]
    other = workspace.parent / "other"
    await asyncio.to_thread(_copy, workspace, other)
    together = await _outcome(workspace, ("; ".join(commands),), late=False)
    apart = await _outcome(other, commands, late=False)
    assert together == apart


@pytest.mark.parametrize("name", ["add-by-name", "branch-first"])
async def test_a_commit_that_stood_stands_when_an_earlier_agent_changes_its_file(
    workspace: Path, name: str
) -> None:
    other = workspace.parent / "other"
    await asyncio.to_thread(_copy, workspace, other)
    command = "; ".join(COMMANDS[name])
    files, log, status, _ = await _outcome(workspace, (command,), late=True)
    assert (files, log, status) == (await _outcome(other, (command,), late=False))[:3]
    assert "mine\n" in log


@pytest.mark.skipif(IN_COPIES, reason="in a copy they are looked at where the command runs")
async def test_what_the_command_has_not_changed_is_no_premise_of_it(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("write_file", path="b.txt", content="A's\n")
        made = await b.call("bash", command="echo more >> a.txt; git commit -qam mine; date +%s%N")
        await a.call("write_file", path="b.txt", content="A's again\n")
        settled = await b.finish()
        assert not settled.notifications  # it would have said another time, had it run again
        assert made.value["exit_code"] == 0


def _copy(source: Path, place: Path) -> None:
    shutil.copytree(source, place, symlinks=True)
