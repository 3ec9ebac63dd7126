"""Telemetry that fails is told once, and harms nobody: no call fails because it cannot be looked at."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
SAYS = logging.getLogger("coagent.telemetry")
_said: set[str] = set()


def say_once(what: str, why: object) -> None:
    """Warn of something, the first time that it happens in this process."""
    if what not in _said:
        _said.add(what)
        SAYS.warning("%s: %s", what, why)


def harmless(act: Callable[P, T]) -> Callable[P, T | None]:
    """Make a function that returns nothing where it fails."""

    @functools.wraps(act)
    def tried(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return act(*args, **kwargs)
        except Exception as failure:
            say_once("telemetry has a defect, and misses something", f"{type(failure).__name__}: {failure}")
            return None

    return tried
