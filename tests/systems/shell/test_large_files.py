"""Files larger than what is read are kept by reference: made, moved, removed, undone, let go of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest_sandbox import IN_COPIES, git, needs_views, tree

import coagent
from coagent.errors import CoAgentError, ToolFailed
from coagent.systems.files.target import Files
from coagent.systems.files.tools import FILE_TOOLS
from coagent.systems.shell.tools import bash_tools

pytestmark = [pytest.mark.anyio, needs_views]
MAX = 10_000
LARGE = "head -c 20000 /dev/zero | tr '\\0' "


@asynccontextmanager
async def _shells(root: Path, url: str = "memory:") -> AsyncIterator[coagent.Domain]:
    files = Files(root, max_bytes=MAX)
    view: Any = os.environ.get("COAGENT_TEST_VIEW", "auto")
    tools = [FILE_TOOLS, bash_tools(files.workspace, view=view)]
    async with coagent.open_domain(url, targets=[files], tools=tools) as domain:
        yield domain


async def _say(agent: Any, command: str) -> str:
    value = (await agent.call("bash", command=command)).value
    assert value["exit_code"] == 0, value
    return str(value["output"])


def _kept(root: Path) -> list[str]:
    folder = root / ".coagent/large"
    return [one for one in os.listdir(folder) if one != ".gitignore"] if folder.is_dir() else []


async def test_commands_make_change_move_and_remove_them_and_an_abort_takes_all_back(workspace: Path) -> None:
    (workspace / "big.log").write_text("x" * 20_000)
    (workspace / "big.log").chmod(0o755)
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "big")
    before = tree(workspace)
    async with _shells(workspace) as domain:
        agent = await domain.join("A")
        await _say(agent, f"mkdir out; {LARGE} y > out/app; cp out/app out/copy; echo built > log")
        assert (
            await _say(agent, "echo line >> big.log; tail -c 5 big.log; wc -c < out/app") == "line\n20000\n"
        )
        await _say(agent, "git mv big.log huge.log; git commit -qam moved; cp huge.log again; rm out/copy")
        assert (workspace / "huge.log").stat().st_size == 20_005
        assert (workspace / "huge.log").stat().st_ino != (workspace / "again").stat().st_ino
        assert os.access(workspace / "huge.log", os.X_OK)
        assert git(workspace, "status", "--short") == "?? again\n?? log\n?? out/\n"
        await _say(agent, "rm huge.log again")
        assert not (workspace / "huge.log").exists()
        await agent.abort()
        assert tree(workspace) == before
        assert git(workspace, "log", "-1", "--format=%s") == "big\n"
        assert _kept(workspace) == []


async def test_each_agent_sees_them_as_they_are_at_its_place(workspace: Path) -> None:
    (workspace / "big").write_text("x" * 20_000)
    async with _shells(workspace) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        made = await b.call("bash", command=f"{LARGE} b > big; {LARGE} n > new")
        assert await _say(a, "head -c 3 big; ls") == "xxxa.txt\nb.txt\nbig\ndata.bin\nsrc\n"
        assert await _say(b, "head -c 3 big; echo more >> big; tail -c 5 big") == "bbbmore\n"
        await b.undo(made.call_id)
        assert (workspace / "big").read_text() == "x" * 20_000 + "more\n"
        assert not (workspace / "new").exists()
        with pytest.raises(ToolFailed, match="20005 bytes, more than the file tools read"):
            await b.call("read_file", path="big")
        await a.call("delete_file", path="big")  # so what B has added to it is all there is
        assert await _say(b, "cat big") == "more\n"
        await a.abort()
        await b.abort()
    assert (workspace / "big").read_text() == "x" * 20_000


async def test_the_file_tools_move_delete_and_replace_them(workspace: Path) -> None:
    (workspace / "big").write_bytes(b"\xff" * 20_000)
    before = tree(workspace)
    async with _shells(workspace) as domain:
        a = await domain.join("A")
        await a.call("move_file", source="big", destination="far/big")
        assert (workspace / "far/big").read_bytes() == b"\xff" * 20_000
        await a.call("write_file", path="far/big", content="small")
        await a.call("write_file", path="wide", content="w" * 30_000)
        with pytest.raises(ToolFailed, match="'wide' has 30000 bytes"):
            await a.call("edit_file", path="wide", old_string="w", new_string="v")
        await a.call("delete_file", path="far/big")
        await a.abort()
    assert tree(workspace) == before


async def test_another_process_takes_them_back_after_a_death_and_they_go_after_the_commit(
    workspace: Path, tmp_path: Path
) -> None:
    (workspace / "big").write_text("x" * 20_000)
    url = f"sqlite:{tmp_path / 'log.db'}"
    async with _shells(workspace, url) as domain:
        a = await domain.join("A")
        await _say(a, f"rm big; {LARGE} y > made")
        domain.abandon()
    assert _kept(workspace)
    async with _shells(workspace, url) as domain:
        for agent in domain.kernel.agents.values():
            if not agent.ended:
                await (await domain.attach(agent.name, force=True)).abort()
        assert (workspace / "big").read_text() == "x" * 20_000
        assert not (workspace / "made").exists()
    assert _kept(workspace) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(IN_COPIES, reason="there is no room for a copy")
async def test_a_full_disk_refuses_the_command_and_leaves_nothing(small_disk: Path) -> None:
    (small_disk / "a.txt").write_text("one\n")
    async with _shells(small_disk) as domain:
        a = await domain.join("A")
        with pytest.raises(CoAgentError, match=r"room|space"):
            await a.call("bash", command="head -c 600000 /dev/zero > big; echo two > a.txt")
        assert (small_disk / "a.txt").read_text() == "one\n"
        assert not (small_disk / "big").exists()
        await _say(a, "head -c 20000 /dev/zero > big; echo two > a.txt")
        await a.finish(wait=True)
    assert (small_disk / "big").stat().st_size == 20_000
