"""Git where the repository of a workspace is elsewhere: in a linked worktree, a submodule, a subfolder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import IN_COPIES, git, needs_views, shells

from coagent.errors import ToolFailed

pytestmark = [pytest.mark.anyio, needs_views]


async def _run(agent: Any, command: str) -> tuple[int, str]:
    value = (await agent.call("bash", command=command)).value
    return value["exit_code"], value["output"]


async def _two_work_in(root: Path) -> None:
    """Let two agents work in a checkout, the later one first, and see that each has its own, in order."""
    before = git(root, "log", "--format=%s")
    async with shells(root) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        assert await _run(b, "git log --format=%s; git status --short") == (0, before)
        assert await _run(b, "echo b > b.new; git add -A; git commit -qm 'from B'; git status --short") == (
            0,
            "",
        )
        assert await _run(a, "git log --format=%s; ls *.new 2>/dev/null; true") == (0, before)
        await a.call("write_file", path="loose.txt", content="of A\n")
        commit = "git add a.new; git commit -qm 'from A'; git status --short"
        assert await _run(a, f"echo a > a.new; {commit}") == (0, "?? loose.txt\n")
        assert await _run(b, "git stash -qu; git clean -fdq; git status --short; ls loose.txt") == (
            0, "loose.txt\n",
        )  # fmt: skip
        for agent in (a, b):
            while agent.state not in ("committed", "aborted"):
                await agent.finish(wait=True)
    assert git(root, "log", "--format=%s") == f"from B\nfrom A\n{before}"
    assert git(root, "status", "--short") == "?? loose.txt\n"
    git(root, "fsck", "--strict")


async def test_a_linked_worktree_is_worked_in_as_any_checkout(workspace: Path) -> None:
    linked = workspace.parent / "linked"
    git(workspace, "worktree", "add", "-q", "-b", "other", str(linked))
    said, before = (linked / ".git").read_text(), git(workspace, "log", "--format=%H")
    await _two_work_in(linked)
    assert (linked / ".git").read_text() == said
    assert (git(workspace, "log", "--format=%H"), git(workspace, "status", "--short")) == (before, "")


async def test_a_submodule_is_worked_in_as_any_checkout(workspace: Path) -> None:
    top = workspace.parent / "top"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(workspace), "lib")
    await _two_work_in(top / "lib")


async def test_what_another_working_tree_has_is_left_to_it(workspace: Path) -> None:
    linked = workspace.parent / "linked"
    git(workspace, "worktree", "add", "-q", "-b", "other", str(linked))
    (workspace / ".git/MERGE_MSG").write_text("a person's\n")
    (workspace / ".git/MERGE_HEAD").write_text(git(workspace, "rev-parse", "HEAD"))
    before = git(workspace, "for-each-ref"), (workspace / ".git/HEAD").read_text()
    async with shells(linked) as domain:
        a = await domain.join("A")
        assert "merg" not in (await _run(a, "git status"))[1]
        for command in (
            "git switch main",
            "git branch -f main other~0; git commit --allow-empty -qm x; git push . HEAD:main",
        ):
            with pytest.raises(ToolFailed, match="'main' is checked out in another working tree"):
                await a.call("bash", command=command)
        rebase = "echo x > x; git add x; git commit -qm one; git rebase -q HEAD~1; git branch"
        assert await _run(a, rebase) == (0, "  main\n* other\n")
        await a.abort()
    assert (git(workspace, "for-each-ref"), (workspace / ".git/HEAD").read_text()) == before


@pytest.mark.skipif(IN_COPIES, reason="a copy does not lie in the repository")
async def test_a_workspace_in_a_folder_of_a_linked_worktree_has_its_repository_read_only(
    workspace: Path,
) -> None:
    linked = workspace.parent / "linked"
    git(workspace, "worktree", "add", "-q", "-b", "other", str(linked))
    async with shells(linked / "src") as domain:
        a = await domain.join("A")
        for status in ("git status --short", "git status --short | cat"):
            assert await _run(a, status) == (0, "")
        assert await _run(a, "echo new > new.txt; git status --short") == (0, "?? new.txt\n")
        for command in ("git add -A", "echo x > x; git commit -qam mine; git stash; true"):
            with pytest.raises(
                ToolFailed, match=r"open the workspace at the top of the repository, '.*/linked'"
            ):
                await _run(a, command)
        await a.abort()
    assert git(linked, "status", "--short") == ""


@pytest.mark.parametrize("command", ["ls -A", "ls -A; true"])
async def test_a_workspace_without_a_repository_has_none(tmp_path: Path, command: str) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    async with shells(root) as domain:
        a = await domain.join("A")
        for _ in range(2):
            assert await _run(a, command) == (0, "")


async def test_which_files_are_checked_out_is_left_to_a_person(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        with pytest.raises(ToolFailed, match="chooses which files are checked out"):
            await a.call("bash", command="git sparse-checkout set src")
        assert await _run(a, "git status --short; git ls-files | wc -l") == (
            0, f"{len(git(workspace, 'ls-files').splitlines())}\n",
        )  # fmt: skip


async def test_what_a_person_has_chosen_to_check_out_is_no_deletion_of_the_rest(workspace: Path) -> None:
    git(workspace, "sparse-checkout", "set", "--no-cone", "/a.txt")
    assert not (workspace / "src").exists()
    async with shells(workspace) as domain:
        a = await domain.join("A")
        assert await _run(a, "git status --short; echo more >> a.txt; git commit -qam more") == (0, "")
        assert await _run(a, "git show --format= --name-only") == (0, "a.txt\n")


@pytest.mark.parametrize("cwd", ["none", "src/none", "a.txt"])
async def test_a_folder_that_is_not_there_is_named(workspace: Path, cwd: str) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for command in ("pwd", "ls"):
            with pytest.raises(ToolFailed, match=f"there is no folder '{cwd}'"):
                await a.call("bash", command=command, cwd=cwd)
        assert (await a.call("bash", command="ls", cwd="src")).value["output"] == "run.sh\n"
        (workspace / "node_modules").mkdir()
        assert (await a.call("bash", command="ls", cwd="node_modules")).value["exit_code"] == 0


@pytest.mark.parametrize(
    "command", ["echo 1 > new; git add new; git commit", "git rebase -i HEAD~1", "git tag -a v1"]
)
async def test_what_needs_an_editor_says_so_at_once(
    workspace: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EDITOR", "VISUAL", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _run(a, "git commit -q --allow-empty -m more")
        code, said = await _run(a, command)
        assert code != 0
        assert "Terminal is dumb, but EDITOR unset" in said


@pytest.mark.parametrize("command", ["chmod -R go-w .", "find . -type d -exec touch {} +"])
async def test_what_goes_through_the_git_folder_by_the_way_can_do_so(workspace: Path, command: str) -> None:
    before = git(workspace, "log", "--format=%H")
    async with shells(workspace) as domain:
        a = await domain.join("A")
        assert await _run(a, command) == (0, "")
        assert await _run(a, "git status --short; git log --format=%H") == (0, before)
        await a.abort()
    assert git(workspace, "status", "--short") == ""
