"""When something was, for people to read."""

from __future__ import annotations

import time

_VIRTUAL_UNTIL_MS = 10**11
"""Times before this (March 1973) are not of a day: runs on a virtual clock begin at 0."""


def day_and_time(at_ms: int) -> str:
    """Return a day and a time of it, in this host's time zone; of a virtual clock, how far it had gone.

    Args:
        at_ms: Unix milliseconds.
    """
    return _said(at_ms, "%Y-%m-%d %H:%M")


def time_of_day(at_ms: int) -> str:
    """Return a time of the day, in this host's time zone; of a virtual clock, how far it had gone.

    Args:
        at_ms: Unix milliseconds.
    """
    return _said(at_ms, "%H:%M:%S")


def _said(at_ms: int, form: str) -> str:
    if 0 <= at_ms < _VIRTUAL_UNTIL_MS:
        return f"+{at_ms / 1000:.1f} s"
    try:
        return time.strftime(form, time.localtime(at_ms / 1000))
    except (OverflowError, ValueError, OSError):
        return "--:--:--"
