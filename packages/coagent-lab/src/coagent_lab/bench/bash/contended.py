"""Several workers on one tree: what they look at, and what they then do, interleaved by chance.

A worker is a program: it yields steps, each some commands that an agent would send as one line, and is sent
what they print. In plain bash the single commands of all workers are interleaved. In the governed shell a
step is a call; calls are interleaved by seeded thinking times on a virtual clock, and a worker that is told
of a change goes through its program again on what its calls return now, as scripted agents do.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from coagent.agents.scripted import ScriptedAgent, Step, run_agents
from coagent.runtime.clock import VirtualClock
from coagent.runtime.domain import open_domain
from coagent.systems.files.target import Files
from coagent.systems.shell.tools import bash_tools
from coagent_lab.bench.bash.trees import Tree, build, differing, fresh_copy, run_bash, tree_of

Commands: TypeAlias = tuple[str, ...]
Worker: TypeAlias = Callable[[int], Generator[Commands, str, None]]
"""Makes the program of worker number n, counted from 0."""
Program: TypeAlias = Generator[Step, Any, None]


@dataclass(frozen=True)
class Scenario:
    """Work that contends.

    Args:
        setup: A script for bash that makes the tree.
        worker: The workers' program.
    """

    name: str
    setup: str
    worker: Worker


@dataclass(frozen=True)
class ContendedTrial:
    """Where one trial ended.

    Args:
        in_order: Whether as the serial run in the order of ranks, by plain bash.
        some_order: Whether as the serial run in some order.
        notices: How many the workers were given.
        served: How many calls grown tools served.
    """

    scenario: str
    arm: str
    workers: int
    seed: int
    in_order: bool
    some_order: bool
    notices: int = 0
    failure: str = ""
    served: int = 0


class Contest:
    """One scenario with a number of workers, in a scratch folder of its own."""

    def __init__(self, scenario: Scenario, workers: int, place: Path) -> None:
        self._scenario = scenario
        self._workers = workers
        place.mkdir()
        self._template = build(scenario.setup, place / "template")
        self._work = place / "work"
        self._serial: dict[tuple[int, ...], Tree] = {}
        self._library = place / "tools"
        self._counted = 0

    def serial(self, order: tuple[int, ...]) -> Tree:
        """Return where the workers end one after another, by plain bash."""
        if order not in self._serial:
            root = fresh_copy(self._template, self._work)
            for number in order:
                _finish(self._scenario.worker(number), root)
            self._serial[order] = tree_of(root)
        return self._serial[order]

    async def trial(self, arm: str, seed: int) -> ContendedTrial:
        """Run one trial of an arm."""
        if arm == "raw":
            return self.raw(seed)
        return await (self.traced(seed) if arm == "traced" else self.toolsmith(seed))

    def raw(self, seed: int) -> ContendedTrial:
        """Interleave the single commands of all workers in plain bash."""
        chance = random.Random(f"{self._scenario.name}/{self._workers}/{seed}")
        root = fresh_copy(self._template, self._work)
        alive = [_RawWorker(self._scenario.worker(number), root) for number in range(self._workers)]
        while alive:
            one = chance.choice(alive)
            if not one.advance():
                alive.remove(one)
        return self._judged("raw", seed, tree_of(root))

    async def traced(self, seed: int) -> ContendedTrial:
        """Interleave the calls of all workers in the governed shell."""
        return await self._governed("traced", seed, self._program)

    async def toolsmith(self, seed: int) -> ContendedTrial:
        """Interleave the calls of workers who ask for a tool for each command."""
        return await self._governed("toolsmith", seed, self._program_with_tools)

    async def _governed(
        self, arm: str, seed: int, program: Callable[[int, int], Callable[[], Program]]
    ) -> ContendedTrial:
        files = Files(fresh_copy(self._template, self._work))
        tools = [*bash_tools(files.workspace)]
        if arm == "toolsmith":
            from coagent.toolsmith.smith import smith_tools

            tools += smith_tools(files.workspace, self._library)
        async with open_domain("memory:", targets=[files], tools=tools, clock=VirtualClock()) as domain:
            agents = [
                ScriptedAgent(f"worker{number}", program(number, seed)) for number in range(self._workers)
            ]
            report = await run_agents(domain, agents)
        failure = "; ".join(one.failure for one in report.agents if one.state != "committed")
        notices = report.total("notifications")
        return self._judged(arm, seed, tree_of(self._work), notices, failure, self._served())

    def _program_with_tools(self, number: int, seed: int) -> Callable[[], Program]:
        def program() -> Program:
            inner = self._program(number, seed)()
            try:
                step = next(inner)
                while True:
                    asked = {"request": self._scenario.name, "command": step.arguments["command"]}
                    answer = yield Step("request_tool", asked, think_s=step.think_s)
                    if answer["status"] == "refused":
                        value = yield step
                    else:
                        called = {"name": answer["tool"], "arguments": answer["arguments"]}
                        value = {"output": (yield Step("use_tool", called))}
                    step = inner.send(value)
            except StopIteration:
                return

        return program

    def _served(self) -> int:
        """Return how many calls grown tools have served since last asked."""
        from coagent.toolsmith.library import Library

        total = sum(Library(self._library).uses().values()) if self._library.is_dir() else 0
        served, self._counted = total - self._counted, total
        return served

    def _program(self, number: int, seed: int) -> Callable[[], Program]:
        def program() -> Program:
            running = self._scenario.worker(number)
            chance = random.Random(
                f"{self._scenario.name}/{seed}/{number}"
            )  # anew for every pass: a program must repeat itself
            try:
                commands = next(running)
                while True:
                    arguments = {"command": " && ".join(commands)}
                    value = yield Step("bash", arguments, think_s=chance.uniform(0.1, 2))
                    commands = running.send(value["output"])
            except StopIteration:
                return

        return program

    def _judged(
        self, arm: str, seed: int, end: Tree, notices: int = 0, failure: str = "", served: int = 0
    ) -> ContendedTrial:
        orders = itertools.permutations(range(self._workers))
        in_order = not differing(end, self.serial(next(orders)))
        some_order = in_order or any(not differing(end, self.serial(order)) for order in orders)
        return ContendedTrial(
            self._scenario.name, arm, self._workers, seed, in_order, some_order, notices, failure, served
        )


class _RawWorker:
    def __init__(self, running: Generator[Commands, str, None], root: Path) -> None:
        self._running = running
        self._root = root
        self._waiting = list(next(running))
        self._output = ""

    def advance(self) -> bool:
        """Run one command; tell whether there are more to come."""
        code, output = run_bash(self._waiting.pop(0), self._root)
        self._output += output
        if code:
            self._waiting = []  # as && does
        if not self._waiting:
            try:
                self._waiting = list(self._running.send(self._output))
            except StopIteration:
                return False
            self._output = ""
        return True


def _finish(running: Generator[Commands, str, None], root: Path) -> None:
    worker = _RawWorker(running, root)
    while worker.advance():
        pass
