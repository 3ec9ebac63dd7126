"""Several agents with git in one checkout: what loses work there today, and does not here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells, tree

import coagent

pytestmark = [pytest.mark.anyio, needs_views]


async def _run(agent: Any, command: str, code: int | None = 0) -> str:
    """Run a command and return its output."""
    found = (await agent.call("bash", command=command)).value
    assert code is None or found["exit_code"] == code, found
    return str(found["output"])


def _commits(root: Path, *more: str) -> list[str]:
    """Return the subjects of the commits and the paths of each, oldest first."""
    log = git(root, "log", "--reverse", "--format=> %s", "--name-only", *more)
    return [
        " ".join(one.split()) for one in "".join(f"{line} " for line in log.splitlines()).split("> ") if one
    ]


def _clean(root: Path) -> None:
    """Assert that the repository is sound and its checkout clean."""
    git(root, "fsck", "--strict")
    assert git(root, "status", "--short") == ""


async def test_add_all_takes_the_agents_own_files_only(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("write_file", path="a.txt", content="half done\n")
        await a.call("write_file", path="src/half.txt", content="half done\n")
        await b.call("write_file", path="b.txt", content="done\n")
        await _run(b, "echo x > src/done.txt; git add -A && git commit -qm B")
        assert git(workspace, "show", "--name-only", "--format=").split() == ["b.txt", "src/done.txt"]
        assert await _run(b, "git status --short") == ""
        assert await _run(a, "git status --short") == " M a.txt\n?? src/half.txt\n"
        await _run(a, "git add . && git commit -qm A")
    assert _commits(workspace)[1:] == ["A a.txt src/half.txt", "B b.txt src/done.txt"]
    _clean(workspace)


async def test_commits_of_two_agents_end_in_the_order_of_ranks(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        for number in range(2):
            await _run(b, f"echo {number} > b{number}; git add b{number}; git commit -qm B{number}")
            await _run(a, f"echo {number} > a{number}; git add .; git commit -qm A{number}")
        assert (await _run(b, "git log --format=%s")).split() == ["B1", "B0", "A1", "A0", "begin"]
        assert (await _run(a, "git log --format=%s")).split() == ["A1", "A0", "begin"]
    assert _commits(workspace)[1:] == ["A0 a0", "A1 a1", "B0 b0", "B1 b1"]
    _clean(workspace)


async def test_each_agent_has_a_stash_of_its_own(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo of A > a.txt; git stash -q")
        await _run(b, "echo of B > b.txt; git stash -q")
        assert (workspace / "a.txt").read_text() == "one\n"
        assert len((await _run(a, "git stash list")).splitlines()) == 1
        await _run(a, "git stash pop -q")
        await _run(b, "git stash pop -q")
        assert await _run(b, "git stash list") == ""
    assert ((workspace / "a.txt").read_text(), (workspace / "b.txt").read_text()) == ("of A\n", "of B\n")
    assert git(workspace, "stash", "list") == ""


async def test_a_stash_of_a_person_is_neither_seen_nor_popped(workspace: Path) -> None:
    (workspace / "a.txt").write_text("mine\n")
    git(workspace, "stash")
    async with shells(workspace) as domain:
        a = await domain.join("A")
        assert await _run(a, "git stash list; git stash pop", None) == "No stash entries found.\n"
        await _run(a, "echo x > b.txt; git stash -q; git stash drop -q")
    assert len(git(workspace, "stash", "list").splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    ["git reset -q --hard", "git checkout -q .", "git restore .", "git stash -qu", "git clean -qfd"],
)
async def test_throwing_changes_away_throws_away_the_agents_own(workspace: Path, command: str) -> None:
    (workspace / "src/run.sh").write_text("of a person\n")
    (workspace / "notes").write_text("of a person\n")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "echo of A > a.txt; echo of A > new.txt; rm data.bin")
        await _run(b, "echo of B > b.txt; echo of B > own")
        before = tree(workspace)
        await _run(b, command)
        after = tree(workspace)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed
    assert changed <= {"b.txt", "own"}


async def test_a_branch_of_a_later_agent_is_made_again_on_a_late_commit(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git checkout -qb feature; echo x > b.txt; git commit -qam B")
        assert await _run(a, "git symbolic-ref HEAD; git branch --format='%(refname:short)'") == (
            "refs/heads/main\nmain\n"
        )
        await _run(a, "echo y > a.txt; git commit -qam A")
    assert git(workspace, "symbolic-ref", "HEAD") == "refs/heads/feature\n"
    assert _commits(workspace, "main")[1:] == ["A a.txt"]
    assert _commits(workspace, "feature")[1:] == ["A a.txt", "B b.txt"]
    _clean(workspace)


async def test_a_checkout_by_an_earlier_agent_is_seen_by_later_ones(workspace: Path) -> None:
    git(workspace, "branch", "other")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        assert await _run(b, "git branch --show-current") == "main\n"
        await _run(b, "echo x > b.txt; git commit -qam B")
        await _run(a, "git checkout -q other")
        (notice,) = (await b.call("bash", command="true")).notifications
        assert list(notice.premises) == ["B.1"]
    assert _commits(workspace, "other")[1:] == ["B b.txt"]
    assert _commits(workspace, "main")[1:] == []
    _clean(workspace)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("git commit -q --amend -m mine", "drop commits from 'main' that are not yours"),
        ("git reset -q --hard HEAD~1", "of A"),
        ("git rebase -q --root --exec true --force-rebase -x 'git commit -q --amend -m x'", "not yours"),
        ("git branch -f main HEAD~1", None),
        ("git branch -D apart", "delete 'apart'"),
        ("git tag -d t", "delete 'tags/t'"),
        ("git tag -f t HEAD", "move 'tags/t'"),
        ("git update-ref refs/heads/apart HEAD", "drop commits from 'apart'"),
        ("rm -rf .git", "destroys"),
    ],
)
async def test_what_would_drop_the_work_of_others_is_refused_and_leaves_nothing(
    workspace: Path, command: str, says: str | None
) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(
            a, "git checkout -qb apart; echo p > p; git add p; git commit -qm apart; git checkout -q main"
        )
        await _run(a, "git tag t; echo x > a.txt; git commit -qam 'of A'")
        before = tree(workspace), git(workspace, "for-each-ref"), git(workspace, "ls-files", "-s")
        if says is None:
            await _run(b, command, None)
        else:
            with pytest.raises(coagent.ToolFailed, match=says):
                await _run(b, f"echo own > own; {command}")
        assert (tree(workspace), git(workspace, "for-each-ref"), git(workspace, "ls-files", "-s")) == before
    _clean(workspace)


async def test_own_commits_are_amended_rebased_and_reset(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _run(a, "echo 1 > one; git add one; git commit -qm one; git commit -q --amend -m first")
        await _run(a, "echo 2 > two; git add two; git commit -qm two; echo 3 > three; git add three")
        await _run(a, "git commit -qm three; git reset -q --soft HEAD~1; git commit -qm third")
        await _run(a, "GIT_SEQUENCE_EDITOR='sed -i 2s/pick/drop/' git rebase -q -i HEAD~3")
        await _run(a, "git tag v1; git tag -d v1; git branch x; git branch -D x")
    assert _commits(workspace)[1:] == ["first one", "third three"]
    assert git(workspace, "tag") == ""
    _clean(workspace)


async def test_undo_takes_commits_staging_and_checkouts_back(workspace: Path) -> None:
    before = tree(workspace), git(workspace, "for-each-ref"), (workspace / ".git/HEAD").read_text()
    async with shells(workspace) as domain:
        a = await domain.join("A")
        edit = await a.call("bash", command="echo x > a.txt")
        add = await a.call("bash", command="git add a.txt")
        assert await _run(a, "git diff --cached --name-only") == "a.txt\n"
        await a.undo(add.call_id)
        assert await _run(a, "git diff --cached --name-only; git diff --name-only") == "a.txt\n"
        commit = await a.call("bash", command="git checkout -qb b; git commit -qam x; git tag t")
        assert git(workspace, "log", "--format=%s", "-1") == "x\n"
        await a.undo(commit.call_id)
        assert await _run(a, "git diff --name-only; git branch --show-current") == "a.txt\nmain\n"
        await a.undo(edit.call_id)
    assert (tree(workspace), git(workspace, "for-each-ref"), (workspace / ".git/HEAD").read_text()) == before
    _clean(workspace)


async def test_undo_of_an_earlier_commit_makes_the_later_one_again_without_it(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        first = await a.call("bash", command="echo x > a.txt; git commit -qam A")
        await _run(b, "echo y > b.txt; git commit -qam B")
        assert _commits(workspace)[1:] == ["A a.txt", "B b.txt"]
        await a.undo(first.call_id)
    assert _commits(workspace)[1:] == ["B b.txt"]
    _clean(workspace)


async def test_a_merge_with_a_conflict_goes_on_over_several_calls(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git checkout -qb side; echo side > a.txt; git commit -qam side; git checkout -q main")
        await _run(b, "echo main > a.txt; git commit -qam main")
        await _run(b, "git merge side", 1)
        assert (await _run(b, "git status --short")).startswith("UU a.txt")
        assert "MERGE_HEAD" in await _run(b, "ls .git")
        assert "MERGE_HEAD" not in await _run(a, "ls .git; git status --short")
        await _run(b, "echo both > a.txt; git add a.txt; git commit -qm merged")
        assert len((await _run(b, "git log -1 --format=%P")).split()) == 2
    assert not (workspace / ".git/MERGE_HEAD").exists()
    assert (workspace / "a.txt").read_text() == "both\n"
    _clean(workspace)


@pytest.mark.parametrize("back", ["merge --abort", "reset --merge HEAD"])
async def test_a_merge_with_a_conflict_is_given_up_in_a_later_call(workspace: Path, back: str) -> None:
    before = tree(workspace)
    async with shells(workspace) as domain:
        a = await domain.join("A")
        change = "echo side > a.txt; echo side > b.txt; rm src/run.sh; mkdir in; echo x > in/new"
        await _run(a, f"git checkout -qb side; {change}; git add -A; git commit -qm side")
        await _run(a, "git checkout -q main")
        await _run(a, "echo main > a.txt; git commit -qam main")
        await _run(a, "git merge side", 1)
        await _run(a, f"git {back}")
        await _run(a, "git reset -q --hard HEAD~1")
        assert tree(workspace) == before
    _clean(workspace)


async def test_settings_and_hooks_hold_in_the_agents_views_only(workspace: Path) -> None:
    real = (workspace / ".git/config").read_bytes(), sorted((workspace / ".git/hooks").iterdir())
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, "git config user.name Anna; git config core.pager 'touch pwned'")
        hook = ".git/hooks/pre-commit"
        await _run(a, f"printf '#!/bin/sh\\necho hooked >> hooked\\n' > {hook}; chmod +x {hook}")
        await _run(a, "echo x > a.txt; git commit -qam A; git log -1 --format=%an; cat hooked")
        assert await _run(a, "git log -1 --format=%an; cat hooked") == "Anna\nhooked\n"
        assert await _run(b, "git config user.name; ls .git/hooks/pre-commit", None) != "Anna\n"
        await _run(b, "echo y > b.txt; git commit -qam B; cat hooked")
        assert await _run(b, "cat hooked") == "hooked\n"
    assert ((workspace / ".git/config").read_bytes(), sorted((workspace / ".git/hooks").iterdir())) == real


async def test_work_of_a_person_is_left_alone_named_and_can_be_taken(workspace: Path) -> None:
    (workspace / "a.txt").write_text("of a person\n")
    (workspace / "notes").write_text("of a person\n")
    git(workspace, "add", "a.txt")
    async with shells(workspace) as domain:
        a = await domain.join("A")
        outcome = await a.call("bash", command="echo x > b.txt; git add -A; git commit -qm A")
        assert outcome.value["left_to_others"] == ["a.txt", "notes"]
        assert git(workspace, "status", "--short") == "M  a.txt\n?? notes\n"
        await _run(
            a,
            "git update-index --no-skip-worktree a.txt; git add a.txt; git add -f notes; git commit -qm T",
        )
    assert _commits(workspace)[1:] == ["A b.txt", "T a.txt notes"]
    _clean(workspace)


async def test_a_commit_that_a_person_makes_meanwhile_comes_below_the_agents(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await _run(a, "echo x > b.txt; git commit -qam A")
        (workspace / "notes").write_text("of a person\n")
        git(workspace, "add", "notes")
        git(workspace, "commit", "-qm", "person")
        await domain.look("git:.git/refs/heads/main")
        await _run(a, "echo y > c.txt; git add c.txt; git commit -qm C")
    assert _commits(workspace)[-1] == "C c.txt"
    assert "person notes" in _commits(workspace)
    _clean(workspace)
