"""Git where the workspace is a folder of a repository: what lies beside it is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import IN_COPIES, git, needs_views, shells, tree

from coagent.errors import ToolFailed

pytestmark = [
    pytest.mark.anyio,
    needs_views,
    pytest.mark.skipif(IN_COPIES, reason="a copy does not lie in the repository"),
]


@pytest.fixture
def folder(workspace: Path) -> Path:
    """A folder two below the top of a repository, which has a person's work beside it."""
    root = workspace / "packages" / "my app"
    root.mkdir(parents=True)
    (root / "lib.py").write_text("one = 1\n")
    (root / "sub").mkdir()
    (root / "sub/deep.txt").write_text("deep\n")
    (workspace / "packages/beside.txt").write_text("beside\n")
    (workspace / ".gitignore").write_text("*.log\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "packages")
    (workspace / "a.txt").write_text("a person's\n")
    (workspace / "packages/new.txt").write_text("a person's\n")
    return root


_PERSONS = " M a.txt\n?? packages/new.txt\n"


def _tree(root: Path) -> dict[str, Any]:
    return {path: one for path, one in tree(root).items() if ".coagent" not in path.split("/")}


async def _run(agent: Any, command: str, **more: Any) -> tuple[int, str]:
    value = (await agent.call("bash", command=command, **more)).value
    return value["exit_code"], value["output"]


async def _end(*agents: Any) -> None:
    for agent in agents:
        while agent.state not in ("committed", "aborted"):
            await agent.finish(wait=True)


async def test_an_agent_alone_stages_and_commits_what_lies_below(workspace: Path, folder: Path) -> None:
    async with shells(folder) as domain:
        a = await domain.join("A")
        assert await _run(a, "git status --short; git status --short | cat") == (0, "")
        assert await _run(a, "echo two = 2 >> lib.py; echo n > new.txt; git status --short") == (
            0, " M lib.py\n?? new.txt\n",
        )  # fmt: skip
        assert await _run(a, "git diff --stat | tail -1; git add -A; git status --short") == (
            0, " 1 file changed, 1 insertion(+)\nM  lib.py\nA  new.txt\n",
        )  # fmt: skip
        assert await _run(a, "git commit -qm mine; git show --format=%s --name-only") == (
            0, "mine\n\npackages/my app/lib.py\npackages/my app/new.txt\n",
        )  # fmt: skip
        assert await _run(a, "git rev-parse --show-toplevel --show-prefix") == (
            0, f"{workspace}\npackages/my app/\n",
        )  # fmt: skip
        assert await _run(a, "echo x > y.log; git status --short; git ls-files -o --exclude-standard") == (
            0,
            "",
        )
        assert git(workspace, "log", "--format=%s") == "mine\npackages\nbegin\n"
        assert git(workspace, "status", "--short") == _PERSONS
        await _end(a)
    git(workspace, "fsck", "--strict")


@pytest.mark.parametrize("first", ["earlier", "later"])
async def test_two_agents_commit_in_either_order(workspace: Path, folder: Path, first: str) -> None:
    async with shells(folder) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        before = git(workspace, "log", "--format=%s")
        await a.call("write_file", path="loose.txt", content="of A\n")
        commit = "git commit -qm 'from "
        works = [
            (a, f"echo a > a.new; sed -i 's/one = 1/one = 10/' lib.py; git add a.new lib.py; {commit}A'"),
            (b, f"echo b > b.new; echo two = 2 >> lib.py; git add -A; {commit}B'; git status --short"),
        ]
        for agent, command in works if first == "earlier" else reversed(works):
            assert await _run(agent, command) == (0, "")
        assert await _run(b, "git stash -qu; git clean -fdq; git reset -q --hard; ls loose.txt") == (
            0, "loose.txt\n",
        )  # fmt: skip
        assert (await _run(a, "git log --format=%s; ls"))[
            1
        ] == f"from A\n{before}a.new\nlib.py\nloose.txt\nsub\n"
        await _end(a, b)
    assert git(workspace, "log", "--format=%s") == f"from B\nfrom A\n{before}"
    assert (
        git(workspace, "status", "--short")
        == ' M a.txt\n?? "packages/my app/loose.txt"\n?? packages/new.txt\n'
    )
    shown = git(workspace, "show", "--format=", "--name-only", "HEAD~1")
    assert shown == "packages/my app/a.new\npackages/my app/lib.py\n"
    assert git(workspace, "show", "HEAD~1:packages/my app/lib.py") == "one = 10\n"
    assert git(workspace, "show", "HEAD:packages/my app/lib.py") == "one = 10\ntwo = 2\n"
    git(workspace, "fsck", "--strict")


async def test_undo_and_abort_take_commits_back(workspace: Path, folder: Path) -> None:
    before = git(workspace, "log", "--format=%H"), git(workspace, "status", "--short"), _tree(workspace)
    async with shells(folder) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        made = await a.call("bash", command="echo a > a.new; git add -A; git commit -qm 'from A'")
        assert await _run(b, "cat a.new; git switch -qc side; echo > b.new; git add .") == (0, "a\n")
        assert await _run(b, "git commit -qm 'from B'") == (0, "")
        assert git(workspace, "log", "--format=%s", "side").split("\n")[:2] == ["from B", "from A"]
        await a.undo(made.call_id)
        assert await _run(b, "git log --format=%s -2; git status --short; ls *.new") == (
            0, "from B\npackages\nb.new\n",
        )  # fmt: skip
        await b.abort()
        await a.abort()
    assert (git(workspace, "log", "--format=%H"), git(workspace, "status", "--short")) == before[:2]
    assert _tree(workspace) == before[2]
    assert git(workspace, "branch", "--format=%(refname:short)") == "main\n"


async def test_a_persons_work_below_is_left_alone_and_named(workspace: Path, folder: Path) -> None:
    (folder / "sub/deep.txt").write_text("a person's\n")
    (folder / "theirs.txt").write_text("a person's\n")
    async with shells(folder) as domain:
        a = await domain.join("A")
        value = (await a.call("bash", command="echo x > x.txt; git add -A; git commit -qm x")).value
        assert value["left_to_others"] == ["sub/deep.txt", "theirs.txt"]
        edit = "sed -i s/person/agent/ sub/deep.txt; git commit -qam own"
        assert await _run(a, f"{edit}; git show --stat --format=") == (
            0, " packages/my app/sub/deep.txt | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n",
        )  # fmt: skip
        await _end(a)


async def test_what_an_earlier_agent_commits_later_is_below_what_has_read_the_log(
    workspace: Path, folder: Path
) -> None:
    (folder / "script.sh").write_text("git log --format=%s -1 > last.txt\n")
    async with shells(folder) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("bash", command="sh script.sh")
        assert (folder / "last.txt").read_text() == "packages\n"
        assert await _run(a, "echo a > a.new; git add a.new; git commit -qm 'from A'") == (0, "")
        await _end(a, b)
    assert (folder / "last.txt").read_text() == "from A\n"


_OUTSIDE = [
    "git switch -q other",
    "git merge -q other",
    "git cherry-pick other",
    "git reset -q --hard other",
    "git reset -q other",
    "git rm -q --cached --sparse ../../b.txt; git commit -qm x",
    "git update-index --cacheinfo 100644,$(git rev-parse HEAD:b.txt),packages/beside.txt",
    "git checkout -q other -- ../../b.txt",
    "git restore --source other ../../b.txt",
    "git init -q .",
]


@pytest.mark.parametrize("command", _OUTSIDE)
async def test_what_would_change_files_beside_the_workspace_is_refused(
    workspace: Path, folder: Path, command: str
) -> None:
    git(workspace, "stash", "-qu")
    git(workspace, "switch", "-qc", "other")
    (workspace / "b.txt").write_text("of the other branch\n")
    (folder / "lib.py").write_text("other = 1\n")
    git(workspace, "commit", "-qam", "other")
    git(workspace, "switch", "-q", "main")
    git(workspace, "stash", "pop", "-q")
    before = _tree(workspace), git(workspace, "for-each-ref"), git(workspace, "status", "--short")
    async with shells(folder) as domain:
        a = await domain.join("A")
        with pytest.raises(ToolFailed, match=r"outside of the workspace|makes a git repository"):
            await _run(a, command)
        assert await _run(a, "git status --short; git symbolic-ref HEAD") == (0, "refs/heads/main\n")
        await a.abort()
    assert (_tree(workspace), git(workspace, "for-each-ref"), git(workspace, "status", "--short")) == before
