"""Random sessions at once in one tree end where they would have ended one after another."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import anyio
import pytest
from client import FakeClient

from coagent.config.domain_file import ClaudeTable
from coagent.gateways.claude.hub import Hub
from coagent.gateways.claude.sessions import Sessions
from coagent.gateways.claude.workspace import open_workspace
from coagent.gateways.setup import workspace as setup
from coagent.protocol.events import Committed

pytestmark = pytest.mark.anyio

FILES = ("a.txt", "b.txt", "c.txt")
Tree = dict[str, str]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Copy:
    """Writes what it has read from one file, under its name, to another."""

    def __init__(self, source: str, destination: str) -> None:
        self.source, self.destination = source, destination

    def content(self, name: str, text: str | None) -> str:
        return f"{name} saw {len(text or '')} {text!r}\nEND\n"

    def serially(self, name: str, tree: Tree) -> None:
        tree[self.destination] = self.content(name, tree.get(self.source))

    async def follow(self, client: FakeClient) -> None:
        text = await client.read(self.source)
        if await client.read(self.destination) != self.content(client.name, text):
            written = self.content(client.name, text)
            await client.tool("Write", file_path=str(client.root / self.destination), content=written)


class Append:
    """Puts a line of its own in front of the last line."""

    def __init__(self, path: str) -> None:
        self.path = path

    def serially(self, name: str, tree: Tree) -> None:
        text = tree.get(self.path)
        if text is not None and f"line of {name}" not in text and text.count("END") == 1:
            tree[self.path] = text.replace("END", f"line of {name}\nEND", 1)

    async def follow(self, client: FakeClient) -> None:
        text = await client.read(self.path)
        if text is None or f"line of {client.name}" in text or text.count("END") != 1:
            return
        edit = {"old_string": "END", "new_string": f"line of {client.name}\nEND"}
        await client.tool("Edit", file_path=str(client.root / self.path), **edit)


def program(chance: random.Random) -> list[Copy | Append]:
    """Return steps that may be gone through again: none of them reads what a later one writes."""
    steps: list[Copy | Append] = []
    read: set[str] = set()
    for _ in range(chance.randint(1, 3)):
        source, destination = chance.sample(FILES, 2)
        if chance.random() < 0.4 and not any(isinstance(one, Copy) and source == one.source for one in steps):
            steps.append(Append(source))
        elif destination not in read and not any(_writes(one, destination) for one in steps):
            steps.append(Copy(source, destination))
            read.add(source)
    return steps


def _writes(step: Copy | Append, path: str) -> bool:
    return path == (step.destination if isinstance(step, Copy) else step.path)


async def live(client: FakeClient, steps: list[Copy | Append]) -> None:
    """Follow a program; whenever something it has read has changed, go through it again from the start."""
    await client.hook("SessionStart", source="startup")
    await client.hook("UserPromptSubmit", prompt="go")
    client.notices()
    pending = True
    while pending:
        step = 0
        while step < len(steps):
            await steps[step].follow(client)
            step = 0 if "[coagent notice]" in client.notices() else step + 1
        pending = bool(await client.stop())
    await client.hook("SessionEnd", reason="other")


async def concurrently(
    root: Path, programs: dict[str, list[Copy | Append]], seed: int, order: str
) -> list[str]:
    """Run the sessions at the same time; returns their names in the order of their commits."""
    config = setup.make(root)
    config.write_text(f'order = "{order}"\n{config.read_text()}')
    committed: list[str] = []
    domain, tree, _, _ = open_workspace(root)
    async with domain:
        domain.observe(
            lambda event: (
                committed.append(domain.kernel.agents[event.rank].name)
                if isinstance(event, Committed)
                else None
            )
        )
        sessions = Sessions(Hub(domain, tree, ClaudeTable()), root / ".coagent" / "sessions.json")
        clients = [FakeClient(sessions, root, name, random.Random(f"{seed}/{name}")) for name in programs]
        for client in clients:
            await client.hook("SessionStart", source="startup")
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(live, client, programs[client.name])
        assert {agent.phase.value for agent in domain.agents} == {"committed"}
    return committed


@pytest.mark.parametrize("order", ["fixed", "early"])
@pytest.mark.parametrize("seed", range(40))
async def test_random_sessions_end_as_one_after_another(tmp_path: Path, seed: int, order: str) -> None:
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(chance.randint(2, 4))]
    programs = {name: program(chance) for name in names}
    expected = {path: f"{path}\nEND\n" for path in FILES if chance.random() < 0.8}
    for path, text in expected.items():
        (tmp_path / path).write_text(text)
    committed = await concurrently(tmp_path, programs, seed, order)
    assert order == "early" or list(dict.fromkeys(committed)) == names
    for name in committed:
        for step in programs[name]:
            step.serially(name, expected)
    shutil.rmtree(tmp_path / ".coagent")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == expected
