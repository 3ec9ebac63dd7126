"""What one command may use: it gets no more, hears why, and takes nothing from others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest_sandbox import needs_views, shells

import coagent
from coagent.errors import ToolFailed
from coagent.systems.shell.limits import Limits
from coagent.systems.shell.resource_monitor import LimitExceeded, ResourceMonitor

pytestmark = [pytest.mark.anyio, needs_views]
_FORKS = (
    'python3 -IS -c "import os, signal, time\n'
    "count = 0\n"
    "while count < 1000:\n"
    "    try:\n"
    "        if not os.fork(): signal.pause()\n"
    "    except OSError as error: print(error.strerror); raise SystemExit(1)\n"
    '    count += 1"'
)


async def _run(workspace: Path, command: str, **limits: Any) -> dict[str, Any]:
    async with shells(workspace, limits=Limits(**limits), view="overlay") as domain:
        found: dict[str, Any] = (await (await domain.join("A")).call("bash", command=command)).value
        return found


async def test_a_fork_bomb_ends_at_its_limit(workspace: Path) -> None:
    said = ""
    try:
        said = str(await _run(workspace, _FORKS, processes_max=100))
    except ToolFailed as told:  # the kernel lets the first 300 processes of a root pass, and we do not
        said = str(told)
    assert "100 processes" in said
    assert "processes_max in [tools.bash.limits]" in said


@pytest.mark.parametrize(
    ("command", "limits", "name"),
    [
        ("head -c 3M /dev/zero > big", {"file_mib_max": 2}, "file_mib_max"),
        ("head -c 3M /dev/zero > /tmp/big", {"file_mib_max": 2}, "file_mib_max"),
        (
            "python3 -IS -c \"x = [open('a.txt') for _ in range(200)]\"",
            {"open_files_max": 64},
            "open_files_max",
        ),
    ],
)
async def test_what_the_kernel_refuses_is_told_with_the_name_of_the_limit(
    workspace: Path, command: str, limits: dict[str, int], name: str
) -> None:
    found = await _run(workspace, command, **limits)
    assert found["exit_code"] != 0
    assert f"{limits[name]} " in found["limit"]
    assert f"({name} in [tools.bash.limits])" in found["limit"]


async def test_shared_memory_ends_at_its_limit(workspace: Path) -> None:
    found = await _run(workspace, "head -c 20M /dev/zero > /dev/shm/x || ls -s /dev/shm", memory_mib_max=16)
    assert "No space left" in found["output"]


async def test_memory_of_all_processes_together_is_bounded(workspace: Path) -> None:
    part = "python3 -IS -c 'import signal; x = bytearray(40 << 20); signal.pause()'"
    with pytest.raises(ToolFailed, match="uses more than 100 MiB of memory, and was ended") as told:
        await _run(workspace, f"echo x > a.txt; {part} & {part} & {part}", memory_mib_max=100)
    assert "memory_mib_max in [tools.bash.limits]" in str(told.value)
    assert (workspace / "a.txt").read_text() == "one\n"


async def test_a_command_that_fills_the_disk_is_ended(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [10 << 30, 1 << 30]
    monkeypatch.setattr(ResourceMonitor, "_free", lambda self: free[0] if len(free) == 1 else free.pop(0))
    with pytest.raises(ToolFailed, match="leaves less than 2048 MiB free on the disk, and was ended"):
        await _run(workspace, "sleep 60", disk_free_mib_min=2048)


def test_a_disk_that_was_full_before_ends_no_command(tmp_path: Path) -> None:
    ResourceMonitor(os.getpid(), tmp_path, Limits(disk_free_mib_min=1 << 40)).check()


def test_more_processes_than_the_kernel_can_count_are_seen(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="more than -8 processes"):
        ResourceMonitor(os.getpid(), tmp_path, Limits(processes_max=-8)).check()


async def test_no_call_can_ask_for_more_time_than_there_is(workspace: Path) -> None:
    with pytest.raises(ToolFailed, match=r"not ended within 0\.3 s.*timeout_s_max"):
        await _run(workspace, "sleep 60", timeout_s_max=0.3)


async def test_all_processes_of_a_view_are_its_own_to_kill(workspace: Path) -> None:
    async with shells(workspace, view="overlay") as domain:
        a = await domain.join("A")
        assert (await a.call("bash", command="sleep 99 & kill -9 -1; echo x")).value["output"] == "x\n"
        with anyio.fail_after(60):
            assert (await a.call("bash", command="cat a.txt")).value["output"] == "one\n"


def test_limits_are_read_from_a_domain_file(workspace: Path) -> None:
    from coagent.config.domain_file import configured

    file = workspace.parent / "domain.toml"
    text = 'log = "memory:"\n[[targets]]\nkind = "files"\nroot = "work"\n[tools]\nbuiltin = ["bash"]\n'
    text += "[tools.bash]\n"
    file.write_text(
        f"{text}environment = ['A_*']\n[tools.bash.limits]\nprocesses_max = 64\ntimeout_s_max = 2.5\n"
    )
    assert configured(file).domain is not None
    for wrong in ("[tools.bash.limits]\nprocesses_max = 1\n", "devices = ['/etc/passwd']\n"):
        file.write_text(text + wrong)
        with pytest.raises(coagent.ConfigurationError):
            configured(file)
