"""In what order agents count, and what is said to somebody who has chosen what there is not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

from coagent.errors import ConfigurationError

Order: TypeAlias = Literal["fixed", "early"]


def checked_order(given: str | None) -> Order | None:
    """Return an order as somebody has typed it.

    Raises:
        ConfigurationError: There is no such order.
    """
    if given is not None:
        check_choice("order", given, ("fixed", "early"))
    return "early" if given == "early" else None if given is None else "fixed"


def check_choice(what: str, chosen: str, known: Collection[str]) -> None:
    """Refuse what is none of those known.

    Raises:
        ConfigurationError: It is none; says which there are.
    """
    if chosen not in known:
        raise ConfigurationError(
            f"there is no {what} {chosen!r}", f"Choose one of: {', '.join(sorted(known))}."
        )
