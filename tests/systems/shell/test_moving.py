"""Folders that commands move by rename(2), as git, Python and Node do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import git, needs_views, shells, tree

from coagent.systems.shell.views import launch_server

pytestmark = [pytest.mark.anyio, needs_views]
_RENAME = 'python3 -c \'import os; os.rename("{}", "{}")\''


@pytest.fixture(params=["traced in C", "traced in Python", "coarse", "copy"])
def options(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How views are made and followed."""
    if request.param == "traced in Python":
        monkeypatch.setattr(launch_server, "_compile", lambda _folder: [])
    if request.param == "copy":
        return {"view": "copy"}
    return {"trace": request.param != "coarse"}


def _plain(root: Path, folders: str = "lib") -> dict[str, tuple[bytes, str]]:
    (root / folders / "deep/er").mkdir(parents=True)
    (root / folders / "deep/run.sh").write_text("#!/bin/sh\n")
    (root / folders / "deep/run.sh").chmod(0o755)
    (root / folders / "deep/er/file").write_text("one\n")
    (root / folders / "link").symlink_to("deep")
    (root / folders / "empty").mkdir()
    return tree(root)


async def test_a_folder_is_moved_with_all_that_is_in_it(workspace: Path, options: dict[str, Any]) -> None:
    before = _plain(workspace)
    expected = {name.replace("lib", "src/moved", 1): what for name, what in before.items()}
    async with shells(workspace, **options) as domain:
        agent = await domain.join("A")
        done = await agent.call("bash", command=_RENAME.format("lib", "src/moved"))
        assert done.value == {"exit_code": 0, "output": ""}
        assert tree(workspace) == expected
        await agent.abort()
    assert tree(workspace) == before


async def test_git_moves_folders(workspace: Path, options: dict[str, Any]) -> None:
    async with shells(workspace, **options) as domain:
        agent = await domain.join("A")
        done = await agent.call("bash", command="git mv src bin && git commit -qm moved && git status -s")
        assert done.value == {"exit_code": 0, "output": ""}
    assert git(workspace, "ls-tree", "-r", "--name-only", "main").split() == [
        "a.txt", "b.txt", "bin/run.sh", "data.bin",
    ]  # fmt: skip


async def test_two_folders_change_places(workspace: Path, options: dict[str, Any]) -> None:
    before = _plain(workspace)
    command = "import ctypes; exit(ctypes.CDLL(None).renameat2(-100, b'lib', -100, b'src', 2))"
    async with shells(workspace, **options) as domain:
        agent = await domain.join("A")
        done = await agent.call("bash", command=f'python3 -c "{command}"')
        assert done.value["exit_code"] == 0
        assert (workspace / "src/deep/er/file").read_text() == "one\n"
        assert (workspace / "lib/run.sh").read_text() == "#!/bin/sh\necho ran\n"
        await agent.abort()
    assert tree(workspace) == before


async def test_what_an_earlier_agent_then_writes_in_it_is_moved_too(
    workspace: Path, options: dict[str, Any]
) -> None:
    _plain(workspace)
    async with shells(workspace, **options) as domain:
        first, second = await domain.join("A"), await domain.join("B")
        await second.call("bash", command=_RENAME.format("lib", "moved"))
        await first.call("bash", command="echo two >> lib/deep/er/file; echo new > lib/new")
        assert (workspace / "moved/deep/er/file").read_text() == "one\ntwo\n"
        assert (workspace / "moved/new").read_text() == "new\n"
        assert not (workspace / "lib").exists()


async def test_a_move_that_fails_leaves_all_as_it_was(workspace: Path, options: dict[str, Any]) -> None:
    before = _plain(workspace)
    async with shells(workspace, **options) as domain:
        agent = await domain.join("A")
        done = await agent.call("bash", command=_RENAME.format("lib", "src"))
        assert done.value["exit_code"] == 1
        assert "Directory not empty" in done.value["output"]
    assert tree(workspace) == before


async def test_folders_left_in_tmp_can_be_moved(workspace: Path) -> None:
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        await agent.call("bash", command="mkdir $TMPDIR/one && echo left > $TMPDIR/one/file")
        move = 'python3 -c \'import os; os.chdir(os.environ["TMPDIR"]); os.rename("one", "two")\''
        await agent.call("bash", command=move)
        said = await agent.call("bash", command="cat $TMPDIR/two/file; ls $TMPDIR")
        assert said.value["output"] == "left\ntwo\n"


async def test_a_folder_with_a_real_one_in_it_stays_whole(workspace: Path, options: dict[str, Any]) -> None:
    _plain(workspace)
    (workspace / "lib/node_modules/one").mkdir(parents=True)
    async with shells(workspace, **options) as domain:
        agent = await domain.join("A")
        await agent.call("bash", command=_RENAME.format("lib/deep", "lib/deeper"))
        await agent.call("bash", command=_RENAME.format("lib", "moved"))
        (found,) = (workspace / name for name in ("lib", "moved") if (workspace / name / "deeper").exists())
        assert (found / "deeper/er/file").read_text() == "one\n"
        assert os.path.isdir(workspace / "lib/node_modules/one")
