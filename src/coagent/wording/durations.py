"""Lengths of time in words."""

from __future__ import annotations


def duration(ms: int) -> str:
    """Return a length of time for people: `340 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`."""
    if ms < 1000:
        return f"{ms} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
