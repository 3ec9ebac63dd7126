"""Predicates over rows: TRUE, FALSE, NULL (None) and MAYBE, as `docs/log-format.md` has them."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

import re2

MAYBE: Final = "maybe"
_LIKE_LENGTH_MAX = 2_000
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def row_of(value: Any, predicate: str, columns: str | None) -> Any:
    """Return a row, or columns of it, if it satisfies a predicate, or may; None where it does not."""
    if type(value) is not dict:
        return None
    if _truth(_loaded(predicate), value) in (None, False):
        return None
    if columns is None:
        return value
    return {name: value[name] for name in _loaded(columns) if name in value}


@lru_cache(maxsize=1024)
def _loaded(text: str) -> Any:
    return json.loads(text)


def _truth(tree: list[Any], row: dict[str, Any]) -> Any:
    head, *rest = tree
    if head == "and":
        return _all(rest, row)
    if head == "or":
        return _not(_all([["not", part] for part in rest], row))
    if head == "not":
        return _not(_truth(rest[0], row))
    if head == "null":
        return row[rest[0]] is None if rest[0] in row else MAYBE
    if head == "compare":
        kind, column, sign, literal = rest
        return _compared(kind, column, sign, literal, row)
    if head == "in":
        kind, column, literals = rest
        return _not(_all([["not", ["compare", kind, column, "=", literal]] for literal in literals], row))
    if head == "like":
        column, pattern, ignore_case = rest
        return _like(column, pattern, ignore_case, row)
    return True if head == "true" else MAYBE


def _all(parts: list[Any], row: dict[str, Any]) -> Any:
    """Return the conjunction: FALSE decides, then MAYBE, then NULL."""
    result: Any = True
    for part in parts:
        truth = _truth(part, row)
        if truth is False:
            return False
        if truth == MAYBE:
            result = MAYBE
        elif truth is None and result != MAYBE:
            result = None
    return result


def _not(truth: Any) -> Any:
    return not truth if truth is True or truth is False else truth


def _compared(kind: str, column: str, sign: str, literal: Any, row: dict[str, Any]) -> Any:
    if column not in row:
        return MAYBE
    if row[column] is None or literal is None:
        return None
    left, right = _comparable(kind, row[column]), _comparable(kind, literal)
    return MAYBE if left is None or right is None else _COMPARE[sign](left, right)


def _comparable(kind: str, value: Any) -> Any:
    if kind == "decimal" and type(value) in (int, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            return None
        return number if number.is_finite() else None
    types = {"number": (int, float), "text": (str,), "boolean": (bool,)}.get(kind, ())
    return value if type(value) in types else None


def _like(column: str, pattern: str, ignore_case: bool, row: dict[str, Any]) -> Any:
    value = row.get(column, MAYBE)
    if value is None:
        return None
    if column not in row or type(value) is not str:
        return MAYBE
    if ignore_case and not (value.isascii() and pattern.isascii()):
        return MAYBE
    try:
        match = _liking(pattern, ignore_case)
        return MAYBE if match is None else match(value) is not None
    except UnicodeEncodeError:
        return MAYBE


@lru_cache(maxsize=256)
def _liking(pattern: str, ignore_case: bool) -> Any:
    if len(pattern) > _LIKE_LENGTH_MAX:
        return None
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.dot_nl, options.never_nl, options.log_errors = True, False, False
    steps = {"%": ".*", "_": "."}
    try:
        expression = "".join(steps.get(letter) or re2.escape(letter) for letter in pattern)
        return re2.compile(expression, options).fullmatch
    except (re2.error, UnicodeEncodeError):
        return None
