"""Parts of values: what selectors and scans looked at, and when two values are equal."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import re2

from coagent.audit.predicates import row_of

Selector: TypeAlias = tuple[Any, ...]
"""As in a record: `("field", pointer)`, `("lines", first, last)`, …"""

PATTERN_LENGTH_MAX: Final = 2_000
"""Longer patterns match nothing, longer globs everything."""


class Unknown:
    """The type of `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
"""A value, or a part of one, that does not follow from the log."""


class Scan(NamedTuple):
    """A range of keys, and which part of each object was looked at."""

    prefix: str
    glob: str | None
    part: Selector | None

    def covers(self, key: str) -> bool:
        """Tell whether a key lies in the range."""
        if not key.startswith(self.prefix):
            return False
        return self.glob is None or glob_matches(self.glob, key.partition(":")[2])

    def __str__(self) -> str:
        return f"{self.prefix}*" if self.glob is None else f"{self.prefix} ({self.glob})"


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal as data: of one type, and equal throughout."""
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is dict:
        return left.keys() == right.keys() and all(same(item, right[name]) for name, item in left.items())
    if kind is list:
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (kind is float and left != left and right != right)


def part_of(value: Any, selector: Selector | None) -> Any:
    """Return the part of a value that a selector names; `UNKNOWN` where that cannot be told."""
    if selector is None or value is UNKNOWN:
        return value
    kind, *rest = selector
    if kind == "field":
        return _field(value, rest[0])
    if kind == "lines":
        return _lines(value, *rest)
    if kind == "matches":
        if type(value) is bytes:
            return _matches_of_bytes(value, *rest)
        return _matches(value, *rest) if type(value) is str else []
    if kind == "traced":
        return None if value is None else True if rest[0] == "name" else [value]
    if kind == "where":
        return row_of(value, *rest)
    return UNKNOWN


def _field(value: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if type(value) is dict:
            value = value.get(name)
        elif type(value) is list and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _lines(value: Any, first: int, last: int | None) -> Any:
    if type(value) is not str:
        return None
    begin = _after(value, 0, first - 1)
    return value[begin:] if last is None else value[begin : _after(value, begin, last - first + 1)]


def _after(text: str, at: int, count: int) -> int:
    """Return where a text goes on after so many ends of lines."""
    for _ in range(count):
        found = text.find("\n", at)
        if found < 0:
            return len(text)
        at = found + 1
    return at


# ---- patterns ----------------------------------------------------------------------------------------------

_CLASSES: Final = {
    "w": r"\p{L}\p{M}\p{N}\p{Pc}",
    "d": r"\p{Nd}",
    "s": r"\t-\r \x{85}\p{Z}",
}
_TOKEN = re.compile(r"\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\.|\{,(?=\d+\})|\[\^?\]?|.", re.DOTALL)
_ODD = re.compile(r"\\[bBQE]|\[[^\]]*\\[WDS]")


def _matches(text: str, pattern: str, ignore_case: bool) -> Any:
    """Return the lines that match, with their numbers; `UNKNOWN` where this reader cannot tell."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        return []
    search = _searching(pattern, ignore_case)
    if search is None or (_ODD.search(pattern) and not (text.isascii() and pattern.isascii())):
        return UNKNOWN
    lines = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    try:
        return [[number, line] for number, line in enumerate(lines, 1) if search(line) is not None]
    except UnicodeEncodeError:
        return UNKNOWN


def _matches_of_bytes(data: bytes, pattern: str, ignore_case: bool) -> Any:
    """Return the lines of a text in another encoding that match, below line 0, which says how it was read."""
    marked = data[:2] in (b"\xff\xfe", b"\xfe\xff") and data[:4] != b"\xff\xfe\0\0"
    found = _matches(
        data.decode("utf-16", "replace") if marked else data.decode("latin-1"), pattern, ignore_case
    )
    if found is UNKNOWN or not found:
        return found
    if not marked and b"\0" in data:
        return [[0, "(a binary file; it matches)"]]
    how = "(UTF-16)" if marked else "(not valid UTF-8: searched byte by byte, and shown as Latin-1)"
    return [[0, how], *found]


@lru_cache(maxsize=128)
def _searching(pattern: str, ignore_case: bool) -> Any:
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    try:
        return re2.compile(_translated(pattern), options).search
    except (re2.error, UnicodeEncodeError):
        return None


def _translated(pattern: str) -> str:
    """Return a pattern as RE2 takes it, with the classes of Unicode."""
    made: list[str] = []
    inside = False
    for token in _TOKEN.findall(pattern):
        if inside and token == "]":
            inside = False
        elif not inside and token[0] == "[":
            inside = True
        if token[0] != "\\":
            made.append("{0," if token == "{," else token)
            continue
        letter = token[1]
        if letter in "uU" and len(token) > 2:
            made.append(f"\\x{{{token[2:]}}}")
        elif letter in "wds":
            made.append(_CLASSES[letter] if inside else f"[{_CLASSES[letter]}]")
        elif letter in "WDS" and not inside:
            made.append(f"[^{_CLASSES[letter.lower()]}]")
        elif letter == "Z" and not inside:
            made.append(r"\z")
        else:
            made.append(token)
    return "".join(made)


@lru_cache(maxsize=1024)
def _glob(glob: str) -> Any:
    parts: list[str] = []
    at = 0
    while at < len(glob):
        letter = glob[at]
        if glob.startswith("**/", at):
            parts.append("(?:[^/]+/)*")
            at += 2
        elif glob.startswith("**", at):
            parts.append(".*")
            at += 1
        elif letter in "*?":
            parts.append("[^/]*" if letter == "*" else "[^/]")
        elif letter == "[" and (end := glob.find("]", at + 2)) > 0:
            negated = glob[at + 1] == "!"
            members = re.sub(r"([\\\[\]^&~|])", r"\\\1", glob[at + 1 + negated : end])
            parts.append(f"[{'^' * negated}{members}]")
            at = end
        else:
            parts.append(re2.escape(letter))
        at += 1
    options = re2.Options()
    options.dot_nl, options.never_nl = True, False
    options.log_errors = False
    try:
        return re2.compile("".join(parts), options).fullmatch
    except (re2.error, UnicodeEncodeError):
        return None


def glob_matches(glob: str, path: str) -> bool:
    """Tell whether a path matches a glob: `*` and `?` stay within a segment, `**` crosses them."""
    if len(glob) > PATTERN_LENGTH_MAX:
        return True
    match = _glob(glob)
    try:
        return match is not None and match(path) is not None
    except UnicodeEncodeError:
        return False
