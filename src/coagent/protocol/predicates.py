"""Predicates over rows, as plain data: what a SELECT with a WHERE looked at, and nothing more.

A predicate is nested lists, kept as JSON text so that a scan with it can be compared, hashed and logged:

    ["and", p, ...]  ["or", p, ...]  ["not", p]  ["true"]  ["maybe"]
    ["null", column]  ["compare", kind, column, operator, literal]
    ["in", kind, column, [literal, ...]]  ["like", column, pattern, ignore_case]

It is evaluated in four values: SQL's TRUE, FALSE and NULL, and MAYBE for what cannot be told here (a value of
another type than its column says, a part of the statement that only the database understands). A row of which
the predicate is TRUE or MAYBE counts as matching, so a scan may see too much but never misses a row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from coagent.protocol.patterns import LENGTH_MAX, full_matcher, literally
from coagent.protocol.values import Value

MAYBE: Final = "maybe"
Truth: TypeAlias = bool | Literal["maybe"] | None
Test: TypeAlias = Callable[[Mapping[str, Value]], Truth]

EVERYTHING: Final = '["true"]'
"""The predicate of a scan that looks at all rows."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


class Where(NamedTuple):
    """The rows (JSON objects) that match a predicate, or some columns of them.

    Args:
        predicate: JSON text of the predicate.
        columns: JSON text of a list of names; None: the whole row.
    """

    predicate: str
    columns: str | None = None

    def of(self, value: Value) -> Value:
        """Return the row, or its columns, where it matches; None where it does not."""
        if type(value) is not dict:
            return None
        truth = _test(self.predicate)(value)
        if truth is None or truth is False:
            return None
        if self.columns is None:
            return value
        return {name: value[name] for name in _names(self.columns) if name in value}

    def __str__(self) -> str:
        what = "rows" if self.columns is None else ", ".join(_names(self.columns))
        condition = _text(json.loads(self.predicate))
        return what if condition == "true" else f"{what} where {condition}"


def predicate(tree: list[Any]) -> str:
    """Return the JSON text of a predicate."""
    return json.dumps(tree, separators=(",", ":"))


@lru_cache(maxsize=1024)
def _names(columns: str) -> tuple[str, ...]:
    return tuple(json.loads(columns))


@lru_cache(maxsize=1024)
def _test(text: str) -> Test:
    return _made(json.loads(text))


def _made(tree: list[Any]) -> Test:
    head, *rest = tree
    if head in ("and", "or"):
        return _junction([_made(part) for part in rest], decisive=head == "or")
    if head == "not":
        return _negation(_made(rest[0]))
    if head == "null":
        return lambda row: row[rest[0]] is None if rest[0] in row else MAYBE
    if head == "compare":
        return _comparison(*rest)
    if head == "in":
        kind, column, literals = rest
        return _junction([_comparison(kind, column, "=", literal) for literal in literals], decisive=True)
    if head == "like":
        return _like(*rest)
    return (lambda row: True) if head == "true" else (lambda row: MAYBE)


def _junction(parts: list[Test], *, decisive: bool) -> Test:
    """AND (decisive False) or OR (decisive True): the decisive value wins, then MAYBE, then NULL."""

    def test(row: Mapping[str, Value]) -> Truth:
        result: Truth = not decisive
        for part in parts:
            truth = part(row)
            if truth is decisive:
                return decisive
            if truth is None and result != MAYBE:
                result = None
            elif truth == MAYBE:
                result = MAYBE
        return result

    return test


def _negation(inner: Test) -> Test:
    def test(row: Mapping[str, Value]) -> Truth:
        truth = inner(row)
        return not truth if isinstance(truth, bool) else truth

    return test


def _comparison(kind: str, column: str, operator: str, literal: Value) -> Test:
    compare = _OPERATORS[operator]
    right = _comparable(kind, literal)

    def test(row: Mapping[str, Value]) -> Truth:
        if column not in row:
            return MAYBE
        if row[column] is None or literal is None:
            return None
        left = _comparable(kind, row[column])
        return MAYBE if left is None or right is None else compare(left, right)

    return test


def _comparable(kind: str, value: Value) -> Any:
    """Return a value in the form in which values of its kind compare; None where it is not of the kind."""
    if kind == "number":
        return value if type(value) in (int, float) else None
    if kind == "text":
        return value if type(value) is str else None
    if kind == "boolean":
        return value if type(value) is bool else None
    if kind == "decimal" and type(value) in (int, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            return None
        return number if number.is_finite() else None
    return None


def _like(column: str, pattern: str, ignore_case: bool) -> Test:
    steps = {"%": ".*", "_": "."}
    expression = "".join(steps.get(letter) or literally(letter) for letter in pattern)
    matches = full_matcher(expression, ignore_case=ignore_case) if len(pattern) <= LENGTH_MAX else None

    def test(row: Mapping[str, Value]) -> Truth:
        value = row.get(column, MAYBE)
        if value is None:
            return None
        if column not in row or type(value) is not str:
            return MAYBE
        if ignore_case and not (value.isascii() and pattern.isascii()):
            return MAYBE  # engines fold other letters in ways of their own
        found = None if matches is None else matches(value)
        return MAYBE if found is None else found

    return test


def _text(tree: list[Any]) -> str:
    head, *rest = tree
    if head in ("and", "or"):
        return f" {head} ".join(
            f"({_text(part)})" if part[0] in ("and", "or") else _text(part) for part in rest
        )
    if head == "not":
        return f"not ({_text(rest[0])})"
    if head == "null":
        return f"{rest[0]} is null"
    if head == "compare":
        return f"{rest[1]} {rest[2]} {rest[3]!r}"
    if head == "in":
        return f"{rest[1]} in ({', '.join(map(repr, rest[2]))})"
    if head == "like":
        return f"{rest[0]} like {rest[1]!r}"
    return "true" if head == "true" else "(a condition that only the database can tell)"
