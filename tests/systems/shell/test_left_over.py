"""What commands leave that cannot be kept, and what must not be left of views."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from conftest_sandbox import git, needs_views, shells, tree

from coagent.errors import ToolFailed
from coagent.systems.files.temporaries import TEMPORARY

pytestmark = [pytest.mark.anyio, needs_views]


@pytest.fixture
def scratches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which views are made."""
    place = tmp_path / "scratches"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


async def test_closed_domains_leave_no_folders_of_views(workspace: Path, scratches: Path) -> None:
    for _ in range(5):
        async with shells(workspace) as domain:
            agent = await domain.join("A")
            await agent.call("bash", command="true")
            assert list(scratches.glob("coagent-process-*/bash-*"))  # of the process that waits
        assert not list(scratches.glob("coagent-process-*/bash-*"))


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("chattr"), reason="only root may make files immutable"
)
async def test_no_file_of_a_view_can_be_made_immutable(workspace: Path) -> None:
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        done = await agent.call("bash", command="echo more >> a.txt; chattr +i a.txt")
        assert done.value["exit_code"] == 1
        assert "Operation not permitted" in done.value["output"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all files")
async def test_a_file_that_its_owner_may_not_read_is_refused_by_its_name(workspace: Path) -> None:
    before = tree(workspace)
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        with pytest.raises(ToolFailed, match=r"at 'src/run.sh' cannot be read: Permission denied"):
            await agent.call("bash", command="echo more >> a.txt; chmod 000 src/run.sh")
    assert tree(workspace) == before


async def test_a_path_that_is_too_long_is_refused_by_its_name(workspace: Path) -> None:
    before = tree(workspace)
    make = "for i in $(seq 40); do mkdir $n && cd $n; done; touch file"
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        with pytest.raises(ToolFailed, match=r"at 'nnnn.*' cannot be read: File name too long"):
            await agent.call("bash", command=f"n=$(printf 'n%.0s' $(seq 200)); {make}")
    assert tree(workspace) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="others cannot look into it, so it is refused")
async def test_a_new_folder_that_nobody_may_enter_is_told_of(workspace: Path) -> None:
    async with shells(workspace) as domain:
        agent = await domain.join("A")
        done = await agent.call("bash", command="mkdir new && chmod 000 new")
        assert done.value["not_kept"] == ["new (mode 0000)"]


@pytest.mark.anyio
async def test_files_come_in_the_order_in_which_a_command_has_written_them(workspace: Path) -> None:
    (workspace / "Makefile").write_text("out: in z\n\tcat in z > out\nz:\n\techo z > z\n")
    (workspace / "in").write_text("1\n")
    async with shells(workspace) as domain:
        a = await domain.join("A")

        async def run(command: str) -> str:
            return str((await a.call("bash", command=command)).value["output"])

        await run("make -s")
        assert "up to date" in await run("make")
        await run("make -s; until [ in -nt out ]; do echo 2 > in; done")
        assert await run("make -s; cat out") == "2\nz\n"
        assert "up to date" in await run("make")


@pytest.mark.anyio
async def test_what_is_written_again_later_has_been_changed_later(workspace: Path) -> None:
    place = workspace / "new.txt"
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await a.call("bash", command="echo 1 > new.txt")
        first = place.stat().st_mtime_ns
        await a.call("delete_file", path="new.txt")
        (workspace / "between").touch()
        await a.call("write_file", path="new.txt", content="1\n")
        assert first < (workspace / "between").stat().st_mtime_ns <= place.stat().st_mtime_ns


@pytest.mark.parametrize("view", ["overlay", "copy"])
async def test_what_a_killed_process_left_in_the_workspace_is_in_no_view(workspace: Path, view: str) -> None:
    git(workspace, "status")
    name = f"{TEMPORARY}r-00000000.1.00000000-{'0' * 16}-{'1' * 16}-01234567-a.txt~"
    for folder in ("", "src"):
        (workspace / folder / name).write_text("of somebody")
        (workspace / folder / f"{TEMPORARY}of-mine").write_text("of somebody")
    async with shells(workspace, view=view) as domain:
        agent = await domain.join("A")
        done = await agent.call("bash", command="ls -A . src; find . -name '.coagent*'; git status --short")
        assert "a.txt" in done.value["output"]
        assert TEMPORARY not in done.value["output"]
    assert (workspace / f"{TEMPORARY}of-mine").read_text() == "of somebody"
