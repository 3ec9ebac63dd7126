"""A case: programs, and what may befall their agents; and what may happen, by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, NamedTuple

from ideal_agents import Program

from coagent.protocol.events import OnDeath
from coagent.protocol.keys import Key
from coagent.protocol.values import Value


class Case(NamedTuple):
    """What is explored: an initial state, programs, and what may befall them.

    Args:
        about: What it is there for.
        programs: Agent to program, in the order of joining.
        early: Whether finished agents may pass others (rule 10).
        pinned: The agents that ask for their ranks.
        inside: Agent to the one after which it joins, at any moment while that one is at work.
        staging: The agents whose messages are staged; those of others wait for their turn.
        slow: The agents that record what they have seen some time after they have seen it.
        aborts: How many agents may be aborted, at any moment.
        mortal: The agents that may be; all, if it is empty.
        doomed: Who begins to abort them, and may die before that has come to its end; empty: it is one step.
        outside: What an outsider may write, once for each object.
        refusals: How many puts may be refused by their targets.
        crashes: How often the process may be killed.
        owners: Agent to the process that serves it; the first one named may die, and another one stays.
        on_death: What becomes of its unfinished agents: another process aborts them, or their clients go on.
        puts: Whether a put is one step; or its arrival and its report are two, with anything in between; or
            "late": its beginning, its arrival and its report are three.
    """

    name: str
    about: str
    initial: Mapping[Key, Value]
    programs: Mapping[str, Program]
    early: bool = False
    pinned: Collection[str] = ()
    inside: Mapping[str, str] = {}
    staging: Collection[str] = ()
    slow: Collection[str] = ()
    aborts: int = 0
    mortal: Collection[str] = ()
    doomed: str = ""
    outside: Mapping[Key, Value] = {}
    refusals: int = 0
    crashes: int = 0
    owners: Mapping[str, str] = {}
    on_death: OnDeath = "abort"
    puts: Literal["one step", "two steps", "late"] = "one step"


class Put(NamedTuple):
    """A put under way: the version that it brings, what may be there, and whether it has arrived."""

    version: int
    value: Value
    expected: tuple[Value, ...]
    arrived: bool


class Action(NamedTuple):
    """Something that may happen, to an agent, a call or an object."""

    kind: str
    about: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.about}".rstrip()


MISHAPS: Final = frozenset({"abort", "doom", "outside", "refuse", "crash", "die", "spawn"})
"""What nobody has to do: an end has to be reached without any more of it."""

HEIR: Final = "the other"
"""The process that takes up what a dead one has left."""
