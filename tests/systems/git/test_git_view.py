"""What git finds in a view, what reaches the real repository, and what is refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells

import coagent
from coagent.runs.history import History
from coagent.runs.verdict import judge
from coagent.systems.files.target import Files
from coagent.systems.git.index import Indexes, exclusion
from coagent.systems.git.repository import Repository
from coagent.systems.shell.tools import bash_tools

pytestmark = [pytest.mark.anyio, needs_views]


async def _run(agent: Any, command: str) -> str:
    found = (await agent.call("bash", command=command)).value
    assert found["exit_code"] == 0, found
    return str(found["output"])


def _real(root: Path) -> dict[str, bytes]:
    """Return the files of the real git folder, but for objects, logs and what only caches."""
    return {
        path.relative_to(root / ".git").as_posix(): path.read_bytes()
        for path in sorted((root / ".git").rglob("*"))
        if path.is_file() and path.relative_to(root / ".git").parts[0] not in ("objects", "logs")
    }


@pytest.mark.parametrize(
    "command",
    [
        "git add a.txt; git stash -q; git stash drop -q",
        "git config core.fsmonitor 'touch /tmp/pwned'; echo x > .git/hooks/post-index-change",
        "git gc -q; git pack-refs --all; git repack -qad",
        "echo '*.txt filter=x' > .git/info/attributes; echo b.txt >> .git/info/exclude",
        "touch .git/index.lock .git/HEAD.lock; rm -r .git/hooks; rm .git/index",
        "git bisect start; git bisect bad; git notes list",
        "mkdir -p .git/objects/aa; echo fake > .git/objects/aa/$(printf '%038d' 0)",
    ],
)
async def test_what_an_agent_does_for_itself_leaves_the_real_repository_as_it_is(
    workspace: Path, command: str
) -> None:
    before = _real(workspace)
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(a, f"echo x >> a.txt; {command}; true")
        await _run(b, "git status --short; git log --oneline")
        assert _real(workspace) == before
    assert not (workspace / ".git/objects/aa" / f"{0:038d}").exists()
    git(workspace, "fsck", "--strict")


@pytest.mark.parametrize(
    ("command", "says"),
    [("git init -q .", "makes a git repository of the workspace")],
)
@pytest.mark.parametrize("view", ["overlay", "copy"])
async def test_no_repository_is_made_of_a_workspace(
    tmp_path: Path, command: str, says: str, view: str
) -> None:
    async with shells(tmp_path, view=view) as domain:
        with pytest.raises(coagent.ToolFailed, match=says):
            await _run(await domain.join("A"), command)
    assert not (tmp_path / ".git").exists()


async def test_settings_of_a_repository_in_a_subfolder_are_not_changed(workspace: Path) -> None:
    sub = workspace / "sub"
    sub.mkdir()
    git(sub, "init", "-q")
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for command in ("git -C sub config x.y z", "echo x > sub/.git/hooks/pre-commit"):
            with pytest.raises(coagent.ToolFailed, match="outside of your view"):
                await _run(a, command)
        await _run(a, "git -C sub status --short")
    assert not (sub / ".git/hooks/pre-commit").exists()


async def test_a_repository_whose_references_are_not_in_files_is_not_changed(workspace: Path) -> None:
    (workspace / ".git/reftable").mkdir()
    async with shells(workspace) as domain:
        with pytest.raises(coagent.ToolFailed, match="in another way than in files"):
            await _run(await domain.join("A"), "git tag t")
    assert git(workspace, "tag") == ""


async def test_a_script_that_runs_git_has_the_agents_own_view_too(workspace: Path) -> None:
    (workspace / "save.sh").write_text("echo ran >> $1; g=gi; ${g}t add -A; ${g}t commit -qm saved\n")
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("write_file", path="a.txt", content="half done\n")
        await _run(b, "sh save.sh b.txt")
        assert (workspace / "b.txt").read_text() == "two\nran\n"
    assert git(workspace, "show", "--name-only", "--format=%s") == "saved\n\nb.txt\n"


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("trace", [True, False], ids=["traced", "coarse"])
async def test_branches_are_created_moved_and_deleted_packed_or_not(
    workspace: Path, packed: bool, trace: bool
) -> None:
    git(workspace, "branch", "old/one")
    git(workspace, "tag", "-a", "v1", "-m", "one")
    if packed:
        git(workspace, "pack-refs", "--all", "--prune")
    async with shells(workspace, trace=trace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git branch new; git branch -q -d old/one; git branch old")
        assert await _run(a, "git for-each-ref --format='%(refname:short)'") == "main\nold/one\nv1\n"
        assert await _run(b, "git for-each-ref --format='%(refname:short)'; git describe") == (
            "main\nnew\nold\nv1\nv1\n"
        )
        assert git(workspace, "for-each-ref", "--format=%(refname:short)").split() == [
            "main",
            "new",
            "old",
            "v1",
        ]
        await b.undo("B.1")
    assert git(workspace, "for-each-ref", "--format=%(refname:short)").split() == ["main", "old/one", "v1"]
    git(workspace, "fsck", "--strict")


async def test_a_listing_of_branches_runs_again_when_one_comes_to_be(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git branch --list")
        await _run(b, "git rev-parse main; git status")
        await _run(a, "git branch new")
        (notice,) = (await b.call("bash", command="true")).notifications
        assert list(notice.premises) == ["B.1"]


async def test_commands_of_others_in_git_tell_nobody_who_sees_nothing_of_them(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "git status --short; git add -A; git diff --stat; git log --oneline")
        await _run(
            a, "echo x > a.txt; echo y > new; git add -A; git stash -qu; git stash pop -q; git reset -q"
        )
        await _run(a, "git branch aside; git tag apart")
        assert not (await b.call("bash", command="true")).notifications


async def test_an_index_is_made_once_for_what_it_holds(workspace: Path) -> None:
    repository = Repository(str(workspace))
    indexes = Indexes(repository, repository.path / "index")
    commit = repository.commit()
    blob = git(workspace, "hash-object", "-w", "a.txt").strip()
    staged: dict[str, list[list[str | int]]] = {"new": [["100644", blob, 0]], "b.txt": []}
    first = indexes.index(commit, staged, {"src/run.sh": None}, begun_s=0)
    assert indexes.index(commit, dict(staged), {"src/run.sh": None}, begun_s=0).place == first.place
    assert indexes.made == 1
    assert indexes.staged(first.place, commit) == dict(sorted(staged.items()))
    assert first.left_tracked == ["src/run.sh"]
    listed = subprocess.run(
        ["git", "ls-files", "-v"], cwd=workspace, env={**os.environ, "GIT_INDEX_FILE": str(first.place)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert listed == "H a.txt\nH data.bin\nH new\nS src/run.sh\n"


@pytest.mark.parametrize("name", ["a b ", "#x", "!x", "*", "[ab]", "x\\y", "é", "d/e?f"])
async def test_untracked_work_of_others_is_left_alone_whatever_its_name(workspace: Path, name: str) -> None:
    (workspace / name).parent.mkdir(exist_ok=True)
    (workspace / name).write_text("of a person\n")
    async with shells(workspace) as domain:
        await _run(await domain.join("A"), "echo x > a.txt; echo x > ab; git add -A; git commit -qm A")
    assert git(workspace, "show", "--name-only", "--format=").split() == ["a.txt", "ab"]
    assert exclusion(name).startswith("/")


async def test_a_repository_without_a_commit_gets_its_first(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    async with shells(root) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "echo b > b; git add b; git commit -qm B")
        await _run(a, "echo a > a; git add a; git commit -qm A")
    assert git(root, "log", "--format=%s").split() == ["B", "A"]
    assert git(root, "status", "--short") == ""


async def test_the_first_commit_undone_leaves_nothing_staged(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "own").write_text("of a person\n")
    git(root, "add", "own")
    async with shells(root) as domain:
        a = await domain.join("A")
        await _run(a, "echo a > a; git add a; git commit -qm A")
        await a.abort()
    assert git(root, "status", "--short") == "A  own\n"


async def test_what_a_person_has_staged_stays_staged_when_an_agent_commits(workspace: Path) -> None:
    (workspace / "b.txt").write_text("staged\n")
    git(workspace, "add", "b.txt")
    (workspace / "b.txt").write_text("and more\n")
    async with shells(workspace) as domain:
        await _run(
            await domain.join("A"),
            "echo x > a.txt; git commit -qam A; git mv data.bin moved; git commit -qm M",
        )
    assert git(workspace, "status", "--short") == "MM b.txt\n"


async def test_an_agent_of_a_later_domain_begins_with_nothing_staged(workspace: Path) -> None:
    for name in ("c", "d"):
        async with shells(workspace) as domain:
            a = await domain.join("A")
            assert await _run(a, "git diff --cached --name-only; git stash list") == ""
            await _run(a, f"echo x >> a.txt; git add a.txt; git stash -q; echo z > {name}; git add {name}")
            await a.finish()


async def test_a_domain_that_comes_back_from_its_log_still_has_what_was_staged(workspace: Path) -> None:
    log = f"sqlite:{workspace.parent / 'log.db'}"

    def opened() -> Any:
        files = Files(workspace)
        return coagent.open_domain(log, targets=[files], tools=[bash_tools(files.workspace)])

    async with opened() as domain:
        await _run(await domain.join("A"), "echo x > a.txt; git add a.txt; echo y > a.txt")
    async with opened() as domain:
        a = await domain.attach("A")
        await _run(a, "git commit -qm A; git show HEAD:a.txt | grep x")
    assert git(workspace, "status", "--short") == " M a.txt\n"


async def test_a_run_with_git_is_judged_to_be_serial(workspace: Path) -> None:
    async with shells(workspace) as domain:
        history = History(domain)
        domain.observe(history)
        a, b = await domain.join("A"), await domain.join("B")
        await _run(b, "echo y > b.txt; git add b.txt; echo z > new")
        await _run(b, "git commit -qm B; git stash -qu; git checkout -qb b")
        await _run(a, "echo x > a.txt; git commit -qam A")
        await _run(a, "echo y > a.txt; git add a.txt")
        for agent in (a, b):
            while agent.state != "committed":
                await agent.finish()
        verdict = await judge(domain, history)
    assert (verdict.kind, verdict.calls) == ("serial", 4), verdict.reason
