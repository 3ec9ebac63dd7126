"""What docs/check.md shows is what `coagent check` prints."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
from commands import coagent
from test_check_command import worked_in

from coagent.config.domain_file import configured

PAGE = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
OUTPUTS = re.findall(r"```text\n\$ coagent check\n(.*?)```", PAGE, re.DOTALL)


async def without_control(folder: Path) -> None:
    """Have A and B read one file, and each write it with a line of its own."""
    (folder / ".coagent").mkdir(mode=0o700)
    path = folder / ".coagent" / "config.toml"
    path.write_text('protocol = "naive"\n[[targets]]\nkind = "files"\nroot = ".."\n')
    (folder / "todo.txt").write_text("todo\n")
    async with configured(path).domain as domain:
        a, b = await domain.join("A"), await domain.join("B")
        for agent in (a, b):
            await agent.call("read_file", path="todo.txt")
        for agent in (a, b):
            await agent.call("write_file", path="todo.txt", content=f"todo\n{agent.name}\n")
        for agent in (a, b):
            await agent.finish(wait=True)


def printed(folder: Path) -> str:
    """Return what the command prints in a folder, in which its log has a short name."""
    return coagent("check", cwd=folder).stdout.replace(f"{folder}/", "")


def test_a_right_one(tmp_path: Path) -> None:
    anyio.run(worked_in, tmp_path)
    assert printed(tmp_path) == OUTPUTS[0]


def test_a_wrong_one(tmp_path: Path) -> None:
    anyio.run(without_control, tmp_path)
    assert printed(tmp_path) == OUTPUTS[1]


def test_a_changed_file(tmp_path: Path) -> None:
    anyio.run(worked_in, tmp_path)
    (tmp_path / "b.txt").write_text("by hand\n")
    assert printed(tmp_path).endswith(OUTPUTS[2].removeprefix("…\n"))
