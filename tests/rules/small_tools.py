"""Small tools for the rules: every way of reading and writing, as plain functions over a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from coagent.protocol.calls import Position
from coagent.protocol.edit_merging import Merge, merge_texts
from coagent.protocol.keys import Key, Scan
from coagent.protocol.values import Field, Lines, Selector, Value, selected


class Prefix(Protocol):
    """The state as it is at each position, and what has left it for good."""

    sent: list[str]

    def value_at(self, key: Key, position: Position) -> Value: ...

    def range_at(self, prefix: Key, position: Position) -> dict[Key, Value]: ...


class Failed(Exception):
    """A tool would not do it."""


class View:
    """The state as a call at a position sees it: what it reads, scans and writes is noted."""

    def __init__(self, state: Prefix, position: Position) -> None:
        self._state = state
        self._position = position
        self.reads: dict[tuple[Key, Selector | None], Value] = {}
        self.scans: dict[Scan, Value] = {}
        self.writes: dict[Key, Value] = {}

    def get(self, key: Key, part: Selector | None = None) -> Value:
        if key in self.writes:
            return selected(self.writes[key], part)
        seen = selected(self._state.value_at(key, self._position), part)
        self.reads[key, part] = seen
        return seen

    def put(self, key: Key, value: Value) -> None:
        self.writes[key] = value

    def leave(self, message: str) -> None:
        """Let a message leave the building."""
        self._state.sent.append(message)

    def scan(self, scan: Scan) -> Value:
        found = self._state.range_at(scan.prefix, self._position)
        covered = {key: value for key, value in sorted(found.items()) if scan.covers(key)}
        if scan.selector is None:
            self.scans[scan] = list(covered)
        else:
            parts = {key: scan.selector.of(value) for key, value in covered.items()}
            self.scans[scan] = {key: part for key, part in parts.items() if part}
        return self.scans[scan]


Tool: TypeAlias = Callable[..., Value]


def read(view: View, key: Key) -> Value:
    return view.get(key)


def read_field(view: View, key: Key, path: str) -> Value:
    return view.get(key, Field(path))


def read_lines(view: View, key: Key, first: int, last: int | None) -> Value:
    return view.get(key, Lines(first, last))


def keys(view: View, prefix: Key, glob: str | None = None) -> Value:
    return view.scan(Scan(prefix, glob))


def fields(view: View, prefix: Key, path: str, glob: str | None = None) -> Value:
    return view.scan(Scan(prefix, glob, Field(path)))


def pop(view: View, key: Key) -> Value:
    """Fail, saying at what."""
    raise Failed(f"{view.get(key)!r} cannot be popped")


def put(view: View, key: Key, value: Value) -> Value:
    view.put(key, value)
    return "ok"


def put_two(view: View, key: Key, value: Value, other: Key, and_value: Value) -> Value:
    view.put(key, value)
    view.put(other, and_value)
    return "ok"


def add(view: View, key: Key, amount: int) -> Value:
    """Change a number by what it is, and say what it is now."""
    number = view.get(key)
    if number is None:
        raise Failed(f"there is no {key}")
    view.put(key, number + amount)
    return number + amount


def add_up(view: View, key: Key, other: Key) -> Value:
    return view.get(key) + view.get(other)


def double_quietly(view: View, key: Key) -> Value:
    """Change a number by what it is, and say nothing of it."""
    view.put(key, 2 * (view.get(key) or 0))
    return "ok"


def append(view: View, key: Key, line: str) -> Value:
    view.put(key, (view.get(key) or "") + line + "\n")
    return "ok"


def edit(view: View, key: Key, old: str, new: str) -> Value:
    text = view.get(key)
    if text is None or old not in text:
        raise Failed(f"{old!r} does not occur in {key}")
    view.put(key, text.replace(old, new, 1))
    return "ok"


def rewrite(view: View, key: Key, old: str, new: str) -> Value:
    """Edit a text; where that is not possible any more, what it changed may be merged."""
    return edit(view, key, old, new)


def copy(view: View, source: Key, to: Key) -> Value:
    view.put(to, view.get(source))
    return "ok"


def create(view: View, key: Key, value: Value) -> Value:
    if view.get(key) is not None:
        raise Failed(f"{key} exists")
    view.put(key, value)
    return "created"


def delete(view: View, key: Key) -> Value:
    view.put(key, None)
    return "ok"


def count(view: View, prefix: Key, to: Key) -> Value:
    """Write how many objects there are."""
    view.put(to, len(view.scan(Scan(prefix))))
    return "ok"


def send(view: View, text: str, key: Key | None = None, log: Key | None = None) -> Value:
    """Send a message with what an object holds, and note in another that it was sent."""
    seen = None if key is None else view.get(key)
    if log is not None:
        view.put(log, text)
    view.leave(text if key is None else f"{text} {seen}")
    return "sent"


TOOLS: Mapping[str, Tool] = {
    tool.__name__: tool
    for tool in (
        read, read_field, read_lines, keys, fields, put, put_two, pop, add, add_up, double_quietly, append,
        edit, rewrite, copy, create, delete, count, send,
    )
}  # fmt: skip

MERGES: Mapping[str, Merge] = {
    "rewrite": lambda key, saw, found, now: merge_texts(str(saw), str(found), str(now)),
}
"""How what a tool changed is merged where it fails when it runs again (rule 11)."""
