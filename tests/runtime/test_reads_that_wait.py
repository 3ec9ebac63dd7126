"""Reads that wait to be recorded while other processes change, and commit, what they saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coagent import Domain, State, open_domain, targets, tool
from coagent.protocol.events import Event, OutsideWrite


@tool
async def read(state: State, key: str) -> Any:
    """Read an object."""
    return await state.get(key)


@tool
async def part(state: State, key: str) -> Any:
    """Read a part of an object."""
    return await state.get(key, path="/n")


@tool
async def names(state: State, prefix: str) -> list[str]:
    """List objects."""
    return await state.list(prefix)


@tool
async def put(state: State, key: str, value: Any) -> None:
    """Write an object."""
    await state.put(key, value)


def process(log: Path, live: targets.Memory) -> Domain:
    """Return the domain of a process that does nothing that it is not told to."""
    domain = open_domain(f"sqlite:{log}", targets=[live], tools=[read, part, names, put])
    domain.attends = False
    return domain


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("look", "seen", "now"),
    [
        (("read", {"key": "kv:a/x"}), {"n": 0}, {"n": 1}),
        (("part", {"key": "kv:a/x"}), 0, 1),
        (("names", {"prefix": "kv:a/"}), ["kv:a/x"], ["kv:a/x", "kv:a/y"]),
    ],
)
async def test_what_another_process_has_committed_meanwhile_is_told(
    tmp_path: Path, look: tuple[str, dict[str, Any]], seen: Any, now: Any
) -> None:
    log, live = tmp_path / "log", targets.Memory({"kv:a/x": {"n": 0}})
    async with process(log, live) as one, process(log, live) as two:
        a, b = await one.join("A"), await two.join("B")
        await b.call("read", key="kv:else")
        looked = await b.call(look[0], **look[1])
        assert looked.value == seen
        await a.call("put", key="kv:a/x", value={"n": 1})
        await a.call("put", key="kv:a/y", value={"n": 1})
        assert (await a.finish(wait=True)).state == "committed"
        happened: list[Event] = []
        two._opened.parts.recorder.observers.append(happened.append)
        settled = await b.finish(wait=True)
        assert settled.state == "notified"
        assert [notice.premises for notice in settled.notifications] == [[looked.call_id]]
        assert b.result(looked.call_id) == now
        assert not [event for event in happened if isinstance(event, OutsideWrite)], "nobody else was there"
        assert (await b.finish(wait=True)).state == "committed"
