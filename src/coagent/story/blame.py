"""Who has written each line of an object, and what that rested on: over its versions in order of position.

The order is that of the serialization, not of arrival: a late write of an earlier agent comes before what a
later one made of it, as in the serial run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from coagent.protocol.keys import Key
from coagent.protocol.values import text_lines
from coagent.story.steps import Story
from coagent.story.trajectories import OUTSIDE

Place = tuple[int, int, int]
_HAD_READ_MAX = 20
_ON_THE_WAY = ("file:", "link:", "folder:")


@dataclass(frozen=True)
class Author:
    """Who has made a version.

    Args:
        kind: "agent"; "outside": somebody who is no agent; "before": it was there when an agent first looked;
            "unlogged": what is there now is in no record.
        agent: The agent's name.
        call: The id of its call.
        tool: The call's tool.
        number: Of the record; None where there is none.
        at_ms: When that was, in Unix milliseconds.
        rested_on: What the call had read: objects, and `PREFIX*` for all below one; not what it looked for
            on the way to a file.
        had_read: What calls of its agent before it had read, the last first.
        committed: Whether its agent has committed.
    """

    kind: str
    agent: str | None = None
    call: str | None = None
    tool: str | None = None
    number: int | None = None
    at_ms: int | None = None
    rested_on: tuple[str, ...] = ()
    had_read: tuple[str, ...] = ()
    committed: bool = True


@dataclass(frozen=True)
class Line:
    """A line, without its end, and who has written it."""

    text: str
    author: Author


@dataclass
class _Trail:
    """What the steps so far say of one object."""

    settled: list[tuple[str, int, int]] = field(default_factory=list)
    """The versions that are part of the base: who, which, and the number of the step that made it so."""
    writes: dict[Place, tuple[str, int]] = field(default_factory=dict)
    base: int | None = None


class Blame:
    """Knows the versions of objects, and their authors, from a story.

    Args:
        story: All of it that is wanted must have been taken.
    """

    def __init__(self, story: Story) -> None:
        self._values = story.values
        self._authors: dict[str, Author] = {}
        self._outside: dict[str, list[Author]] = {}
        self._trails: dict[str, _Trail] = {}
        self._committed: set[int] = set()
        self._read: dict[int, dict[str, None]] = {}
        names: dict[int, str] = {}
        for step in story.steps():
            self._take(step, names)

    @property
    def keys(self) -> list[Key]:
        """The objects that the story tells of, in order."""
        return sorted(map(Key, self._trails))

    def lines(self, key: str, there: str | None = None) -> list[Line]:
        """Return the lines of an object, each with its author; none where it is no text.

        Args:
            key: The object.
            there: What is there now, where that was looked at.
        """
        lines: list[Line] = []
        for author, number in self._versions(key):
            lines = list(_changed(lines, self._values.text(number) or "", author))
        if there is not None:
            lines = list(_changed(lines, there, Author("unlogged")))
        return lines

    # ---- steps ---------------------------------------------------------------------------------------------

    def _take(self, step: dict[str, Any], names: dict[int, str]) -> None:
        kind = step["kind"]
        if kind == "join":
            names[step["rank"]] = step["name"]
        if kind == "commit":
            self._committed.add(step["rank"])
        for agent in step.get("agents", ()):
            names[agent["rank"]] = agent["name"]
        for call in [*step.get("calls", ()), *([step] if "call" in step else [])]:
            self._note_call(call, step, names)
        if kind in ("outside", "resolve") and "key" in step:
            author = Author("outside", number=step["n"], at_ms=step["at"])
            self._outside.setdefault(step["key"], []).append(author)
        for operation in step.get("ops", ()):
            self._operate(operation, step)

    def _note_call(self, call: dict[str, Any], step: dict[str, Any], names: dict[int, str]) -> None:
        known = self._authors.get(call["call"])
        rested = tuple(dict.fromkeys(_rested_on(call)))
        before = self._read.setdefault(call["rank"], {})
        had_read = known.had_read if known else tuple(key for key in reversed(before) if key not in rested)
        for key in rested:
            before.pop(key, None)
            before[key] = None
        if "writes" not in call or (known is not None and not call["writes"]):
            return
        self._authors[call["call"]] = Author(
            "agent",
            names.get(call["rank"]),
            call["id"],
            call["tool"],
            step["n"] if known is None or step["kind"] == "amend" else known.number,
            step["at"] if known is None or step["kind"] == "amend" else known.at_ms,
            rested,
            had_read[:_HAD_READ_MAX],
            committed=False,
        )

    def _operate(self, operation: list[Any], step: dict[str, Any]) -> None:
        kind, key, *rest = operation
        trail = self._trails.setdefault(key, _Trail())
        if kind == "set":
            trail.writes[rest[0], rest[1], rest[2]] = (rest[3], rest[4])
        elif kind == "del":
            who, version = trail.writes.pop((rest[0], rest[1], rest[2]))
            if step["kind"] == "commit":
                trail.settled.append((who, version, step["n"]))
        elif rest[0] is not None:
            if step["kind"] != "commit" and (not trail.settled or trail.settled[-1][1] != rest[0]):
                who = OUTSIDE if step["kind"] in ("outside", "resolve") else "before"
                trail.settled.append((who, rest[0], step["n"]))
            trail.base = rest[0]

    def _versions(self, key: str) -> Iterator[tuple[Author, int]]:
        trail = self._trails.get(key, _Trail())
        for who, version, number in trail.settled:
            yield self._author(who, key, number, committed=True), version
        for _, (who, version) in sorted(trail.writes.items()):
            rank, _, sequence = who.partition(":")
            committed = bool(sequence) and int(rank) in self._committed  # nothing settles under a baseline
            yield self._author(who, key, None, committed=committed), version

    def _author(self, who: str, key: str, number: int | None, *, committed: bool) -> Author:
        if who == OUTSIDE:
            found = self._outside.get(key, [])
            until = [version for version in found if number is None or (version.number or 0) <= number]
            return until[-1] if until else Author("outside")
        author = self._authors.get(who)
        if author is None:
            return Author("before")
        return Author(**{**author.__dict__, "committed": committed})


def _rested_on(call: dict[str, Any]) -> Iterator[str]:
    """Yield what a call has read, but for what it looked for on the way to its files."""
    reads = [read["key"] for read in call.get("reads", ())]
    written = [write["key"] for write in call.get("writes", ())]
    paths = [_path(key) for key in (*reads, *written) if key.startswith(_ON_THE_WAY)]

    def leads(key: str, *, to_itself: bool) -> bool:
        path = _path(key)
        return bool(path and key.startswith(_ON_THE_WAY)) and any(
            read.startswith(f"{path}/") or (to_itself and read == path) for read in paths
        )

    yield from (key for key in reads if not leads(key, to_itself=not key.startswith("file:")))
    scanned = (scan["prefix"] for scan in call.get("scans", ()))
    yield from (f"{prefix}*" for prefix in scanned if not leads(prefix, to_itself=True))


def _path(key: str) -> str:
    return key.partition(":")[2].rstrip("/")


def _changed(before: list[Line], text: str, author: Author) -> Iterator[Line]:
    """Yield the lines of a text: those that were there before keep their authors."""
    after = [line.removesuffix("\n") for line in text_lines(text)]
    old = [line.text for line in before]
    start = _shared(zip(old, after, strict=False))
    end = _shared(zip(reversed(old[start:]), reversed(after[start:]), strict=False))
    yield from before[:start]
    middle_old, middle_new = old[start : len(old) - end], after[start : len(after) - end]
    for tag, first, last, new_first, new_last in SequenceMatcher(
        None, middle_old, middle_new, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            yield from before[start + first : start + last]
        else:
            yield from (Line(line, author) for line in middle_new[new_first:new_last])
    yield from before[len(before) - end :]


def _shared(pairs: Iterable[tuple[str, str]]) -> int:
    count = 0
    for line, other in pairs:
        if line != other:
            break
        count += 1
    return count
