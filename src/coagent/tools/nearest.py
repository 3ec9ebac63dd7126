"""What may have been meant by a wrong name, found without comparing everything with everything."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

_LENGTH_MAX = 200
_COMPARED_MAX = 1_000
_LENGTHS_APART_MAX = 3


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like one; None where none is, or it cannot be told quickly.

    Args:
        name: The wrong name.
        known: Those that there are; of very many, only the ones of about the same length are compared.
        cutoff: How alike they must be, from 0 to 1.
    """
    if len(name) > _LENGTH_MAX:
        return None
    short = [other for other in known if len(other) <= _LENGTH_MAX]
    if len(short) > _COMPARED_MAX:
        alike = (other for other in short if abs(len(other) - len(name)) <= _LENGTHS_APART_MAX)
        short = list(islice(alike, _COMPARED_MAX))
    return next(iter(difflib.get_close_matches(name, short, 1, cutoff)), None)
