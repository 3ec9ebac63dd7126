"""`coagent log --tail` with a filter tells what the whole log would end with, and reads little of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import coagent
from coagent import State, tool
from coagent.cli.main import main
from coagent.log import sqlite as sqlite_log
from coagent.log.archive import Archive
from coagent.protocol.mtpo import Mtpo
from coagent.runtime import recorder

ROUNDS = 40


@tool
async def get(state: State, key: str) -> Any:
    """Read an object."""
    return await state.get(key)


@tool
async def put(state: State, key: str, value: Any) -> None:
    """Write an object."""
    await state.put(key, value)


@tool
async def names(state: State, prefix: str) -> Any:
    """List a range."""
    return sorted(await state.list(prefix))


async def written(url: str) -> None:
    """Have agents come and go: one of them early, one that stays, and a name that is used again."""
    live = coagent.targets.Memory({"kv:x": 0})
    async with coagent.open_domain(url, targets=[live], tools=[get, put, names], order="early") as domain:
        rare = await domain.join("rare")
        await rare.call("put", key="kv:rare/x", value="first")
        undone = await rare.call("put", key="kv:undone", value=1)
        await rare.undo(undone.call_id)
        await rare.finish()
        stays = await domain.join("stays")
        await stays.call("get", key="kv:x")
        for number in range(ROUNDS):
            agent = await domain.join("again" if number % 3 else f"often {number}")
            await agent.call("put", key=f"kv:{number % 7}", value=number)
            if number == ROUNDS // 2:
                await agent.call("names", prefix="kv:rare/")
            await agent.finish()
        live.outside("kv:x", 5)
        await domain.look("kv:x")
        await stays.notifications()
        await stays.abort("enough")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log with a checkpoint now and then, and a part of it archived."""
    monkeypatch.setattr(recorder, "_CHECKPOINT_EVENTS_MIN", 10)
    monkeypatch.setattr(sqlite_log, "_CHECKPOINTS_APART", 10)
    url = f"sqlite:{tmp_path / 'log'}"
    anyio.run(written, url)
    assert Archive(tmp_path / "log", segment_records=20, kept_records=60).fill()
    return url


@pytest.fixture
def told(url: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """Run the command, and return its entries."""

    def run(*options: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["log", "--domain", url, "--json", *options])
        assert not ended.value.code
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


@pytest.mark.parametrize("tail", [1, 5, *(pytest.param(tail, marks=pytest.mark.long) for tail in (2, 1000))])
@pytest.mark.parametrize(
    "options",
    [
        ["--agent", "rare"],
        ["--agent", "stays"],
        ["--agent", "again"],
        ["--agent", "often 3"],
        ["--key", "kv:rare/x"],
        ["--key", "kv:rare/"],
        ["--key", "kv:r*"],
        ["--key", "*:3"],
        ["--key", "kv:undone"],
        ["--key", "kv:x"],
        ["--key", "kv:nothing"],
        ["--agent", "rare", "--key", "kv:x"],
        ["--agent", "again", "--key", "kv:4"],
    ],
    ids=" ".join,
)
def test_the_tail_of_what_is_asked_for_is_that_of_the_whole_log(
    told: Callable[..., list[dict[str, Any]]], options: list[str], tail: int
) -> None:
    assert told(*options, "--tail", str(tail)) == told(*options)[-tail:]


def test_little_is_read_for_what_is_rare(
    told: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    step = Mtpo.step

    def counted(self: Mtpo, event: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(self, event)

    monkeypatch.setattr(Mtpo, "step", counted)
    for options in (["--agent", "rare"], ["--key", "kv:rare/x", "--agent", "rare"], ["--key", "kv:nothing"]):
        told(*options, "--tail", "3")
    assert steps < 60, "each begins at a checkpoint, and ends at the last that is wanted"


def test_who_has_never_joined_is_said_to_be_unknown(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["log", "--domain", url, "--agent", "rara", "--tail", "3"])
    assert ended.value.code == 2
    assert "Did you mean 'rare'" in capsys.readouterr().err
