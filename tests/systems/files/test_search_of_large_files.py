"""A search says which files it has left out, since they are too large to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import coagent
from coagent.systems.files.target import Files
from coagent.systems.files.tools import FILE_TOOLS

pytestmark = pytest.mark.anyio


async def _search(agent: Any, **arguments: Any) -> Any:
    return (await agent.call("search_files", **arguments)).value


async def test_a_search_names_the_files_that_it_has_not_searched(tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("needle\n")
    (tmp_path / "logs").mkdir()
    for number in range(7):
        (tmp_path / f"logs/{number}.log").write_text("needle\n" * 200)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/config.json").write_text('{"large_file": "needle"}\n')
    async with coagent.open_domain(
        "memory:", targets=[Files(tmp_path, max_bytes=1000)], tools=[FILE_TOOLS]
    ) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        cure = "(grep in a shell searches any file)"
        five = ", ".join(f"logs/{number}.log" for number in range(5))
        assert await _search(b, pattern="needle") == [
            'own/config.json:1: {"large_file": "needle"}',
            "small.txt:1: needle",
            f"… not searched, too large or not readable: {five} and 2 more {cure}",
        ]
        assert await _search(b, pattern="nothing", path="logs/1.log") == [
            f"… not searched, too large or not readable: logs/1.log {cure}"
        ]
        assert await _search(b, pattern="needle", glob="*.txt") == ["small.txt:1: needle"]
        assert await _search(a, pattern="nothing", path="own") == []
        await a.call("delete_file", path="logs/1.log")
        outcome = await b.call("search_files", pattern="nothing", path="logs", glob="[12].log")
        assert outcome.value == [f"… not searched, too large or not readable: logs/2.log {cure}"]
        assert any("logs/1.log" in one.text for one in outcome.notifications)
