"""Old values that stand literally in later calls: which a change has replaced, and where they still stand.

A word counts only as a whole: "100" stands in "total 100" and not in "total 1000". What took its place is
given only where that is clear, since it is proposed to whoever has to repair: a wrong proposal costs more
than none. All of it is bounded, as in `differences`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice

from coagent.protocol.differences import found_lines, is_set, leaves, without_number
from coagent.protocol.values import Value

_LITERALS_MAX = 200
_LEAVES_MAX = 500
_WORDS_LENGTH_MAX = 2_000_000
_ALIGNED_LENGTH_MAX = 20_000
_ALIGNED_WORDS_MAX = 2_000
_WORDS_MAX = 20
_WITHIN_LENGTH_MIN = 3
"""Shorter ones stand within so many texts by chance that to find one says nothing."""
_WORD = re.compile(r"\w(?:[\w.:/@+-]*\w)?")

Replaced = tuple[str, str | None]
"""A literal that has gone, and what took its place, where that is clear."""


def replaced_literals(before: Value, after: Value) -> list[Replaced]:
    """Return the literals that stood in `before` and are gone from `after`, with what took their place.

    They are what a later write may still carry although its premise has moved.
    """
    found = list(islice(_replaced(before, after), _LITERALS_MAX))
    return merged_literals([found])


def merged_literals(found: Iterable[Iterable[Replaced]]) -> list[Replaced]:
    """Return literals from several changes, each once; one with two different successors has none."""
    merged: dict[str, str | None] = {}
    for old, new in (pair for some in found for pair in some):
        merged[old] = new if merged.get(old, new) == new else None
    return list(islice(merged.items(), _LITERALS_MAX))


def _replaced(before: Value, after: Value) -> Iterator[Replaced]:
    if type(before) is str and type(after) is str:
        yield from _replaced_words(before, after)
        return
    hits = found_lines(before), found_lines(after)
    if hits[0] is not None and hits[1] is not None:  # their numbers are nobody's values
        yield from _replaced_words(
            "\n".join(map(without_number, hits[0])), "\n".join(map(without_number, hits[1]))
        )
        return
    if is_set(before) and is_set(after):  # what came need not be there for what went
        come = set(after)
        yield from ((name, None) for name in before if name and name not in come)
        return
    for _, old, new in islice(leaves(before, after), _LEAVES_MAX):
        if type(old) is str and type(new) is str:
            yield from _replaced_words(old, new)
        elif type(old) in (str, int, float) and old != "":
            yield str(old), None if new is None or type(new) in (dict, list) else str(new)


def _replaced_words(before: str, after: str) -> Iterator[Replaced]:
    if len(before) + len(after) > _WORDS_LENGTH_MAX:
        return
    if before and "\n" not in before and "\n" not in after:
        yield before, after
    old, new = _WORD.findall(before), _WORD.findall(after)
    kept, come = set(new), set(old)
    gone = list(dict.fromkeys(word for word in old if word not in kept and word != before))
    aligned = _aligned(old, new) if _may_align(before, after, old, new) else {}
    fresh = list(dict.fromkeys(word for word in new if word not in come))
    for word in gone[:_WORDS_MAX]:
        only = fresh[0] if len(fresh) == len(gone) == 1 else None
        yield word, aligned.get(word, only)


def _may_align(before: str, after: str, old: list[str], new: list[str]) -> bool:
    return len(before) + len(after) <= _ALIGNED_LENGTH_MAX and len(old) + len(new) <= _ALIGNED_WORDS_MAX


def _aligned(old: list[str], new: list[str]) -> dict[str, str | None]:
    """Return, of words in whose place as many others stand, which one stands in the place of each."""
    found: dict[str, str | None] = {}
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "replace" and b - a == d - c:
            for word, other in zip(old[a:b], new[c:d], strict=True):
                # Words of prose that changes stand in each other's place by chance.
                clear = b - a == 1 or (_value_like(word) and _value_like(other))
                found[word] = other if clear and found.get(word, other) == other else None
        elif kind != "equal":
            found.update(dict.fromkeys(old[a:b]))
    return found


def _value_like(word: str) -> bool:
    return not word.isalpha()


def carries(value: Value, literal: str) -> bool:
    """Tell whether the literal stands in a value: as a whole scalar, or as whole words within a text."""
    if type(value) is str:
        return value == literal or (
            len(literal) >= _WITHIN_LENGTH_MIN
            and literal in value
            and _whole(literal).search(value) is not None
        )
    if type(value) in (int, float):
        return str(value) == literal
    if type(value) is dict:
        return any(carries(item, literal) for item in value.values())
    if type(value) is list:
        return any(carries(item, literal) for item in value)
    return False


def with_literals(value: Value, literals: Mapping[str, str]) -> Value:
    """Return a value in which other literals stand, each where `carries` finds the one that it replaces."""
    if type(value) is str:
        if value in literals:
            return literals[value]
        # Longer ones first: a name is replaced before a part of it is.
        for old in sorted(literals, key=len, reverse=True):
            if len(old) >= _WITHIN_LENGTH_MIN and old in value:
                value = literals[old].join(_whole(old).split(value))
        return value
    if type(value) in (int, float):
        return _number_like(value, literals.get(str(value)))
    if type(value) is dict:
        return {name: with_literals(item, literals) for name, item in value.items()}
    if type(value) is list:
        return [with_literals(item, literals) for item in value]
    return value


def _number_like(value: int | float, literal: str | None) -> Value:
    if literal is None:
        return value
    for kind in (int, float):
        try:
            return kind(literal)
        except ValueError:
            continue
    return literal


@lru_cache(maxsize=256)
def _whole(literal: str) -> re.Pattern[str]:
    """Return a pattern that finds the literal where no longer word, name or number goes on at its ends."""
    # A name is whole behind the dot of its module too: `lib.fetch` carries `fetch`. A number is not.
    before = r"(?<!\w@)" if literal.isidentifier() else r"(?<!\w[.@])"
    begin = rf"(?<![\w-]){before}" if re.match(r"\w", literal) else ""
    end = r"(?![\w-]|[.@]\w|,\d)" if re.search(r"\w\Z", literal) else ""
    return re.compile(begin + re.escape(literal) + end)
