"""Agents that turn folders into links and files and back, several at once, and the same one after another."""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from conftest_sandbox import shells, tree

import coagent
from coagent.protocol.events import Event, OutsideWrite

Script: TypeAlias = list[str]
Ended: TypeAlias = dict[str, tuple[bytes, str]]

_COMMANDS = (
    "rm -r {one} && ln -s {other} {one}",
    "rm -rf {one}; ln -s {other} {one}",
    "rm -rf {one}; mkdir -p {one}; echo {word} > {one}/x",
    "rm -rf {one}; mkdir {one}",
    "rm -r {one}",
    "rm {one}",
    "rm {one}; echo {word} > {one}",
    "rm -rf {one}; echo {word} > {one}",
    "mv {one} {other}",
    "mv {one} {other}; echo {word} > {one}",
    "mv {one} {other}; mkdir {one}",
    "mv {one}/x {other}",
    "mv {one}/s {other}; rmdir {one}",
    "echo {word} > {one}/x",
    "echo {word} >> {one}/x",
    "echo {word} > {one}",
    "mkdir -p {one}/s; echo {word} > {one}/s/y",
    "mkdir {one}",
    "rmdir {one}",
    "rmdir {one}/s {one}",
    "ln -s {other} {one}",
    "ln -s ../{other} {one}/s",
    "cp -r {one} {other}",
    "ls {one} {other} > l",
    "test -L {one} && rm {one} && mkdir {one} && echo {word} > {one}/x",
    "test -f {one} && rm {one} && mkdir {one} && echo {word} > {one}/x",
    "test -d {one} && rm -rf {one} && echo {word} > {one}",
)
_TOOLS = (
    "write_file {one}/x {word}",
    "write_file {one} {word}",
    "write_file {one}/s/y {word}",
    "delete_file {one}/x",
    "edit_file {one}/x {word}",
    "move_file {one}/x {other}/x",
)


def scripts(seed: int, *, with_tools: bool = False) -> tuple[list[Script], list[int]]:
    """Return what agents do, in order of rank, and the ranks in the order in which they do it."""
    chance = random.Random(seed)

    def command() -> str:
        one, other = chance.sample(("a", "b", "c"), 2)
        kinds: Sequence[str] = _TOOLS if with_tools and chance.random() < 0.5 else _COMMANDS
        return chance.choice(kinds).format(one=one, other=other, word=chance.choice(("foo", "bar")))

    made = [[command() for _ in range(chance.randint(1, 3))] for _ in range(chance.randint(2, 4))]
    order = [rank for rank, script in enumerate(made) for _ in script]
    chance.shuffle(order)
    return made, order


def lay(root: Path) -> None:
    """Make the small tree that they begin with."""
    (root / "a/s").mkdir(parents=True)
    (root / "a/x").write_text("foo\n")
    (root / "a/s/y").write_text("bar\n")
    (root / "b").mkdir()
    (root / "b/x").write_text("foo\n")


def plainly(made: Sequence[Script], root: Path) -> Ended:
    """Return how plain bash leaves the tree, one agent after another."""
    lay(root)
    for command in (command for script in made for command in script):
        subprocess.run(["bash", "-c", command], cwd=root, capture_output=True, check=False)
    return tree(root)


class Careful:
    """An agent that tries again what has failed, where it is told that something is otherwise."""

    def __init__(self, session: coagent.AgentSession) -> None:
        self.session = session
        self.refused: list[str] = []

    async def call(self, command: str) -> None:
        name, _, rest = command.partition(" ")
        one, _, more = rest.partition(" ")
        arguments: dict[str, Any] = {"path": one}
        if name == "write_file":
            arguments["content"] = more
        elif name == "edit_file":
            arguments |= {"old_string": "foo", "new_string": more + "!"}
        elif name == "move_file":
            arguments = {"source": one, "destination": more}
        elif name != "delete_file":
            name, arguments = "bash", {"command": command}
        notices: Sequence[object] = ()
        try:
            notices = (await self.session.call(name, **arguments)).notifications
        except coagent.CoAgentError as error:
            notices = error.notifications
            self.refused.append(f"{command}: {type(error).__name__}: {error}")
        if notices:
            await self._again()

    async def finish(self) -> bool:
        """Finish, or do again what may be right now; returns whether it has committed or only waits."""
        settlement = await self.session.finish()
        if settlement.notifications:
            await self._again()
        return settlement.state != "notified"

    async def _again(self) -> None:
        for issued in self.session.calls:
            if not issued.effective:
                with contextlib.suppress(coagent.CoAgentError):
                    await self.session.amend(issued.call_id)


async def together(
    made: Sequence[Script], order: Sequence[int], root: Path, **options: Any
) -> tuple[Ended, list[str]]:
    """Return how agents leave the tree that work at the same time, and what was refused to them.

    Nobody else writes, and nobody is taken to, but of rights: that snapshots link files looks alike.
    """
    happened: list[Event] = []
    if not root.exists():
        lay(root)
    ahead = [list(script) for script in made]
    async with shells(root, **options) as domain:
        domain.observe(happened.append)
        agents = [Careful(await domain.join(f"agent{rank}")) for rank in range(len(made))]
        for rank in order:
            await agents[rank].call(ahead[rank].pop(0))
        for _ in range(50):
            if all([await agent.finish() for agent in agents]):
                break
        assert all(agent.session.state == "committed" for agent in agents)
    outside = {event.key for event in happened if isinstance(event, OutsideWrite)}
    assert not {key for key in outside if not key.startswith("mode:")}
    return tree(root), [one for agent in agents for one in agent.refused]
