"""Several agents in one git checkout: the incidents that cost people their work, with real git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells, tree

import coagent

pytestmark = [pytest.mark.anyio, needs_views]


@pytest.fixture(autouse=True)
def identity(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(workspace, "config", "user.name", "T")
    git(workspace, "config", "user.email", "t@example.com")
    monkeypatch.setenv("GIT_OPTIONAL_LOCKS", "0")  # looking on from outside changes nothing


async def _run(agent: Any, command: str) -> str:
    value = (await agent.call("bash", command=command)).value
    assert value["exit_code"] == 0, value
    return str(value["output"])


async def _refused(agent: Any, command: str) -> str:
    with pytest.raises(coagent.ToolFailed) as failure:
        await agent.call("bash", command=command)
    return str(failure.value)


def _history(root: Path) -> list[tuple[str, list[str]]]:
    """Return subjects and files of the commits, newest first."""
    found = []
    for commit in git(root, "rev-list", "HEAD").split():
        subject = git(root, "log", "-1", "--format=%s", commit).strip()
        files = git(root, "diff-tree", "--root", "--no-commit-id", "--name-only", "-r", commit).split()
        found.append((subject, files))
    return found


async def test_commits_end_in_the_order_of_ranks_and_hold_only_their_agents_files(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "echo b >> b.txt; echo n > b_new; git add -A; git commit -qm 'from B'")
        assert await _run(a, "git log --format=%s") == "begin\n"
        await _run(a, "echo a >> a.txt; git commit -qam 'from A'")
        assert (await b.finish()).state == "waiting"  # told nothing: its commit is just made on A's
        assert [one[0] for one in _history(workspace)] == ["from B", "from A", "begin"]
        assert _history(workspace)[0][1] == ["b.txt", "b_new"]
        assert _history(workspace)[1][1] == ["a.txt"]
    assert git(workspace, "status", "--porcelain") == ""
    assert "missing" not in git(workspace, "fsck")


@pytest.mark.parametrize(
    "command",
    [
        "git add -A; git commit -qm mine",
        "git commit -qam mine",
        "git stash -q; git stash pop -q; git commit -qam mine",
        "git stash -qu; git stash pop -q; git commit -qam mine",
        "git clean -fdq; git checkout -q a.txt; git restore a.txt; git commit -qam mine",
    ],
)
async def test_what_another_has_not_committed_is_neither_swept_up_nor_taken_away(
    workspace: Path, command: str
) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo half >> a.txt; echo done > half_done")
        await _run(b, "echo b >> b.txt")
        before = tree(workspace)
        await b.call("bash", command=command)
        assert tree(workspace) == before
        assert _history(workspace)[0] == ("mine", ["b.txt"])


async def test_an_agents_own_work_can_be_stashed_reset_and_cleaned(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _run(a, 'echo x >> a.txt; git stash -q; test "$(cat a.txt)" = one')
        assert (workspace / "a.txt").read_text() == "one\n"
        await _run(a, "git stash pop -q")
        assert (workspace / "a.txt").read_text() == "one\nx\n"
        await _run(a, "git reset -q --hard; echo y > new; git clean -fdq; test ! -e new")
        assert (workspace / "a.txt").read_text() == "one\n"


async def test_a_stash_of_another_cannot_be_popped(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo a >> a.txt; git stash -q")
        assert (await b.call("bash", command="git stash pop")).value["exit_code"] == 1
        await _run(b, "echo b >> b.txt; git stash -q; git stash pop -q")
        await _run(a, "git stash pop -q")
        assert (workspace / "a.txt").read_text() == "one\na\n"
        assert (workspace / "b.txt").read_text() == "two\nb\n"


async def test_a_branch_switched_by_one_is_not_seen_by_those_before(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git checkout -qb feature; echo b > b_new; git add b_new; git commit -qm 'from B'")
        assert await _run(a, "git branch --show-current") == "main\n"
        await _run(a, "echo a >> a.txt; git commit -qam 'from A'")
        assert git(workspace, "branch", "--show-current") == "feature\n"
        assert git(workspace, "log", "--format=%s", "main").split("\n")[0] == "from A"
        assert [one[0] for one in _history(workspace)] == ["from B", "from A", "begin"]


async def test_own_commits_are_amended_and_those_of_others_are_not(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo a >> a.txt; git commit -qam 'from A'")
        assert "drop commits" in await _refused(b, "git commit -q --amend -m taken")
        assert "drop commits" in await _refused(b, "git reset -q --hard HEAD~1")
        assert "delete 'main'" in await _refused(b, "git checkout -q --detach; git branch -D main")
        await _run(b, "echo b >> b.txt; git commit -qam first; git commit -q --amend -m second")
        assert [one[0] for one in _history(workspace)] == ["second", "from A", "begin"]


@pytest.mark.parametrize(
    "command", ["git config alias.x '!rm -rf /'", "echo 'exit 0' > .git/hooks/pre-commit"]
)
async def test_configuration_and_hooks_of_the_repository_stay_as_they_are(
    workspace: Path, command: str
) -> None:
    config = (workspace / ".git/config").read_bytes()
    async with shells(workspace) as domain:
        await _run(await domain.join("A"), command)
    assert (workspace / ".git/config").read_bytes() == config
    assert not (workspace / ".git/hooks/pre-commit").exists()


async def test_undo_and_abort_take_commits_tags_and_staging_back(workspace: Path) -> None:
    before = git(workspace, "for-each-ref"), git(workspace, "ls-files", "--stage")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo a >> a.txt; git add a.txt")
        done = await b.call("bash", command="echo b >> b.txt; git commit -qm b -- b.txt; git tag v1")
        assert git(workspace, "tag") == "v1\n"
        await b.undo(done.call_id)
        assert git(workspace, "for-each-ref") == before[0]
        await a.abort()
    assert (git(workspace, "for-each-ref"), git(workspace, "ls-files", "--stage")) == before
    assert git(workspace, "status", "--porcelain") == ""


async def test_a_commit_made_again_on_the_same_state_is_the_same_commit(workspace: Path) -> None:
    async with shells(workspace, trace=False) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        seen = await _run(b, "echo b >> b.txt; git commit -qm b -- b.txt; git rev-parse HEAD")
        await _run(a, "echo elsewhere > other")  # untraced, so B's call runs again
        assert git(workspace, "rev-parse", "HEAD") == seen
        assert not (await b.call("bash", command="true")).notifications


async def test_repositories_in_subfolders_are_governed_too(workspace: Path) -> None:
    sub = workspace / "sub"
    sub.mkdir()
    git(sub, "init", "-q", "-b", "main")
    git(sub, "commit", "-q", "--allow-empty", "-m", "begin")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        who = "-c user.name=T -c user.email=t@e"
        await _run(b, f"cd sub; echo b > b; git add b; git {who} commit -qm 'from B'")
        await _run(a, f"cd sub; echo a > a; git add a; git {who} commit -qm 'from A'")
        assert git(sub, "log", "--format=%s").split("\n")[:3] == ["from B", "from A", "begin"]
        await b.abort()
        await a.abort()
    assert git(sub, "log", "--format=%s") == "begin\n"


async def test_a_single_agents_session_ends_as_in_plain_git(workspace: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    subprocess.run(["cp", "-a", workspace, plain], check=True)
    session = [
        "git checkout -qb topic",
        "echo 1 > one; git add one; git commit -qm one",
        "git mv a.txt moved; git rm -q b.txt",
        "git commit -qam two",
        "git checkout -q main; echo m > m; git add m; git commit -qm three",
        "git merge -q topic -m merged",
        "git tag v1; git tag -a v2 -m annotated",
        "git revert --no-edit HEAD~1",
        "git cherry-pick topic~1 || git cherry-pick --skip",
        "git branch -d topic",
        "git pack-refs --all; git tag v3",
    ]
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for command in session:
            governed = (await a.call("bash", command=command)).value
            alone = subprocess.run(["bash", "-c", command], cwd=plain, capture_output=True, check=False)
            assert governed["exit_code"] == alone.returncode, (command, governed, alone)
    for look in (
        ["rev-parse", "HEAD^{tree}"],
        ["tag"],
        ["branch", "--format=%(refname)"],
        ["log", "--first-parent", "--format=%s"],
    ):
        assert git(workspace, *look) == git(plain, *look), look
    # git puts branches next to each other by the second of their commits, which differs from run to run.
    every = ("log", "--format=%s %T")
    assert sorted(git(workspace, *every).splitlines()) == sorted(git(plain, *every).splitlines())
    assert tree(workspace) == tree(plain)
    assert git(workspace, "status", "--porcelain") == ""


async def test_undo_of_a_name_with_a_slash_leaves_no_folder_of_it(workspace: Path) -> None:
    before = {str(one) for one in (workspace / ".git").rglob("*") if one.is_dir()}
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for command in ("git branch feature/deep/one", "git tag release/one"):
            call = await a.call("bash", command=command)
            await a.undo(call.call_id)
    folders = {str(one) for one in (workspace / ".git").rglob("*") if one.is_dir()}
    assert {one for one in folders - before if "/refs/" in one} == set()
    assert (workspace / ".git/refs/heads").is_dir()
    assert (workspace / ".git/refs/tags").is_dir()
