"""The handle through which a native tool sees and changes the shared state.

What a tool reads and writes is observed here, not declared: reads and scans become premises, writes are
buffered for the length of the call and applied together when it ends (design, section 4).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from coagent.errors import ToolFailed
from coagent.protocol.calls import Position, Rank
from coagent.protocol.keys import Key, Scan, glob_matches, glob_too_large
from coagent.protocol.patterns import BadPattern, line_pattern
from coagent.protocol.values import (
    LARGE_FIELD,
    UNLOADED,
    Field,
    Lines,
    Matches,
    Selector,
    Traced,
    Value,
    copied,
    selected,
)
from coagent.tools.off_loop import off_loop

Found: TypeAlias = dict[Key, list[tuple[int, str]]]
"""Key to (line number, line) pairs."""

LINES_MAX = 100_000
"""How many lines a search finds at most: all of them are premises, and stand in the log."""
# What is done where the event loop runs: a thread would take longer to start.
_INLINE_LISTED = 50_000
_INLINE_KEYS = 2_000
_INLINE_CHARACTERS = 256 * 1024
_INLINE_STEPS = 20_000_000


class Reader(Protocol):
    """The state at one position of the serialization order. Values it returns are shared: never changed."""

    volatile: frozenset[str]
    """The schemes that are always read live and make no premise."""

    @property
    def position(self) -> Position:
        """Where the call stands in the serialization order."""

    @property
    def rank(self) -> Rank:
        """Which agent's call it is."""

    def canonical(self, key: str) -> Key:
        """Return the object's one name; raises FootprintViolation or TargetError for a key nobody owns."""

    def literal(self, key: str) -> Key:
        """Return the name of the object that `key` names by its words alone; raises as `canonical` does."""

    def find(self, key: str) -> tuple[Key, Value]:
        """Return the object's one name, and its filtered value where that is known without asking anybody.

        Where it is not, the value is `UNLOADED`; then `read` tells. Raises as `canonical` does.
        """

    async def read(self, key: Key) -> Value:
        """Return the filtered value, None where the object does not exist at this position."""

    async def keys(self, prefix: str) -> Mapping[Key, Value]:
        """Return the keys that exist at this position, with values or `UNLOADED`."""

    async def load(self, keys: list[Key]) -> Mapping[Key, Value]:
        """Return the filtered values of many objects at once."""

    def written(self, prefix: str) -> Mapping[Key, Value]:
        """Return the filtered values of the objects that agents have written and not committed."""

    def writers(self, prefix: str) -> Mapping[Key, Position | None]:
        """Return where the same objects got their filtered values; None: below all that is at work."""

    def own(self, *prefixes: str) -> frozenset[Key]:
        """Return the objects under prefixes that the agent itself has written before this position."""


class State:
    """The shared state as one call sees it: the value that the call's place in the order should see.

    A tool gets one as its first argument and uses nothing else to touch the shared state.
    """

    __slots__ = ("_reader", "_shown", "_values", "kept", "reads", "scans", "writes")

    def __init__(self, reader: Reader, kept: Value = None) -> None:
        self._reader = reader
        self.kept = kept
        """What an earlier run of the call has drawn from the clock or from chance; None where it has not."""
        self._shown: dict[str, dict[Key, Value]] = {}
        self._values: dict[Key, Value] = {}
        self.reads: dict[tuple[Key, Selector | None], Value] = {}
        self.scans: dict[Scan, Value] = {}
        self.writes: dict[Key, Value] = {}

    @property
    def position(self) -> Position:
        """Where the call stands in the serialization order; it may move as a whole with its agent."""
        return self._reader.position

    @property
    def rank(self) -> Rank:
        """The rank of the agent whose call it is: that names the agent for ever."""
        return self._reader.rank

    def keep(self, draw: Callable[[], Value]) -> Value:
        """Return what the call draws from the clock or from chance: in all its runs what the first has drawn.

        Args:
            draw: Draws it, as plain data.
        """
        if self.kept is None:
            self.kept = draw()
        return self.kept

    def canonical(self, key: str) -> Key:
        """Return the one name of the object that `key` names; reading or writing does this by itself.

        Raises:
            FootprintViolation: No target of the domain owns the key.
            TargetError: The key is malformed or leaves its target.
        """
        return self._reader.canonical(key)

    def literal(self, key: str) -> Key:
        """Return the name of the object that `key` names by its words alone, where some names lead to others.

        The live system leads a name where it leads now, which later agents may have changed (symbolic links).

        Raises:
            FootprintViolation, TargetError: As for `canonical`.
        """
        return self._reader.literal(key)

    def _name(self, key: str, literal: bool) -> Key:
        return Key(key) if literal else self._reader.canonical(key)

    async def get(
        self,
        key: str,
        *,
        path: str | None = None,
        lines: tuple[int, int | None] | None = None,
        match: str | None = None,
        literal: bool = False,
    ) -> Any:
        """Read an object, or a part of it; only a change of that part will be news to the agent.

        Args:
            key: The object, `scheme:path`.
            path: A field of a JSON value, by JSON Pointer (`/spec/replicas`).
            lines: A range of lines of a text, (first, last), counted from 1; last None: to the end.
            match: A regular expression (`coagent.protocol.patterns`); the result is
                `[[line number, line], ...]`.
            literal: As for `put`.

        Returns:
            The value (a copy that the tool may change), or None where the object does not exist.

        Raises:
            FootprintViolation: No target of the domain owns the key.
            TargetError: The target cannot be read.
            ToolFailed: `match` cannot be searched for.
        """
        name, value = (Key(key), UNLOADED) if literal else self._reader.find(key)
        selector: Selector | None = None
        if path is not None:
            selector = Field(path)
        elif lines is not None:
            selector = Lines(*lines)
        elif match is not None:
            selector = Matches(match)
            steps_of(selector)
        if name in self.writes:  # its own buffered write: no premise, nobody else can change it
            return copied(selected(self.writes[name], selector))
        volatile = self._reader.volatile
        if volatile and name[: name.find(":")] in volatile:
            return copied(selected(await self._reader.read(name), selector))
        if value is UNLOADED or selector is not None or name in self._values:
            return copied(await self._read(name, selector))
        self._values[name] = self.reads[name, None] = value
        return copied(value)

    async def put(self, key: str, value: Any, *, literal: bool = False) -> None:
        """Set the whole value of an object, creating it where it does not exist.

        The write is blind unless the call also read the object.

        Args:
            key: The object.
            value: Plain data: JSON, text or bytes. None deletes, as `delete` does.
            literal: Whether `key` is the object's one name already, whatever the live system makes of it,
                where some names lead to others (symbolic links).

        Raises:
            FootprintViolation: No target of the domain owns the key.
            TypeError: The value is not plain data.
        """
        self.writes[self._name(key, literal)] = copied(value)

    async def delete(self, key: str, *, literal: bool = False) -> None:
        """Remove an object; removing what does not exist is no error and no change."""
        self.writes[self._name(key, literal)] = None

    async def list(self, prefix: str, *, glob: str | None = None, literal: bool = False) -> list[Key]:
        """Return the sorted keys that exist under a prefix; objects that appear or vanish will be news.

        Args:
            prefix: For instance `k8s:default/deployments/` or `file:`.
            glob: Only keys whose path (what follows the colon) matches; `**` crosses slashes.
            literal: As for `put`.

        Raises:
            ToolFailed: The glob is none, or too long.
        """
        scan = Scan(self._name(prefix, literal), _checked(glob))
        if scan not in self.scans:
            listing = await self._reader.keys(scan.prefix)
            self._remember(scan, listing)
            self.scans[scan] = await _covered(scan, listing)
        present = set(self.scans[scan])
        for key, value in self.writes.items():
            if scan.covers(key):
                present.discard(key) if value is None else present.add(key)
        return sorted(present)

    async def search(
        self, prefix: str, pattern: str, *, glob: str | None = None, ignore_case: bool = False
    ) -> Found:
        """Return the lines that a regular expression matches in all texts under a prefix.

        Only a change of the matching lines will be news, wherever it happens in the range.

        Args:
            prefix: The range of keys.
            pattern: A regular expression (`coagent.protocol.patterns`), searched for in each line.
            glob: Only keys whose path matches.
            ignore_case: Match letters of either case.

        Returns:
            Key to `(line number, line)` pairs, for the objects with a match, sorted by key; line 0 says so
            where a text is too large for the pattern.

        Raises:
            ToolFailed: The pattern or the glob cannot be searched for, or too many lines match.
        """
        found = await self.select(prefix, Matches(pattern, ignore_case), glob=glob)
        return {key: [(number, line) for number, line in lines] for key, lines in found.items()}

    async def select(
        self, prefix: str, selector: Selector, *, glob: str | None = None, literal: bool = False
    ) -> dict[Key, Any]:
        """Return one part of every object under a prefix, for the objects where it is not empty.

        Only a change of these parts will be news, wherever it happens in the range.

        Args:
            prefix: The range of keys.
            selector: The part, such as `Where(predicate)` for the rows that match.
            glob: Only keys whose path matches.
            literal: As for `put`.

        Returns:
            Key to part (a copy), sorted by key.

        Raises:
            ToolFailed: As for `search`.
        """
        scan = Scan(self._name(prefix, literal), _checked(glob), selector)
        states = steps_of(selector)
        if scan not in self.scans:
            listing = await self._reader.keys(scan.prefix)
            keys = await _covered(scan, listing)
            values = dict(listing)
            values.update(await self._reader.load([key for key in keys if listing[key] is UNLOADED]))
            for key in keys:
                if values[key] is not UNLOADED:  # a target may leave out what is too large to be searched
                    self._values.setdefault(key, values[key])
            seen = self._values
            if isinstance(selector, Matches):
                unread = [key for key in keys if values[key] is UNLOADED and key not in seen]
                seen = {**seen, **{key: {LARGE_FIELD: ""} for key in unread}} if unread else seen
            self.scans[scan] = await _parts(seen, keys, selector, states)
        result = dict(self.scans[scan])
        for key, value in self.writes.items():
            if scan.covers(key):
                result.pop(key, None)
                if part := selector.of(value):
                    result[key] = part

        def copies(stopped: threading.Event) -> dict[Key, Any]:
            return {key: copied(result[key]) for key in sorted(result)}

        return await off_loop(copies) if len(result) > _INLINE_KEYS else copies(threading.Event())

    def written(self, prefix: str, *, literal: bool = False) -> dict[Key, Any]:
        """Return the objects under a prefix that agents have written and not committed, as they are here.

        None of them becomes a premise. For tools that show the state to a program, beside `trace`, which
        takes for seen what was returned here: whatever is written while the program runs, it has not seen.
        """
        prefix = self._name(prefix, literal)
        shown = self._shown[prefix] = dict(self._reader.written(prefix))
        return dict(shown)

    def writers(self, prefix: str) -> Mapping[Key, Position | None]:
        """Return the places of the calls that have written what `written` returns; None: of none at work."""
        return self._reader.writers(self._reader.canonical(prefix))

    def own(self, *prefixes: str) -> frozenset[Key]:
        """Return the objects under prefixes that earlier calls of the same agent have written.

        None of them becomes a premise: what an agent has written itself, nobody else can change.
        """
        return self._reader.own(*map(self._reader.canonical, prefixes))

    def trace(self, prefix: str, part: Literal["content", "name"] = "content") -> None:
        """Take what lies under a prefix for read: a change of it below runs the call again.

        For tools that show the state to a program. Objects that nobody has written cost nothing.

        Args:
            prefix: The range of keys, in canonical form; a whole key is the range of itself and of what its
                name begins.
            part: Whether the contents were read, or only which objects are there.
        """
        selector = Traced(part)
        scan = Scan(prefix, None, selector)
        found = next(
            (shown for begun, shown in self._shown.items() if prefix.startswith(begun)),
            self._reader.written(prefix),
        )
        self.scans[scan] = {key: selector.of(found[key]) for key in sorted(found) if scan.covers(key)}

    async def _read(self, key: Key, selector: Selector | None) -> Value:
        seen = self.reads.get((key, selector), self)
        if seen is not self:
            return seen
        if key in self._values:
            value = self._values[key]
        else:
            value = self._values[key] = await self._reader.read(key)
        if type(selector) is Matches and type(value) in (str, bytes) and len(value) > _INLINE_CHARACTERS:
            seen = await off_loop(lambda stopped: selector.of(value))
        else:
            seen = selected(value, selector)
        self.reads[key, selector] = seen
        return seen

    def _remember(self, scan: Scan, listing: Mapping[Key, Value]) -> None:
        """Keep the values that came with a listing, so that reading each object costs no further call."""
        for key, value in listing.items():
            if value is not UNLOADED:
                self._values.setdefault(key, value)


async def _covered(scan: Scan, listing: Mapping[Key, Value]) -> list[Key]:
    """Return the sorted keys of a listing that lie in a scan's range."""

    def covered(stopped: threading.Event) -> list[Key]:
        return sorted(key for key in listing if scan.glob is None or scan.covers(key))

    return await off_loop(covered) if len(listing) > _INLINE_LISTED else covered(threading.Event())


def _checked(glob: str | None) -> str | None:
    """Return a glob that can be matched.

    Raises:
        ToolFailed: It cannot.
    """
    if glob is None:
        return None
    if glob_too_large(glob):
        raise ToolFailed(f"the glob {glob[:60]!r}… has {len(glob)} characters", "Write a shorter one.")
    try:
        glob_matches(glob, "")
    except re.error as error:
        raise ToolFailed(f"{glob!r} is no glob: {error}", "Correct what stands in brackets.") from None
    return glob


def steps_of(selector: Selector) -> int:
    """Return how many steps it takes to look for a selector's part, for each character, at worst.

    Raises:
        ToolFailed: The selector's pattern cannot be searched for.
    """
    if type(selector) is not Matches:
        return 1
    try:
        return line_pattern(*selector).states
    except BadPattern as bad:
        raise ToolFailed(bad.cause, bad.cure) from None


async def _parts(
    values: Mapping[Key, Value], keys: Sequence[Key], selector: Selector, states: int
) -> dict[Key, Value]:
    """Return the parts of some values that are not empty; in a thread, unless that would only take longer."""

    def parts(stopped: threading.Event) -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        lines = 0
        for key in keys:
            if stopped.is_set():
                break
            if part := selector.of(values.get(key)):
                found[key] = part
                if type(selector) is Matches and (lines := lines + len(part)) > LINES_MAX:
                    raise ToolFailed(
                        f"more than {LINES_MAX} lines match {selector.pattern!r}",
                        "Narrow the pattern, the folder or the glob.",
                    )
        return found

    characters = sum(len(value) for key in keys if isinstance(value := values.get(key), str | bytes))
    inline = characters <= _INLINE_CHARACTERS and characters * states <= _INLINE_STEPS
    if inline and len(keys) <= _INLINE_KEYS:
        return parts(threading.Event())
    return await off_loop(parts)
