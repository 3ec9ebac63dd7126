"""Git in the governed shell ends where plain git ends: one agent as it is, several in the order of ranks."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import IN_COPIES, git, needs_views, shells, tree

pytestmark = [pytest.mark.anyio, needs_views]

_SESSION = (
    "git checkout -qb work",
    "echo more >> a.txt; git add a.txt; echo even more >> a.txt",
    "git commit -qm staged; git status --short",
    "git commit -qam rest",
    "git mv b.txt c.txt; git rm -q data.bin",
    "git commit -qm moved; git tag v1; git tag -a v2 -m annotated",
    "echo x > a.txt; git stash -q; git checkout -q main; git stash pop -q || git checkout -q work",
    "git checkout -q main 2>/dev/null; git merge -q --no-edit work",
    "echo fix > fix.txt; git add -N fix.txt; git add fix.txt; git commit -qm fix",
    "git checkout -qf -b topic HEAD~1; echo t > t.txt; git add .; git commit -qm topic",
    "git rebase -q main || git rebase --abort",
    "git cherry-pick v1 >/dev/null 2>&1 || git cherry-pick --abort",
    "git revert --no-edit HEAD -q 2>/dev/null; git branch -m topic theme",
    "git reset -q --hard HEAD~1; git reset -q HEAD~1; git stash -qu; git stash drop -q",
    "git pack-refs --all; git checkout -q --detach; echo d > d; git add d; git commit -qm detached",
)
_COMMANDS = (
    "echo {word} >> {mine}; git add {mine}",
    "echo {word} > {mine}; git add -A; git commit -qm '{word} {name}'",
    "git commit -qam {name}",
    "git rm -qf {mine}",
    "git mv {mine} {mine}x",
    "echo {word} >> {mine}; git stash -q",
    "git stash pop -q",
    "git reset -q",
    "git checkout -q -- {mine}",
    "git checkout -qb {name}-{word}",
    "git tag {name}-{word}",
    "cat {mine}; git reset -q --hard",
    "git log --format=%s | wc -l > {mine}",
    "git branch -D {name}-{word}",
)


def _commits(root: Path, name: str) -> tuple[str, list[str]]:
    """Return a line of commits in its order, and all it was merged from, which git orders by the second."""
    line, every = (git(root, "log", *more, "--format=%s %T", name) for more in (["--first-parent"], []))
    return line, sorted(every.splitlines())


def _state(root: Path, *, index: bool = True) -> dict[str, Any]:
    """Return what git has, but for names of commits, which hang on the time."""
    names = git(root, "for-each-ref", "--format=%(refname)").split()
    names = [name for name in names if name != "refs/stash"]
    return {
        "head": (root / ".git/HEAD").read_text()
        if "ref:" in (root / ".git/HEAD").read_text()
        else "detached",
        "commits": {name: _commits(root, name) for name in [*names, "HEAD"]},
        "files": {path: one for path, one in tree(root).items() if ".coagent" not in path.split("/")},
        "status": git(root, "status", "--short") if index else "",
    }


def _plain(root: Path, command: str) -> None:
    who = {f"GIT_{one}_{what}": "t@e" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["bash", "-c", f"export {' '.join(f'{k}={v}' for k, v in who.items())}; {command}"],
                   cwd=root, capture_output=True, check=False)  # fmt: skip


async def test_a_session_of_one_agent_is_that_of_plain_git(workspace: Path) -> None:
    plain = workspace.parent / "plain"
    shutil.copytree(workspace, plain, symlinks=True)
    async with shells(workspace) as domain:
        a = await domain.join("A")
        for command in _SESSION:
            await a.call("bash", command=command)
            _plain(plain, command)
            if command.startswith(("git checkout -qb", "git commit", "git tag")):
                assert _state(workspace, index=False) == _state(plain, index=False), command
    assert _state(workspace) == _state(plain)
    git(workspace, "fsck", "--strict")


def _scripts(seed: int) -> list[list[str]]:
    random_ = random.Random(seed)
    return [
        [
            random_.choice(_COMMANDS).format(
                mine=f"{name}{random_.randint(1, 2)}.txt", name=name, word=random_.choice(("foo", "bar"))
            )
            for _ in range(random_.randint(3, 6))
        ]
        + ["git stash pop -q; git add -A; git commit -qm end"]  # so that nothing is left for the next one
        for name in ("a", "b", "c")[: random_.randint(2, 3)]
    ]


@pytest.mark.parametrize(
    "below", ["", pytest.param("packages/app", marks=pytest.mark.skipif(IN_COPIES, reason="-"))]
)
@pytest.mark.parametrize(
    "seed", [3, 5, 8, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2, 4, 6))]
)
async def test_several_agents_end_where_plain_git_ends_in_the_order_of_ranks(
    workspace: Path, seed: int, below: str
) -> None:
    (workspace / below).mkdir(parents=True, exist_ok=True)
    for name in ("a1", "a2", "b1", "b2", "c1", "c2"):
        (workspace / below / f"{name}.txt").write_text(f"of {name}\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "more")
    plain = workspace.parent / "plain"
    shutil.copytree(workspace, plain, symlinks=True)
    scripts = _scripts(seed)
    for script in scripts:
        for command in script:
            _plain(plain / below, command)
        git(plain, "stash", "clear")
    order = [rank for rank, script in enumerate(scripts) for _ in script]
    random.Random(seed + 1000).shuffle(order)
    async with shells(workspace / below) as domain:
        agents = [await domain.join(f"agent{rank}") for rank in range(len(scripts))]
        ahead = [list(script) for script in scripts]
        for rank in order:
            await agents[rank].call("bash", command=ahead[rank].pop(0))
    assert _state(workspace) == _state(plain), (scripts, order)
    git(workspace, "fsck", "--strict")
