"""The places that docs/where.md names are there, and hold what it says to look for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "where.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| (.+\?) \| `([^`]+)` \| `([^`]+)` \|$", re.M)


def lost(text: str) -> Iterator[str]:
    """Yield the questions whose answer is not where a page says."""
    for question, path, name in _ROW.findall(text):
        places = [place for place in (ROOT / path, ROOT / "src" / "coagent" / path) if place.is_file()]
        if not places or not _holds(places[0].read_text(encoding="utf-8"), name):
            yield question


def _holds(text: str, name: str) -> bool:
    """Tell whether a file defines a name, sets it, or has a heading of it."""
    name = re.escape(name)
    known = rf"(?:def|class) {name}|^\s*(?:[\w.\[\]]+\.)?{name}\b.*=|^\[+{name}"
    return re.search(known, text, re.M) is not None


def test_each_answer_is_where_the_page_says() -> None:
    assert list(lost(TEXT)) == []


def test_there_are_enough_and_every_row_is_read() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| where is")]
    assert len(rows) == len(_ROW.findall(TEXT)) >= 10


@pytest.mark.parametrize(
    "row", ["| it? | `protocol/gone.py` | `Gone` |", "| it? | `protocol/calls.py` | `gone` |"]
)
def test_an_answer_that_is_not_there_is_found(row: str) -> None:
    assert list(lost(row)) == ["it?"]
