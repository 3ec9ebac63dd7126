"""Git in a view reads what may have changed, and takes nothing for unchanged that is not."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from conftest_sandbox import git, needs_views, shells
from test_git_laid import _Calls

from coagent.builtin.git_calls import Place
from coagent.sandbox.confined import Confined

pytestmark = [pytest.mark.anyio, needs_views]

_LONG_AGO = 1_000_000_000


def _looked(calls: _Calls) -> tuple[Confined, Place, Path]:
    """Begin a command that writes its index anew; return where that is."""
    view, place = calls.begin()
    view.git_layer.mkdir(parents=True)
    index = view.git_layer / "index"
    shutil.copyfile(place.laid.folder / "index", index)
    return view, place, index


def test_what_a_look_has_found_unchanged_is_known_to_the_next_command(workspace: Path) -> None:
    calls = _Calls(workspace)
    view, place, index = _looked(calls)
    index.write_bytes(index.read_bytes() + b"refreshed")
    assert calls.git.end(view, place, only_looks=True) == ({}, [])
    _, after = calls.begin()
    assert (after.laid.folder / "index").read_bytes() == index.read_bytes()
    assert (after.built.name, calls.git.indexes.made) == (place.built.name, 1)
    assert not place.built.place.exists()
    calls.snapshots.close()


def test_of_two_looks_at_once_the_first_one_is_kept(workspace: Path) -> None:
    calls = _Calls(workspace)
    first, second = _looked(calls), _looked(calls)
    for number, (view, place, index) in enumerate((first, second)):
        index.write_bytes(index.read_bytes() + b"%d" % number)
        assert calls.git.end(view, place, only_looks=True) == ({}, [])
    assert (calls.begin()[1].laid.folder / "index").read_bytes() == first[2].read_bytes()
    calls.snapshots.close()


def test_an_index_never_seems_younger_than_what_it_knows_of(workspace: Path) -> None:
    calls = _Calls(workspace)
    before = time.time()
    view, place, index = _looked(calls)
    assert (place.laid.folder / "index").stat().st_mtime < before - 1
    calls.git.end(view, place, only_looks=True)
    os.utime(index)
    assert (calls.begin()[1].laid.folder / "index").stat().st_mtime < before - 1
    calls.snapshots.close()


async def test_files_as_old_as_the_index_are_read_once(workspace: Path) -> None:
    for place in (*workspace.glob("*.*"), workspace / "src/run.sh", workspace / ".git/index"):
        os.utime(place, (_LONG_AGO, _LONG_AGO))  # as after a clone: whether they have changed must be read
    async with shells(workspace) as domain:
        a = await domain.join("A")
        seen = await a.call(
            "bash", command="git status --short; test .git/index -nt a.txt && git ls-files -m"
        )
        assert (seen.value["exit_code"], seen.value["output"]) == (0, "")


@pytest.mark.parametrize("seed", range(2))
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
