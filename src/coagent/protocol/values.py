"""Values of objects: JSON data, text and bytes; their copies, equality, and the parts that are read.

A value is never changed in place once the kernel has seen it, so it is shared by reference; what enters
from or leaves to a tool is copied (`copied`). `None` is the value of an object that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from coagent.protocol.patterns import NOT_SEARCHED, matching_lines

# JSON scalars, text and bytes, and lists and string-keyed dicts of them. mypy has no use for the
# recursive form in a code base that passes values through unchanged, so the alias documents it.
Value: TypeAlias = Any


class Unloaded:
    """The type of `UNLOADED`."""

    def __repr__(self) -> str:
        return "UNLOADED"


UNLOADED: Final = Unloaded()
"""Stands in a listing for the value of an object that exists but was not read along with it."""

LARGE_FIELD: Final = "large_file"
"""The one field of the value of an object whose content is kept by reference: what that is called."""

NESTING_MAX: Final = 200
"""How deep lists and dicts may lie in one another: values are walked by recursion."""
_BLOCK_CHARACTERS = 64 * 1024
SCALARS: Final = frozenset({str, int, float, bool, bytes, type(None)})
"""The types of values that nobody can change in place."""


def copied(value: Value, depth: int = 0) -> Value:
    """Return a copy that shares no mutable part with `value`.

    Args:
        value: Plain data; tuples become lists, as JSON would make them.
        depth: How deep it lies in another one.

    Returns:
        The copy; scalars, text and bytes are returned as they are.

    Raises:
        TypeError: Something in it is not plain data (the message names its type), or lies too deep.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if depth >= NESTING_MAX:
        raise TypeError(f"lists and objects lie more than {NESTING_MAX} deep in one another")
    depth += 1
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"keys of a value must be text, not {type(key).__name__} ({key!r})")
        return {key: item if type(item) in SCALARS else copied(item, depth) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [item if type(item) in SCALARS else copied(item, depth) for item in value]
    raise TypeError(f"a value must be plain data (JSON, text or bytes), not {kind.__name__}")


def same(left: Value, right: Value) -> bool:
    """Tell whether two values are equal as data: `True` is not `1`, `1` is not `1.0`, NaN equals NaN."""
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is dict:
        if len(left) != len(right):
            return False
        return all(key in right and same(item, right[key]) for key, item in left.items())
    if kind is list or kind is tuple:
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (kind is float and left != left and right != right)


class Field(NamedTuple):
    """One field of a JSON value, by JSON Pointer (RFC 6901), such as `/spec/replicas`."""

    path: str

    def of(self, value: Value) -> Value:
        """Return the field's value, or None where the path leads nowhere."""
        current = value
        for step in _steps(self.path):
            if type(current) is dict:
                current = current.get(step)
            elif type(current) is list and step.isdigit() and int(step) < len(current):
                current = current[int(step)]
            else:
                return None
        return current

    def __str__(self) -> str:
        return self.path


class Lines(NamedTuple):
    """A range of lines of a text, counted from 1; `last` None reaches to the end."""

    first: int
    last: int | None = None

    def of(self, value: Value) -> Value:
        """Return the text of the range with its line ends, or None for a value that is no text."""
        if type(value) is not str:
            return None
        begin = _line_start(value, self.first - 1)
        return value[
            begin : None if self.last is None else _line_start(value, self.last - self.first + 1, begin)
        ]

    def __str__(self) -> str:
        return f"lines {self.first}-{self.last if self.last is not None else 'end'}"


class Matches(NamedTuple):
    """The lines of a text that a regular expression matches, as `[[number, line], ...]`.

    Of bytes, which are a text that is not valid UTF-8 or none at all, line 0 says how they were read. Of
    a file that is kept by reference it says that it was not.

    The syntax and its bounds are those of `coagent.protocol.patterns`. A pattern that is not supported any
    more, in a log of an earlier version, matches nothing.
    """

    pattern: str
    ignore_case: bool = False

    def of(self, value: Value) -> Value:
        """Return the matching lines with their numbers; an empty list where nothing matches."""
        searched = type(value) is str or type(value) is bytes
        if type(value) is dict and value.keys() == {LARGE_FIELD}:
            return [[0, NOT_SEARCHED]]
        return matching_lines(self.pattern, self.ignore_case, value) if searched else []

    def __str__(self) -> str:
        return f"lines matching {self.pattern!r}"


class Traced(NamedTuple):
    """What a traced program saw of an object: its content, or only that it is there.

    A scan with it records what agents had written by then, and nothing of all the other objects: they were as
    their base is, which the kernel learns before anyone writes them.

    Args:
        part: "content" or "name".
    """

    part: str

    def of(self, value: Value) -> Value:
        """Return the content in a list, or True where only the name counts; None for what is not there."""
        if value is None:
            return None
        return True if self.part == "name" else [value]

    def __str__(self) -> str:
        return self.part


class Selector(Protocol):
    """A part of a value: what a read looked at when it did not look at the whole.

    Selectors are named tuples of scalars (`Field`, `Lines`, `Matches`, `Traced`, `predicates.Where`), so that
    they can be compared, hashed and logged.
    """

    def of(self, value: Value, /) -> Value:
        """Return the part; something empty where the value has none of it."""

    def __iter__(self) -> Iterator[Any]: ...

    def __hash__(self) -> int: ...


def selected(value: Value, selector: Selector | None) -> Value:
    """Return the part of `value` that `selector` names; the whole where it is None."""
    return value if selector is None else selector.of(value)


def text_lines(text: str) -> list[str]:
    """Return the lines with their ends; only line feeds end lines, as for grep, git and compilers."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _line_start(text: str, count: int, begin: int = 0) -> int:
    """Return where a line begins, `count` lines after the one at `begin`, or the end of the text.

    Only line feeds end lines, as for grep, git and compilers. They are counted in blocks, so that neither a
    line far down nor millions of empty ones take long.
    """
    while count > 0 and begin < len(text):
        end = begin + _BLOCK_CHARACTERS
        within = text.count("\n", begin, end)
        if within < count:
            count -= within
            begin = end
            continue
        for _ in range(count):
            begin = text.find("\n", begin) + 1
        return begin
    return min(begin, len(text))


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[str, ...]:
    if path == "":
        return ()
    if not path.startswith("/"):
        raise ValueError(f"a field path is a JSON Pointer and starts with '/': {path!r}")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/"))
