"""A process is killed in the middle of a put, in which a person saved: they have their save back."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from dying_putter import SAVED, beside, die, in_place
from owner_worker import opened

from coagent.systems.files.temporaries import TEMPORARY

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["coagent", "coagent.targets"])


def dying(folder: Path, saves: Callable[[Path], None]) -> BaseProcess:
    process = CONTEXT.Process(target=die, args=(folder, saves))
    process.start()
    return process


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "files").iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/x").write_text("before")
    return tmp_path


@pytest.mark.anyio
@pytest.mark.parametrize("saves", [in_place, beside])
async def test_who_comes_next_gives_a_person_their_save_back(
    folder: Path, saves: Callable[[Path], None]
) -> None:
    process = dying(folder, saves)
    await anyio.to_thread.run_sync(process.join)
    assert process.exitcode == -signal.SIGKILL
    assert any(name.startswith(TEMPORARY) for name in files(folder))
    assert files(folder)["x"] == "of A"
    async with opened(folder / "log", folder) as domain:
        await domain.settle()
        assert [agent.phase.value for agent in domain.agents] == ["aborted"]
        assert files(folder) == {"x": SAVED}
        b = await domain.join("B")
        assert (await b.call("get", key="file:x")).value == SAVED
        assert (await b.finish(wait=True)).state == "committed"
        assert domain.quiescent
    assert files(folder) == {"x": SAVED}


@pytest.mark.anyio
async def test_who_is_there_already_does_so_once_it_is_noticed(folder: Path) -> None:
    async with opened(folder / "log", folder) as domain:
        process = dying(folder, beside)
        await anyio.to_thread.run_sync(process.join)
        with anyio.fail_after(20):
            while files(folder) != {"x": SAVED}:
                await anyio.sleep(0.02)
        await domain.settle()
        assert [agent.phase.value for agent in domain.agents] == ["aborted"]
    assert files(folder) == {"x": SAVED}
