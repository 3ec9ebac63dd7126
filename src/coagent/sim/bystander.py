"""Somebody outside who changes one object that agents only read, while processes die and are cut off.

Where in the serial order each change counts is not said beforehand: agents must have seen the changes in the
order in which they were made, and each agent one of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coagent.protocol.calls import Call
from coagent.protocol.keys import Key
from coagent.sim.check import Violation
from coagent.sim.ledger import Ledger
from coagent.sim.oracle import Edit, History, Turn
from coagent.sim.world import Line, World, is_final

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


def seen_by(calls: Iterable[Call]) -> list[Any]:
    """Return what calls have seen of the object."""
    return [call.seen.reads[WATCHED, None] for call in calls if (WATCHED, None) in call.seen.reads]


def history(turns: Iterable[Turn], seen: Mapping[str, Sequence[Any]], changes: Sequence[Any]) -> History:
    """Return what happened, with each change right before the first agent that has seen it.

    Args:
        turns: The agents in their order.
        seen: What each has seen of the object by the time when it ended.
        changes: What somebody outside has left, one after another.
    """
    found: list[Turn | Edit] = []
    done = 0
    for turn in turns:
        values = seen.get(turn.agent, ())
        at = max((changes.index(value) + 1 for value in values if value in changes), default=done)
        found += [Edit(WATCHED, None, value) for value in changes[done:at]]
        done = max(done, at)
        found.append(turn)
    return [*found, *(Edit(WATCHED, None, value) for value in changes[done:])]
