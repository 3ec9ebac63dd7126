"""Several agents in one checkout with the less common commands of git: nothing is lost, the order holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells, tree

import coagent

pytestmark = [pytest.mark.anyio, needs_views]


async def _run(agent: Any, command: str, code: int | None = 0) -> str:
    found = (await agent.call("bash", command=command)).value
    assert code is None or found["exit_code"] == code, found
    return str(found["output"])


async def _refused(agent: Any, command: str) -> str:
    with pytest.raises(coagent.ToolFailed) as failure:
        await agent.call("bash", command=command)
    return str(failure.value)


def _subjects(root: Path, name: str = "HEAD") -> list[str]:
    return git(root, "log", "--reverse", "--format=%s", name).splitlines()[1:]


async def test_a_file_untracked_by_a_later_agent_is_still_tracked_for_earlier_ones(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git rm -q --cached b.txt; git commit -qm B")
        outcome = await a.call("bash", command="echo x > a.txt; git commit -qam A; git status --short")
        assert outcome.value == {"exit_code": 0, "output": ""}
    assert _subjects(workspace) == ["A", "B"]
    assert git(workspace, "status", "--short") == "?? b.txt\n"


async def test_a_submodule_is_neither_added_nor_changed(workspace: Path) -> None:
    up = workspace.parent / "up"
    git(workspace, "clone", "-q", ".", str(up))
    allow = "git -c protocol.file.allow=always submodule"
    async with shells(workspace) as domain:
        a = await domain.join("A")
        before = tree(workspace)
        assert "repository of a submodule" in await _refused(a, f"{allow} add -q {up} sub; git commit -qm s")
        assert tree(workspace) == before
        await a.finish()
    git(workspace, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../up", "sub")
    git(workspace, "commit", "-qm", "sub")
    async with shells(workspace) as domain:
        b, c = await domain.join("B"), await domain.join("C")
        who = "-c user.name=T -c user.email=t@e"
        assert "submodule" in await _refused(b, f"cd sub; echo x > a.txt; git {who} commit -qam lost")
        await _run(b, "git -C sub status --short; echo x > a.txt; git add -A; git commit -qm B")
        assert await _run(c, "git submodule status | wc -l; git status --short") == "1\n"
    assert git(workspace, "status", "--short") == ""


async def test_a_further_working_tree_does_not_outlive_its_command(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        assert "working tree" in await _refused(a, "git worktree add -q wt -b side")
        assert git(workspace, "branch", "--list", "side") == ""
        work = "cd wt; echo x > a.txt; git commit -qam side; cd ..; git worktree remove wt"
        await _run(a, f"git worktree add -q wt -b side; {work}")
    assert _subjects(workspace, "side") == ["side"]
    assert git(workspace, "status", "--short") == ""


async def test_a_bisect_of_one_agent_is_followed_by_the_commits_of_later_ones(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "for i in 1 2 3 4; do echo $i >> a.txt; git commit -qam $i; done")
        await _run(a, "git bisect start; git bisect bad; git bisect good HEAD~4")
        await _run(b, "echo b > b.txt; git commit -qam B")
        assert git(workspace, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD\n"
        await _run(a, "git bisect reset")
        assert git(workspace, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert _subjects(workspace) == ["1", "2", "3", "4", "B"]
    assert git(workspace, "status", "--short") == ""


async def test_a_rebased_and_merged_branch_is_made_again_on_a_late_commit(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git checkout -qb topic; echo b > b.txt; git commit -qam T; git checkout -q main")
        await _run(a, "echo a > a.txt; git commit -qam A")
        await _run(b, "git checkout -q topic; git rebase -q main; git checkout -q main; git merge -q topic")
        await _run(a, "echo more >> a.txt; git commit -qam A2")
    assert _subjects(workspace) == _subjects(workspace, "topic") == ["A", "A2", "T"]
    assert git(workspace, "status", "--short") == ""


async def test_a_revert_by_hash_undoes_the_same_commit_when_it_is_made_again(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo a > a.txt; git commit -qam A")
        commit = git(workspace, "rev-parse", "HEAD").strip()
        await _run(b, f"git revert --no-edit {commit}")
        await _run(a, "echo c > c.txt; git add c.txt; git commit -qm A2")
    assert _subjects(workspace) == ["A", "A2", 'Revert "A"']
    assert (workspace / "a.txt").read_text() == "one\n"
    assert (workspace / "c.txt").read_text() == "c\n"


async def test_a_cherry_pick_with_a_conflict_goes_on_over_a_late_commit(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git checkout -qb t; echo t > a.txt; git commit -qam t; git checkout -q main")
        await _run(b, "echo m > a.txt; git commit -qam m")
        await _run(b, "git cherry-pick t", 1)
        await _run(a, "echo late > b.txt; git commit -qam A")
        await _run(b, "echo both > a.txt; git add a.txt; git cherry-pick --continue --no-edit")
    assert _subjects(workspace) == ["A", "m", "t"]
    assert (workspace / "a.txt").read_text() == "both\n"
    assert git(workspace, "status", "--short") == ""


async def test_what_an_agent_has_stashed_outlives_a_gc_of_another(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo x > a.txt; git add a.txt; git stash -q")
        await _run(b, "git reflog expire --expire=now --all; git gc -q --prune=now; git prune")
        await _run(a, "git stash pop -q; git commit -qam A")
    assert _subjects(workspace) == ["A"]


async def test_patches_of_one_agent_are_applied_by_another(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(
            a, "echo x >> a.txt; git commit -qam P; git format-patch -q -1 -o p; git reset -q --hard HEAD~1"
        )
        await _run(b, "git am -q p/*.patch")
        await _run(a, "echo c > b.txt; git commit -qam A")
    assert _subjects(workspace) == ["A", "P"]
    assert git(workspace, "status", "--short") == "?? p/\n"


async def test_work_in_a_subfolder_repository_is_of_one_index_for_all(workspace: Path) -> None:
    """What docs/systems/git.md says of them: one agent's `add -A` takes what another has not committed."""
    sub = workspace / "sub"
    sub.mkdir()
    (sub / "f").write_text("begin\n")
    git(sub, "init", "-q", "-b", "main")
    git(sub, "add", "-A")
    git(sub, "commit", "-qm", "begin")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo half > sub/half")
        await _run(b, "cd sub; git add -A; git -c user.name=T -c user.email=t@e commit -qm B")
        assert git(sub, "show", "--name-only", "--format=") == "half\n"
        await _run(a, "echo whole > sub/half")
        assert git(sub, "show", "HEAD:half") == "whole\n"  # made again, in the order of ranks
    assert _subjects(sub) == ["B"]


@pytest.mark.parametrize(
    "command",
    ["git stash -qu", "git reset -q --hard", "git clean -fdq", "git checkout -q .", "git switch -q x"],
)
async def test_git_takes_nothing_of_others_away_in_a_subfolder_repository(
    workspace: Path, command: str
) -> None:
    sub = workspace / "sub"
    sub.mkdir()
    (sub / "f").write_text("begin\n")
    git(sub, "init", "-q", "-b", "main")
    git(sub, "add", "-A")
    git(sub, "commit", "-qm", "begin")
    git(sub, "checkout", "-qb", "x")
    (sub / "f").write_text("of x\n")
    git(sub, "commit", "-qam", "x")
    git(sub, "checkout", "-q", "main")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        if "switch" in command:
            await _run(a, "echo a > sub/f; cd sub; git -c user.name=T -c user.email=t@e commit -qam A")
        else:
            await _run(a, "echo half > sub/f; echo half > sub/half")
        before = tree(workspace)
        assert "of other agents in the repository 'sub'" in await _refused(b, f"cd sub; {command}")
        assert tree(workspace) == before
        await _run(b, "echo own > sub/own; cd sub; git clean -fdq own; test ! -e own")
        await _run(b, "echo own > sub/own; git -C sub add own; echo more > sub/own; git -C sub restore own")
        assert (sub / "own").read_text() == "own\n"
