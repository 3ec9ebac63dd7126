"""Repositories in subfolders that agents make themselves."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from conftest_sandbox import git, needs_views, shells, tree

from coagent.errors import ToolFailed

pytestmark = [pytest.mark.anyio, needs_views]
_COMMIT = (
    "cd nest && echo one > f && git add f && git -c user.name=T -c user.email=t@example.com commit -qm inside"
)


async def test_a_repository_without_commits_is_one_in_the_next_call(workspace: Path) -> None:
    top = git(workspace, "rev-parse", "main")
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        await agent.call("bash", command="git init -q -b inner nest")
        await agent.call("bash", command=_COMMIT)
        said = await agent.call("bash", command="git -C nest log --format=%s inner")
        assert said.value["output"] == "inside\n"
        assert git(workspace, "rev-parse", "main") == top  # git did not take the one around for it


async def test_what_agents_have_made_they_can_set_up_and_remove(workspace: Path) -> None:
    before = tree(workspace)
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        await agent.call("bash", command="git clone -q . nest")
        await agent.call("bash", command="git -C nest config user.name Somebody")
        await agent.call("bash", command="rm -rf nest")
        assert tree(workspace) == before


async def test_a_persons_cannot_be_set_up_by_taking_it_away_first(workspace: Path) -> None:
    git(workspace, "init", "-q", "nest")
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        with pytest.raises(ToolFailed, match="act on outside of your view"):
            await agent.call("bash", command="rm -rf nest")


@pytest.mark.parametrize("command", ["git init -q nest", "git clone -q . nest"])
async def test_undo_leaves_nothing_of_it(workspace: Path, command: str) -> None:
    before = tree(workspace)
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        await agent.call("bash", command=command)
        await agent.call("bash", command=_COMMIT)
        await agent.abort()
    assert tree(workspace) == before


async def test_undo_puts_back_the_empty_folders_of_a_persons(workspace: Path) -> None:
    git(workspace, "init", "-q", "nest")
    before = tree(workspace)
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        await agent.call("bash", command=_COMMIT)
        await agent.abort()
    assert tree(workspace) == before


async def test_an_earlier_agent_sees_no_repository_of_a_later_one(workspace: Path) -> None:
    async with shells(workspace) as domain:
        first, second = await domain.join("A"), await domain.join("B")
        await second.call("bash", command="git init -q nest")
        said = await first.call("bash", command="ls -d nest; find . -name refs -path './nest/*'")
        assert said.value["output"].splitlines() == ["ls: cannot access 'nest': No such file or directory"]


def _with_submodule(workspace: Path) -> None:
    upstream = workspace.parent / "upstream"
    upstream.mkdir()
    git(upstream, "init", "-q", "-b", "main")
    for name in ("p.txt", "q.txt"):
        (upstream / name).write_text(f"{name}\n")
    git(upstream, "add", "-A")
    git(upstream, "commit", "-qm", "begin")
    git(workspace, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(upstream), "lib")
    git(workspace, "commit", "-qm", "with a submodule")


SWEEPS = [
    "git -C lib reset -q --hard",
    "cd lib && git checkout .",
    "git submodule foreach -q 'git reset -q --hard'",
    "cd lib && git clean -fdq",
    "cd lib && git stash -u",
    "git submodule update --force",
    "printf 'cd lib\\ngit clean -fdq\\n' > sweep.sh; bash sweep.sh",
    "printf 'cd lib\\ngit checkout -q .\\n' > sweep.sh; bash sweep.sh",
]


async def test_in_a_submodule_nothing_sweeps_away_what_others_have_not_committed(workspace: Path) -> None:
    _with_submodule(workspace)
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("edit_file", path="lib/p.txt", old_string="p.txt", new_string="of A")
        await a.call("write_file", path="lib/new.txt", content="of A\n")
        await b.call("edit_file", path="lib/q.txt", old_string="q.txt", new_string="of B")
        before = tree(workspace)
        for sweep in SWEEPS:
            with pytest.raises(ToolFailed, match=r"of other agents in the repository 'lib'|of a submodule"):
                await b.call("bash", command=sweep)
        assert tree(workspace) == before
        restored = await b.call("bash", command="git -C lib restore q.txt; git -C lib status --short")
        assert restored.value["output"] == " M p.txt\n?? new.txt\n"
        with pytest.raises(ToolFailed, match="which would end with you"):
            await b.call("bash", command="cd lib && echo more >> q.txt && git commit -qam mine")


async def test_cleaning_the_tree_leaves_a_repository_that_an_earlier_agent_has_made(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("bash", command="git init -q nest; echo of A > nest/f")
        before = tree(workspace)
        for clean in ("git clean -ffdq", "git stash -qu"):
            with contextlib.suppress(ToolFailed):
                await b.call("bash", command=clean)
            assert tree(workspace) == before
