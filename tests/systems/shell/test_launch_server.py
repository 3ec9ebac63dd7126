"""The process that begins commands: what it survives and leaves, and that its tracers see the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from conftest_sandbox import needs_views, shells

from coagent.errors import ToolFailed
from coagent.systems.shell.views.confined import Confined, Frame, ReadSet
from coagent.systems.shell.views.launch_server import LaunchServer

pytestmark = [pytest.mark.anyio, needs_views]
needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, LaunchServer]]:
    both = {"c": LaunchServer(), "python": LaunchServer(compiled=False)}
    yield both
    for server in both.values():
        server.close()


def _seen(server: LaunchServer, workspace: Path, command: str) -> tuple[int, ReadSet]:
    scratch = Path(tempfile.mkdtemp(prefix="coagent-test-"))
    view = Confined(Frame(str(workspace)), workspace, scratch)
    try:
        view.prepare({})
        view.spec(["bash", "-c", command], str(workspace), dict(os.environ))
        with tempfile.TemporaryFile() as output:
            code = server.run(view, output, 60)
        begun, seen = view.outcome()
        assert begun
        assert seen is not None
        return code, seen
    finally:
        view.remove()


def _children() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {int(one) for task in tasks for one in (task / "children").read_text().split()}


_PYTHON = "python3 -IS -c"


@needs_compiler
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cat a.txt", {"a.txt"}),
        ("cd src; cat ../a.txt ./run.sh", {"a.txt", "src/run.sh"}),
        ("test -e none; test -e none/below; cat src/none", {"none", "none/below", "src/none"}),
        ("mv a.txt c.txt; cat c.txt", {"a.txt", "c.txt"}),
        ("ln -s src link; cat link/run.sh", {"link", "src/run.sh"}),
        ("cat link/none; ln -s src link; cat link/none", {"link/none", "link", "src/none"}),
        ("ln -s b.txt link; cat link; rm link; ln -s a.txt link; cat link", {"link", "a.txt", "b.txt"}),
        ("ln -s ../src src/up; cat src/up/up/run.sh", {"src/up", "src/run.sh"}),
        ("ln -s loop loop; cat loop", {"loop"}),
        ("ln a.txt hard; echo x > b.txt; : >> a.txt; mkfifo pipe", {"a.txt", "hard", "b.txt", "pipe"}),
        ("ls src; find . -name x", {"src", ""}),
        (f'{_PYTHON} \'import os; os.open("run.sh", 0, dir_fd=os.open("src", 0))\'', {"src/run.sh"}),
        (f'{_PYTHON} \'import os; os.stat("/".join(["."] * 300 + ["a.txt"]))\'', {"a.txt"}),
        ("cat $'odd\\nname' $'not-utf8-\\377'", {"odd\nname", "not-utf8-\udcff"}),
        ("for i in 1 2 3 4 5 6 7 8; do cat a.txt & done; wait; cat src/../b.txt", {"a.txt", "b.txt"}),
    ],
)
def test_both_tracers_see_the_same(
    workspace: Path, servers: dict[str, LaunchServer], command: str, expected: set[str]
) -> None:
    found = {name: _seen(server, workspace, command) for name, server in servers.items()}
    assert {name: server.tracer for name, server in servers.items()} == {"c": "c", "python": "python"}
    assert found["c"] == found["python"]
    _, seen = found["c"]
    assert expected <= seen.looked_up | seen.opened | seen.emptied


@needs_compiler
def test_both_tracers_hear_a_program_without_a_c_library(
    workspace: Path, servers: dict[str, LaunchServer]
) -> None:
    source = workspace / "probe.c"
    source.write_text('#include <fcntl.h>\nint main(void) { return open("a.txt", 0) < 0; }\n')
    made = subprocess.run(["cc", "-static", "-o", workspace / "probe", source], check=False)
    if made.returncode:
        pytest.skip("no static programs can be made here")
    found = {name: _seen(server, workspace, "./probe") for name, server in servers.items()}
    assert found["c"] == found["python"]
    assert found["c"][0] == 0
    assert "a.txt" in found["c"][1].opened


async def test_a_command_that_is_killed_leaves_the_others_alone(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await a.call("bash", command="true")
        before = _children()
        with pytest.raises(ToolFailed, match=r"has not ended within 0\.5 s"):
            await a.call("bash", command="sleep 1000", timeout_s=0.5)
        assert (await a.call("bash", command="kill -9 $$")).value["exit_code"] == 128 + 9
        assert (await a.call("bash", command="cat a.txt")).value["output"] == "one\n"
        assert _children() == before


async def test_two_commands_run_at_once(workspace: Path) -> None:
    os.mkfifo(workspace.parent / "pipe")
    meeting = f"{workspace.parent}/pipe"
    found: dict[str, Any] = {}
    async with shells(workspace, writable=[str(workspace.parent)]) as domain:
        a, b = await domain.join("A"), await domain.join("B")

        async def run(agent: Any, name: str, command: str) -> None:
            found[name] = (await agent.call("bash", command=command)).value

        async with anyio.create_task_group() as tasks:  # neither end of a pipe opens before the other
            tasks.start_soon(run, a, "A", f"echo met > {meeting}")
            tasks.start_soon(run, b, "B", f"cat {meeting}")
    assert found["A"]["exit_code"] == 0
    assert found["B"]["output"] == "met\n"


async def test_it_is_started_anew_when_it_has_died(workspace: Path) -> None:
    async with shells(workspace) as domain:
        a = await domain.join("A")
        before = _children()
        await a.call("bash", command="true")
        (server,) = _children() - before
        os.kill(server, signal.SIGKILL)
        os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
        assert (await a.call("bash", command="cat a.txt")).value["output"] == "one\n"


def _children_of(process: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


async def _the_one_that_waits(server: int, *, but: int) -> int:
    """Return the process that waits for a command."""
    with anyio.fail_after(30):
        while True:
            for one in _children_of(server):
                # Below it are the first process of its namespace, and the one that will be the command.
                if one != but and any(_children_of(first) for first in _children_of(one)):
                    return one
            await anyio.lowlevel.checkpoint()


async def test_a_process_that_waited_for_a_command_and_died_is_not_missed(workspace: Path) -> None:
    async with shells(workspace, view="overlay") as domain:
        a = await domain.join("A")
        before = _children()
        await a.call("bash", command="true")
        (server,) = _children() - before
        first = await _the_one_that_waits(server, but=0)
        assert (await a.call("bash", command="cat a.txt")).value["output"] == "one\n"
        one = await _the_one_that_waits(server, but=first)
        ended = os.pidfd_open(one)
        os.kill(one, signal.SIGKILL)
        await anyio.wait_readable(ended)
        os.close(ended)
        assert (await a.call("bash", command="cat b.txt")).value["output"] == "two\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
async def test_what_was_mounted_meanwhile_is_there_for_the_next_command(workspace: Path) -> None:
    disk = workspace.parent / "disk"
    disk.mkdir()
    async with shells(workspace, view="overlay") as domain:
        a = await domain.join("A")
        assert (await a.call("bash", command=f"ls {disk}")).value["output"] == ""
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=False).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            (disk / "new").touch()
            assert (await a.call("bash", command=f"ls {disk}")).value["output"] == "new\n"
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)
        assert (await a.call("bash", command=f"ls {disk}")).value["output"] == ""


async def test_a_view_that_was_never_used_leaves_neither_its_folder_nor_its_process(workspace: Path) -> None:
    server = LaunchServer()
    frame = Frame(str(workspace))
    view = Confined(frame, workspace, server.scratch(frame))
    view.prepare({})
    view.spec(["true"], "/", {})
    with tempfile.TemporaryFile() as output:
        assert server.run(view, output, 60) == 0
    view.remove()
    chosen, process = server.scratch(frame), _children()
    assert chosen.is_dir()
    server.close()
    assert not chosen.exists()
    assert _children() < process


async def test_nothing_is_left_when_the_domain_is_closed(workspace: Path) -> None:
    def held() -> list[str]:
        links = (Path("/proc/self/fd") / one for one in os.listdir("/proc/self/fd"))
        return sorted(os.readlink(one) for one in links if os.path.lexists(one))

    await anyio.to_thread.run_sync(lambda: None)
    processes, descriptors = _children(), held()
    async with shells(workspace) as domain:
        a = await domain.join("A")
        await a.call("bash", command="sleep 1000 & cat a.txt")
        assert _children() > processes
    assert _children() == processes
    assert held() == descriptors
