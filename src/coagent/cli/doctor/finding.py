"""What a look at one thing has shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warning", "problem"]
"""How bad it is: as it should be, worth knowing, may go wrong, or does not work."""
STATES: tuple[State, ...] = ("ok", "note", "warning", "problem")
"""From good to bad."""


@dataclass(frozen=True)
class Finding:
    """One line of what was found.

    Args:
        about: What was looked at, in a word or two.
        state: How bad it is.
        text: What was found.
        cure: What to do about it: a command where there is one.
    """

    about: str
    state: State
    text: str
    cure: str = ""


def worst(findings: Iterable[Finding]) -> State:
    """Return the worst state among findings; "ok" where there are none."""
    return STATES[max((STATES.index(finding.state) for finding in findings), default=0)]
