"""What a person saves while a command runs: the command runs again on it, and neither loses anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest_sandbox import needs_views, shells

from coagent import ToolFailed

pytestmark = [pytest.mark.anyio, needs_views]

_BEFORE = "one\ntwo\nthree\nfour\nfive\n"
_WAITS = "[ -e {w}/go ] || {{ echo > {w}/started; cat {w}/wait; }}"
_ALWAYS_WAITS = "echo > {w}/started; cat {w}/wait"


def _in_place(path: Path, text: str) -> None:
    with path.open("r+") as file:
        file.write(text)
        file.truncate()


def _by_name(path: Path, text: str) -> None:
    (path.parent / ".saved").write_text(text)
    (path.parent / ".saved").rename(path)


def _anew(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


class Waiting:
    """A command that stops in the middle until somebody has done something outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("started", "wait"):
            os.mkfifo(folder / name)

    def text(self, before: str, after: str, *, always: bool = False) -> str:
        waits = (_ALWAYS_WAITS if always else _WAITS).format(w=self.folder)
        return f"{before}; {waits}; {after}"

    def meet(self, act: Callable[[], None], *, last: bool = True) -> None:
        (self.folder / "started").read_text()
        act()
        if last:
            (self.folder / "go").touch()
        (self.folder / "wait").write_text("")


async def _call(agent: Any, command: str, waiting: Waiting, act: Callable[[], None]) -> Any:
    outcome: list[Any] = []

    async def call() -> None:
        outcome.append(await agent.call("bash", command=command))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.to_thread.run_sync(waiting.meet, act)
    return outcome[0]


@pytest.mark.parametrize("reads_first", [False, True])
@pytest.mark.parametrize("save", [_in_place, _by_name, _anew])
@pytest.mark.parametrize("early", [False, True])
async def test_a_file_that_the_command_edits_keeps_both(
    workspace: Path, tmp_path: Path, save: Callable[[Path, str], None], reads_first: bool, early: bool
) -> None:
    file = workspace / "numbers.txt"
    file.write_text(_BEFORE)
    waiting = Waiting(tmp_path)
    edit = "sed -i s/two/TWO/ numbers.txt"
    command = waiting.text(*((edit, "true") if early else ("cat numbers.txt >/dev/null", edit)))
    async with shells(workspace, writable=[str(tmp_path)]) as domain:
        agent = await domain.join("A")
        if reads_first:
            await agent.call("read_file", path="numbers.txt")
        await _call(agent, command, waiting, lambda: save(file, _BEFORE.replace("four", "FOUR")))
        while (await agent.finish()).state != "committed":
            pass
    assert file.read_text() == "one\nTWO\nthree\nFOUR\nfive\n"


async def test_a_file_that_the_command_only_reads_is_read_as_it_is_now(
    workspace: Path, tmp_path: Path
) -> None:
    file = workspace / "numbers.txt"
    file.write_text(_BEFORE)
    waiting = Waiting(tmp_path)
    async with shells(workspace, writable=[str(tmp_path)]) as domain:
        agent = await domain.join("A")
        outcome = await _call(
            agent, waiting.text("cat numbers.txt", "true"), waiting, lambda: _by_name(file, "six\n")
        )
    assert outcome.value["output"] == "six\n"


async def test_what_another_agent_writes_meanwhile_does_not_count_as_a_persons(
    workspace: Path, tmp_path: Path
) -> None:
    waiting = Waiting(tmp_path)
    async with shells(workspace, writable=[str(tmp_path)]) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        runs = tmp_path / "runs"
        command = waiting.text(f"echo x >> {runs}; ls; cat late.txt", "true")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_quietly, a, command)
            await anyio.to_thread.run_sync((tmp_path / "started").read_text)
            await b.call("write_file", path="late.txt", content="late\n")
            (tmp_path / "go").touch()
            await anyio.to_thread.run_sync((tmp_path / "wait").write_text, "")
    assert runs.read_text() == "x\n"


async def _quietly(agent: Any, command: str) -> None:
    await agent.call("bash", command=command)


async def test_a_file_that_never_stays_as_it_is_fails_the_command_and_loses_nothing(
    workspace: Path, tmp_path: Path
) -> None:
    file = workspace / "numbers.txt"
    file.write_text(_BEFORE)
    waiting = Waiting(tmp_path)
    command = waiting.text("sed -i s/two/TWO/ numbers.txt", "true", always=True)
    failures: list[ToolFailed] = []

    async def call(agent: Any) -> None:
        try:
            await agent.call("bash", command=command)
        except ToolFailed as failure:
            failures.append(failure)

    async with shells(workspace, writable=[str(tmp_path)]) as domain:
        agent = await domain.join("A")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, agent)
            for number in range(4):
                text = f"{_BEFORE}{number}\n"
                await anyio.to_thread.run_sync(
                    lambda text=text: waiting.meet(lambda: _by_name(file, text), last=False)
                )
    assert "changed by somebody else" in str(failures[0])
    assert file.read_text() == f"{_BEFORE}3\n"
