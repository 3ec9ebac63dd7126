"""Git in a view reads what may have changed, and takes nothing for unchanged that is not."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from conftest_sandbox import git, needs_views, shells
from test_git_seeded import _Calls

from coagent.systems.git.calls import RepositoryView
from coagent.systems.shell.views.confined import Confined

pytestmark = [pytest.mark.anyio, needs_views]

_LONG_AGO = 1_000_000_000


def _looked(calls: _Calls) -> tuple[Confined, RepositoryView, Path]:
    """Begin a command that writes its index anew; return where that is."""
    view, git_view = calls.begin("git status")
    view.git_layer.mkdir(parents=True)
    index = view.git_layer / "index"
    shutil.copyfile(git_view.seeded.folder / "index", index)
    return view, git_view, index


def test_what_a_look_has_found_unchanged_is_known_to_the_next_command(workspace: Path) -> None:
    calls = _Calls(workspace)
    view, git_view, index = _looked(calls)
    index.write_bytes(index.read_bytes() + b"refreshed")
    assert calls.git.end(view, git_view) == ({}, [])
    _, after = calls.begin()
    assert (after.seeded.folder / "index").read_bytes() == index.read_bytes()
    assert (after.built.name, calls.git.indexes.made) == (git_view.built.name, 1)
    assert not git_view.built.place.exists()
    calls.snapshots.close()


def test_of_two_looks_at_once_the_first_one_is_kept(workspace: Path) -> None:
    calls = _Calls(workspace)
    first, second = _looked(calls), _looked(calls)
    for number, (view, git_view, index) in enumerate((first, second)):
        index.write_bytes(index.read_bytes() + b"%d" % number)
        assert calls.git.end(view, git_view) == ({}, [])
    assert (calls.begin()[1].seeded.folder / "index").read_bytes() == first[2].read_bytes()
    calls.snapshots.close()


def test_an_index_never_seems_younger_than_what_it_knows_of(workspace: Path) -> None:
    calls = _Calls(workspace)
    before = time.time()
    view, git_view, index = _looked(calls)
    assert (git_view.seeded.folder / "index").stat().st_mtime < before - 1
    calls.git.end(view, git_view)
    os.utime(index)
    assert (calls.begin()[1].seeded.folder / "index").stat().st_mtime < before - 1
    calls.snapshots.close()


def test_only_a_look_that_has_found_nothing_to_write_goes_without_a_layer_the_next_time(
    workspace: Path,
) -> None:
    def layered(view: Confined) -> bool:
        view.spec(["true"], str(workspace), {})
        return bool(json.loads((view.scratch / "spec.json").read_text())["git_layered"])

    calls = _Calls(workspace)
    view, git_view, index = _looked(calls)
    index.write_bytes(index.read_bytes() + b"refreshed")
    calls.git.end(view, git_view)
    for expected in (True, False):
        view, git_view = calls.begin("git status")
        view.scratch.mkdir(exist_ok=True)
        assert layered(view) is expected
        assert calls.git.end(view, git_view) == ({}, [])
    for looks in ("", "git diff"):
        view, _ = calls.begin(looks)
        view.scratch.mkdir(exist_ok=True)
        assert layered(view)
    commit = git(workspace, "rev-parse", "HEAD").strip()
    view, _ = calls.begin("git status", refs__heads__other=commit)
    view.scratch.mkdir(exist_ok=True)
    assert layered(view)
    calls.snapshots.close()


async def test_files_as_old_as_the_index_are_read_once(workspace: Path) -> None:
    for path in (*workspace.glob("*.*"), workspace / "src/run.sh", workspace / ".git/index"):
        os.utime(path, (_LONG_AGO, _LONG_AGO))  # as after a clone: whether they have changed must be read
    async with shells(workspace) as domain:
        a = await domain.join("A")
        seen = await a.call(
            "bash", command="git status --short; test .git/index -nt a.txt && git ls-files -m"
        )
        assert (seen.value["exit_code"], seen.value["output"]) == (0, "")


async def test_links_are_known_for_unchanged(workspace: Path) -> None:
    (workspace / "link").symlink_to("a.txt")
    os.utime(workspace / "link", (_LONG_AGO, _LONG_AGO), follow_symlinks=False)
    git(workspace, "add", "link")
    git(workspace, "commit", "-qm", "link")
    async with shells(workspace) as domain:
        a = await domain.join("A")
        seen = await a.call("bash", command="git diff-files; git diff-index HEAD")
        assert (seen.value["exit_code"], seen.value["output"]) == (0, "")


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
async def test_changes_of_one_second_and_size_are_seen(workspace: Path, seed: int) -> None:
    random_ = random.Random(seed)
    shown = {"a.txt": "one\n", "b.txt": (workspace / "b.txt").read_text()}
    async with shells(workspace) as domain:
        agents = [await domain.join("A"), await domain.join("B")]
        for _ in range(25):
            agent, path = random_.choice(agents), random_.choice(list(shown))
            if random_.random() < 0.6:
                shown[path] = f"{random_.randint(100, 999)}\n"
                await agent.call("read_file", path=path)
                await agents[0].call("write_file", path=path, content=shown[path])
            look = random_.choice(("git status --short", "git status", "git diff", "git status; git diff"))
            await agents[0].call("bash", command=look)
            said = (await agents[0].call("bash", command=f"git diff HEAD {path}")).value["output"]
            committed = git(workspace, "show", f"HEAD:{path}")
            assert (f"+{shown[path]}" in said) is (shown[path] != committed), (said, shown)
            if random_.random() < 0.2:
                await agents[0].call("bash", command="git commit -qam more")
