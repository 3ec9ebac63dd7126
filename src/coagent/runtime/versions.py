"""The versions of objects that a log and its archive hold: what agents and people have written, and found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from coagent.log.base import NothingYet
from coagent.log.open import open_reader
from coagent.protocol.calls import Observation, parsed_call_id
from coagent.protocol.events import (
    CallAmended,
    CallObserved,
    CallRan,
    CallReexecuted,
    Event,
    Joined,
    OutsideWrite,
    Resolved,
)
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same


@dataclass(frozen=True)
class Version:
    """A value that an object has had.

    Args:
        number: Of the event that made it, by which it is chosen. For what was found, of the event before the
            one that holds it, which may have made another version.
        how: "wrote": an agent's call wrote it. "outside": somebody outside did. "found": it was there when an
            agent first looked.
        agent: The agent that wrote or found it; None for somebody outside.
        value: The value; None where the object was not there.
        person: Who that was outside, where it is known.
    """

    number: int
    how: Literal["wrote", "outside", "found"]
    agent: str | None
    value: Value
    person: str | None = None


def versions_of(url: str, key: Key) -> list[Version]:
    """Return the versions of an object, oldest first; one that only repeats the one before is left out.

    Raises:
        LogError: The log or its archive cannot be read.
    """
    found: list[Version] = []
    for number, event, names in _events(url):
        for version in _versions_in(number, event, key, names):
            known = version.how == "found" and any(same(version.value, one.value) for one in found)
            if not known and not (found and same(found[-1].value, version.value)):
                found.append(version)
    return found


def written_outside(url: str) -> dict[Key, tuple[int, int]]:
    """Return the objects that somebody outside has changed: how often, and the number of the last event.

    Raises:
        LogError: The log or its archive cannot be read.
    """
    times: Counter[Key] = Counter()
    last: dict[Key, int] = {}
    for number, event, _ in _events(url):
        if isinstance(event, OutsideWrite):
            times[event.key] += 1
            last[event.key] = number
    return {key: (times[key], last[key]) for key in sorted(last)}


def _events(url: str) -> Iterator[tuple[int, Event, dict[int, str]]]:
    """Yield all events with their numbers and the names of the agents so far, by rank."""
    try:
        reader = open_reader(url)
    except NothingYet:
        return
    try:
        saved = reader.checkpoint(None)
        names: dict[int, str] = {} if saved is None else {one.rank: one.name for one in saved.state.agents}
        number = reader.head
        while events := reader.read():
            for event in events:
                number += 1
                if isinstance(event, Joined):
                    names[event.rank] = event.agent
                yield number, event, names
    finally:
        reader.close()


def _versions_in(number: int, event: Event, key: Key, names: dict[int, str]) -> Iterator[Version]:
    match event:
        case OutsideWrite(key=other) if other == key:
            yield Version(number, "outside", None, event.value, event.person or None)
        case Resolved(key=other, how="accept") if other == key:
            yield Version(number, "outside", None, event.value)
        case CallObserved():
            yield from _versions_of_run(number, event.observation, key, names.get(event.rank))
        case CallRan() | CallReexecuted() | CallAmended():
            parsed = parsed_call_id(event.call_id)
            yield from _versions_of_run(number, event.observation, key, parsed[0] if parsed else None)
        case _:
            pass


def _versions_of_run(number: int, run: Observation, key: Key, agent: str | None) -> Iterator[Version]:
    if run.declared:
        return  # its values stand for states that nobody can see
    if key in run.bases:
        yield Version(number - 1, "found", agent, run.bases[key])
    elif (key, None) in run.reads:
        yield Version(number - 1, "found", agent, run.reads[key, None])
    if key in run.writes and run.error is None:
        yield Version(number, "wrote", agent, run.writes[key])
