"""Somebody outside who changes one object that agents only read, while processes die and are cut off.

Where in the serial order each change counts is not said beforehand: agents must have seen the changes in the
order in which they were made, and each agent one of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from coagent.protocol.calls import Call, Observation
from coagent.protocol.keys import Key
from coagent_lab.sim.check import Violation
from coagent_lab.sim.ledger import Ledger
from coagent_lab.sim.oracle import Edit, History, Turn
from coagent_lab.sim.world import Line, World, is_final

WATCHED = Key("kv:o/x")
"""The object; agents write none under its folder."""
_WIDE = ("add_everywhere", "tend")
_READ = Line("read", "kv:o/", ((WATCHED,), (WATCHED,)), 0)


def is_watched(world: World) -> bool:
    """Tell whether a world is one in which somebody outside may act: nothing in it is done for good."""
    lines = [line for lines in world.programs.values() for line in lines]
    return not any(line.kind in _WIDE for line in lines) and not any(
        is_final(world, name) for name in world.programs
    )


def add_readers(world: World, rng: random.Random) -> None:
    """Have agents read the object, and heed what they have read."""
    for name, lines in world.programs.items():
        if rng.random() < 0.7:
            at = rng.randint(0, len(lines))
            world.programs[name] = [*lines[:at], _READ, *lines[at:]]


class Places(Ledger):
    """Follows who stands where, in the order of the log; outsiders change nothing but one object."""

    def _noticed(self, key: str, found: Any) -> None:
        if key != WATCHED:
            raise Violation(f"nobody outside has changed {key}, but {found!r} was taken for their work")


class Bystander:
    """Somebody outside who changes the object, and what agents have seen of that."""

    def __init__(self) -> None:
        self.changes: list[Any] = []
        """What they have left, one after another."""
        self._saw: dict[str, list[int]] = {}
        """How many changes there had been in what each agent has seen of the object when it ended."""
        self._knew: dict[str, list[int]] = {}
        """The same of who has given up, as it did: what is found while it is taken back it is not told."""

    def next_change(self) -> Any:
        """Return what they leave now."""
        self.changes.append({"n": 1000 + len(self.changes), "m": 0})
        return self.changes[-1]

    def sees(self, agent: str, calls: Iterable[Call]) -> None:
        """Note what an agent at work has seen by now."""
        self._saw[agent] = [number for call in calls for number in self._seen_in(call.seen)]

    def gives_up(self, agent: str, calls: Iterable[Call]) -> None:
        """Note what an agent knows as it gives up."""
        self._knew[agent] = [number for call in calls for number in self._seen_in(call.told)]

    def has_given_up(self, agent: str) -> None:
        """Note that an agent has been aborted."""
        self._saw[agent] = self._knew.get(agent, [])

    def history(self, turns: Iterable[Turn]) -> History:
        """Return what happened, with each change right before the first agent that has seen it.

        Args:
            turns: The agents in their order.
        """
        found: list[Turn | Edit] = []
        done = 0
        for turn in turns:
            at = max(self._saw.get(turn.agent, ()), default=done)
            found += [Edit(WATCHED, None, value) for value in self.changes[done:at]]
            done = max(done, at)
            found.append(turn)
        return [*found, *(Edit(WATCHED, None, value) for value in self.changes[done:])]

    def _seen_in(self, observation: Observation) -> Iterator[int]:
        value = observation.reads.get((WATCHED, None))
        if value in self.changes:
            yield self.changes.index(value) + 1
        if any(found is not None and WATCHED in found for found in observation.scans.values()):
            yield 1  # it is there, whatever it holds
