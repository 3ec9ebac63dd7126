"""Texts of SQL changed token by token, so that all that is not meant stays as its author wrote it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import sqlglot
from sqlglot.errors import SqlglotError

from coagent.errors import ToolFailed

_WORD = re.compile(r'"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|([^\W\d][\w$]*)')


class Edit(NamedTuple):
    """What stands at a place of a text, first and last character, and what is to stand there."""

    first: int
    last: int
    new: str


def tokens_of(text: str) -> list[Any]:
    """Return the tokens of a text in PostgreSQL's dialect.

    Raises:
        ToolFailed: It cannot be cut into tokens.
    """
    try:
        return list(sqlglot.tokenize(text, read="postgres"))
    except SqlglotError as error:
        raise ToolFailed(f"the statement cannot be read: {error}", "Write postgres SQL.") from None


def apply_edits(text: str, edits: Collection[Edit]) -> str:
    """Return a text with some edits made, none of which overlap."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.first] + edit.new + text[edit.last + 1 :]
    return text


def without_schema(text: str, space: str = "public") -> str:
    """Return a text of PostgreSQL without the name of one schema before other names."""
    if space.lower() not in text.lower():
        return text
    edits = []
    before = None
    for token, dot in pairwise(tokens_of(text)):
        if _name(token) == space and _is(dot, "DOT") and not _is(before, "DOT"):
            edits.append(Edit(token.start, dot.end, ""))
        before = token
    return apply_edits(text, edits)


def names_called(tokens: list[Any]) -> Iterator[str]:
    """Yield the names before parentheses, as the server folds them."""
    for token, following in pairwise(tokens):
        if _is(following, "L_PAREN"):
            yield _name(token)


def with_calls(text: str, names: Mapping[str, str]) -> str:
    """Return a text in which the functions of some names are called by others."""
    tokens = tokens_of(text)
    edits = []
    before = None
    for token, following in pairwise(tokens):
        if _is(following, "L_PAREN") and _name(token) in names and not _is(before, "DOT"):
            edits.append(Edit(token.start, token.end, names[_name(token)]))
        before = token
    return apply_edits(text, edits)


def words_of(text: str) -> Iterator[str]:
    """Yield all that may be a name in a text of either dialect, within strings and bodies as well."""
    for match in _WORD.finditer(text):
        yield match[1].replace('""', '"') if match[1] else match[2] or match[3] or match[4]


def names_in(text: str, known: Collection[str]) -> list[str]:
    """Return those of some names that stand in a text, in whatever letters."""
    words = {word.lower() for word in words_of(text)}
    return [name for name in known if name.lower() in words]


def _name(token: Any) -> str:
    text: str = token.text
    return text if _is(token, "IDENTIFIER") else text.lower()


def _is(token: Any, kind: str) -> bool:
    return token is not None and token.token_type.name == kind
