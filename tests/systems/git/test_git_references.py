"""References of a real repository: moved by one writer at a time, and known to stand without running git."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest

from coagent.errors import TargetError, TargetUnavailable
from coagent.systems.git.repository import Repository
from coagent.targets import Files, GuardFailed

_S_MAX = 20.0
MAIN, HEAD = "git:.git/refs/heads/main", "git:.git/HEAD"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    for number in range(3):
        (tmp_path / "a").write_text(f"{number}\n")
        git(tmp_path, "add", "a")
        git(tmp_path, "commit", "-qm", str(number))
    git(tmp_path, "branch", "other", "HEAD~1")
    return tmp_path


@pytest.fixture
def target(root: Path) -> Iterator[Files]:
    target = Files(root)
    yield target
    anyio.run(target.close)


def put(target: Files, key: str, value: Any, *expected: Any) -> None:
    async def main() -> None:
        await target.put(key, value, expected=expected)

    anyio.run(main)


def read_until_sure(target: Files, *keys: str) -> None:
    deadline = monotonic() + _S_MAX
    for key in keys:
        while not target.unchanged(key):
            assert monotonic() < deadline
            anyio.run(target.get, key)


def changed(target: Files, *keys: str) -> set[str]:
    return set(anyio.run(target.changed, keys, ()))


def before_moving(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Let somebody do something when everything has been compared."""
    run, waiting = Repository.run, [act]

    def later(self: Repository, *arguments: str, **rest: Any) -> bytes:
        if arguments[0] in ("update-ref", "check-ref-format") and waiting:
            waiting.pop()()
        return run(self, *arguments, **rest)

    monkeypatch.setattr(Repository, "run", later)


def test_a_commit_by_somebody_else_is_noticed(target: Files, root: Path) -> None:
    read_until_sure(target, MAIN, HEAD)
    assert changed(target, MAIN, HEAD) == set()
    git(root, "commit", "-q", "--allow-empty", "-m", "more")
    assert not target.unchanged(MAIN)
    assert changed(target, MAIN, HEAD) == {MAIN}
    assert anyio.run(target.get, MAIN) == git(root, "rev-parse", "main")
    git(root, "switch", "-q", "other")
    assert changed(target, HEAD) == {HEAD}
    assert anyio.run(target.get, HEAD) == "ref: refs/heads/other"


def test_packing_references_changes_none(target: Files, root: Path) -> None:
    read_until_sure(target, MAIN)
    before = anyio.run(target.get, MAIN)
    git(root, "pack-refs", "--all")
    assert not target.unchanged(MAIN)
    assert anyio.run(target.get, MAIN) == before


def test_branches_that_come_and_go_are_heard_of(target: Files, root: Path) -> None:
    async def main() -> None:
        prefix = "git:.git/refs/heads/"
        await target.list(prefix)
        assert not await target.changed((), [prefix])
        git(root, "branch", "new")
        assert set(await target.changed((), [prefix])) == {f"{prefix}new"}
        assert not await target.changed((), [prefix])
        git(root, "branch", "-D", "new")
        git(root, "branch", "-f", "other", "main")
        assert set(await target.changed((), [prefix])) == {f"{prefix}new", f"{prefix}other"}

    anyio.run(main)


@pytest.mark.parametrize("lock", ["index.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_a_git_at_work_passes(target: Files, root: Path, lock: str) -> None:
    old, new = git(root, "rev-parse", "main"), git(root, "rev-parse", "other")
    key, value, expected = (HEAD, "ref: refs/heads/other", "ref: refs/heads/main")
    if lock != "HEAD.lock":
        key, value, expected = MAIN, new, old
    (root / ".git" / lock).touch()
    with pytest.raises(TargetUnavailable, match=r"\.lock") as caught:
        put(target, key, value, expected)
    assert "delete" in caught.value.cure
    assert anyio.run(target.get, key) == expected
    (root / ".git" / lock).unlink()
    put(target, key, value, expected)
    assert anyio.run(target.get, key) == value
    assert git(root, "diff", "--cached", "--name-only") == ""


@pytest.mark.parametrize("value", ["moved", "deleted"])
def test_a_branch_that_somebody_moves_meanwhile_stays(
    target: Files, root: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    old, new = git(root, "rev-parse", "main"), git(root, "rev-parse", "other")
    theirs = git(root, "commit-tree", "-m", "theirs", "main^{tree}")
    before_moving(monkeypatch, lambda: git(root, "update-ref", "refs/heads/main", theirs))
    with pytest.raises(GuardFailed) as caught:
        put(target, MAIN, new if value == "moved" else None, old)
    assert caught.value.found == theirs
    assert git(root, "rev-parse", "main") == theirs


def test_a_head_that_somebody_switches_meanwhile_stays(
    target: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(root, "branch", "theirs")
    before_moving(monkeypatch, lambda: git(root, "switch", "-q", "theirs"))
    with pytest.raises(GuardFailed) as caught:
        put(target, HEAD, "ref: refs/heads/other", "ref: refs/heads/main")
    assert caught.value.found == "ref: refs/heads/theirs"
    assert git(root, "symbolic-ref", "HEAD") == "refs/heads/theirs"
    assert not (root / ".git/HEAD.lock").exists()


def test_an_index_that_could_not_follow_does_so_with_the_next_try(
    target: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = git(root, "rev-parse", "main"), git(root, "rev-parse", "other")
    follow, tries = Repository.follow, [0]

    def locked(self: Repository, before: str | None, after: str | None) -> None:
        tries[0] += 1
        if tries[0] == 1:
            raise TargetUnavailable("index.lock exists")
        follow(self, before, after)

    monkeypatch.setattr(Repository, "follow", locked)
    with pytest.raises(TargetUnavailable):
        put(target, MAIN, new, old)
    put(target, MAIN, new, old)
    assert git(root, "rev-parse", "main") == new
    assert git(root, "diff", "--cached", "--name-only") == ""


def test_a_git_that_cannot_be_run_passes_and_a_refusal_does_not(
    target: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = git(root, "rev-parse", "main")
    with pytest.raises(TargetError) as caught:
        put(target, MAIN, "0123456789" * 4, old)
    assert not isinstance(caught.value, TargetUnavailable)
    with pytest.raises(TargetError) as caught:
        put(target, HEAD, "ref: refs/heads/a..b", "ref: refs/heads/main")
    assert not isinstance(caught.value, TargetUnavailable)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(TargetUnavailable, match="cannot be run"):
        put(target, MAIN, None, old)
    assert anyio.run(target.get, MAIN) == old


DYING = """
import os, signal, sys
import anyio
from coagent.targets import Files

real = os.{step}

def act(*given, **named):
    done = real(*given, **named)
    if str(given[-1]).endswith(".lock"):
        os.kill(os.getpid(), signal.SIGKILL)
    return done

os.{step} = act

async def main():
    await Files(sys.argv[1]).put("git:.git/HEAD", "ref: refs/heads/other", expected=["ref: refs/heads/main"])

anyio.run(main)
"""


def test_the_lock_of_a_process_that_was_killed_as_it_wrote_a_reference_goes(
    root: Path, target: Files
) -> None:
    done = subprocess.run([sys.executable, "-c", DYING.replace("{step}", "link"), str(root)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (root / ".git" / "HEAD.lock").exists()
    with pytest.raises(TargetUnavailable, match=r"HEAD\.lock"):
        put(target, HEAD, "ref: refs/heads/other", "ref: refs/heads/main")
    anyio.run(target.tidy, [HEAD])
    put(target, HEAD, "ref: refs/heads/other", "ref: refs/heads/main")
    assert not [name for name in os.listdir(root / ".git") if "lock" in name]


def test_the_lock_of_somebody_elses_git_is_left_alone(root: Path, target: Files) -> None:
    lock = root / ".git" / "HEAD.lock"
    lock.write_text("ref: refs/heads/other\n")
    (root / ".git" / "coagent-lock-of-the-dead").write_text("ref: refs/heads/other\n")
    anyio.run(target.tidy, [HEAD])
    assert lock.exists()
    with pytest.raises(TargetUnavailable, match="delete that file"):
        put(target, HEAD, "ref: refs/heads/other", "ref: refs/heads/main")
