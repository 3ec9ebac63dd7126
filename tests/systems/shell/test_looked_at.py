"""What a program has looked at is asked about before its agent's commit rests on it: all, once, and truly."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_sandbox import needs_views, shells

from coagent.protocol.events import Event, OutsideWrite

pytestmark = [pytest.mark.anyio, needs_views]

_FOLDERS = 12


def _fill(root: Path) -> None:
    for number in range(_FOLDERS):
        (root / f"f{number}").mkdir()
        (root / f"f{number}" / "one.txt").write_text("one\n")


async def test_what_agents_write_is_not_taken_for_an_outsiders(tmp_path: Path) -> None:
    _fill(tmp_path)
    seen: list[Event] = []
    async with shells(tmp_path) as domain:
        domain.observe(seen.append)
        for name in ("first", "second"):
            agent = await domain.join(name)
            await agent.call("bash", command=f"ls -R > /dev/null; for d in f*; do echo > $d/{name}; done")
            assert (await agent.finish()).state == "committed"
        agent = await domain.join("third")
        await agent.call("bash", command="grep -r nothing . ; true")
        assert (await agent.finish()).state == "committed"
    assert [event for event in seen if isinstance(event, OutsideWrite)] == []


async def test_a_change_in_any_of_many_folders_is_seen_before_the_commit(tmp_path: Path) -> None:
    _fill(tmp_path)
    seen: list[Event] = []
    async with shells(tmp_path) as domain:
        domain.observe(seen.append)
        before = await domain.join("before")
        agent = await domain.join("agent")
        await agent.call("bash", command="ls -R > names.txt")
        await domain.look_around()  # from here on the folders are watched
        for number in range(_FOLDERS):
            (tmp_path / f"f{number}" / "two.txt").write_text("two\n")
        await before.finish()
        await agent.finish()
        outside = {event.key for event in seen if isinstance(event, OutsideWrite)}
    assert {f"file:f{number}/two.txt" for number in range(_FOLDERS)} <= outside
