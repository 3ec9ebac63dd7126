"""Repositories in subfolders that agents make themselves."""

from __future__ import annotations

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
