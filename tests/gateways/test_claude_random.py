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

    async def follow(self, client: FakeClient, name: str) -> None:
        text = await client.read(self.source)
        if await client.read(self.destination) != self.content(name, text):
            written = self.content(name, text)
            await client.tool("Write", file_path=str(client.root / self.destination), content=written)


class Append:
    """Puts a line of its own in front of the last line."""

    def __init__(self, path: str) -> None:
        self.path = path

    def serially(self, name: str, tree: Tree) -> None:
        text = tree.get(self.path)
        if text is not None and f"line of {name}" not in text and text.count("END") == 1:
            tree[self.path] = text.replace("END", f"line of {name}\nEND", 1)

    async def follow(self, client: FakeClient, name: str) -> None:
        text, line = await client.read(self.path), f"line of {name}\n"
        if text is not None and line in text:  # it may have been merged into what it would not have edited
            if text.replace(line, "").count("END") != 1:
                undo = {"old_string": line, "new_string": ""}
                await client.tool("Edit", file_path=str(client.root / self.path), **undo)
            return
        if text is None or text.count("END") != 1:
            return
        edit = {"old_string": "END", "new_string": f"line of {name}\nEND"}
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


async def follow(client: FakeClient, name: str, steps: list[Copy | Append]) -> None:
    """Follow a program; whenever something it has read has changed, go through it again from the start."""
    step = 0
    while step < len(steps):
        await steps[step].follow(client, name)
        step = 0 if "[coagent notice]" in client.notices() else step + 1


async def live(client: FakeClient, name: str, programs: dict[str, list[Copy | Append]]) -> None:
    """Follow the program of a session, after those of its subagents, who work at the same time."""
    await client.hook("SessionStart", source="startup")
    await client.hook("UserPromptSubmit", prompt="go")
    client.notices()
    helpers = {one: client.subagent(one) for one in programs if one.startswith(f"{name}/helper")}
    for helper in helpers.values():
        await helper.hook("SubagentStart")
        helper.notices()
    async with anyio.create_task_group() as tasks:
        for one, helper in helpers.items():
            tasks.start_soon(follow, helper, one, programs[one])
    for one, helper in helpers.items():  # only then: what comes to one that has answered is another's
        while await helper.stop():
            await follow(helper, one, programs[one])
    own = f"{name}/2" if helpers else name
    pending = True
    while pending:
        await follow(client, own, programs[own])
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
        names = [name for name in programs if "/" not in name]
        clients = [FakeClient(sessions, root, name, random.Random(f"{seed}/{name}")) for name in names]
        for client in clients:
            await client.hook("SessionStart", source="startup")
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(live, client, client.name, programs)
        assert {agent.phase.value for agent in domain.agents} == {"committed"}
    return committed


@pytest.mark.parametrize("order", ["fixed", "early"])
@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(12, 40))]
)
async def test_random_sessions_end_as_one_after_another(tmp_path: Path, seed: int, order: str) -> None:
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(chance.randint(2, 4))]
    await check(tmp_path, {name: program(chance) for name in names}, chance, seed, order)


@pytest.mark.parametrize("order", ["fixed", "early"])
@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 15))]
)
async def test_subagents_work_inside_their_session_at_the_same_time(
    tmp_path: Path, seed: int, order: str
) -> None:
    chance = random.Random(f"subagents {seed}")
    names = ["s0", "s0/helper", *(f"s0/helper-{n}" for n in range(2, chance.randint(2, 4))), "s0/2"]
    names += [f"s{number}" for number in range(1, chance.randint(2, 3))]
    programs = {name: [] if name == "s0" else program(chance) for name in names}
    await check(tmp_path, programs, chance, seed, order)


async def check(
    tmp_path: Path, programs: dict[str, list[Copy | Append]], chance: random.Random, seed: int, order: str
) -> None:
    names = list(programs)
    expected = {path: f"{path}\nEND\n" for path in FILES if chance.random() < 0.8}
    for path, text in expected.items():
        (tmp_path / path).write_text(text)
    committed = await concurrently(tmp_path, programs, seed, order)
    assert order == "early" or list(dict.fromkeys(committed)) == names
    for name in committed:
        # A session whose subagents have all committed stands after them as it is.
        what = f"{name}/2" if f"{name}/2" in programs and f"{name}/2" not in committed else name
        for step in programs[what]:
            step.serially(what, expected)
    shutil.rmtree(tmp_path / ".coagent")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == expected
