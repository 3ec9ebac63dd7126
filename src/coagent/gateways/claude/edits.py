"""The edit that a client has really made, from what was there and what is there now."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any


def effective_edit(bases: Sequence[str], after: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `edit_file` that lead from one text to the other.

    The client does not always do what it was asked to the letter: it makes quotes match those of the file,
    and drops the line end behind a text that it deletes.

    Args:
        bases: What may have been there; the first is the likeliest.
        after: What is there now.
        given: What the client was asked to do.
    """
    old, new = str(given.get("old_string", "")), str(given.get("new_string", ""))
    everywhere = bool(given.get("replace_all"))
    for before, replaced in itertools.product(bases, (old, f"{old}\n")):
        if not replaced or replaced == new or not (everywhere or before.count(replaced) == 1):
            continue
        if before.replace(replaced, new, -1 if everywhere else 1) == after:
            return {"old_string": replaced, "new_string": new, "replace_all": everywhere}
    return _least_edit(bases[0], after)


def _least_edit(before: str, after: str) -> dict[str, Any]:
    """Return one edit of whole lines that occur once."""
    olds, news = before.splitlines(keepends=True), after.splitlines(keepends=True)
    first = 0
    while first < min(len(olds), len(news)) and olds[first] == news[first]:
        first += 1
    last = 0
    while last < min(len(olds), len(news)) - first and olds[-1 - last] == news[-1 - last]:
        last += 1
    while True:
        old = "".join(olds[first : len(olds) - last])
        new = "".join(news[first : len(news) - last])
        if (old and before.count(old) == 1) or (first == 0 and last == 0):
            return {"old_string": old, "new_string": new}
        first, last = max(0, first - 1), max(0, last - 1)
