"""A trace for people: what happened, and what the kernel was told of it, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from befalling import Case
from exploring import Violation
from situations import Situation

from coagent.protocol.calls import Observation


def told(case: Case, violation: Violation) -> str:
    """Return a violation and the shortest way to it as text."""
    lines = [f"{violation.case}: {violation.what}", f"  before: {_shown(case.initial)}"]
    lines += [f"  {number:2}. {line}" for number, line in enumerate(_steps(case, violation), 1)]
    return "\n".join(lines)


def _steps(case: Case, violation: Violation) -> Iterator[str]:
    now = Situation(case)
    now.begin()
    for action in violation.trace:
        now.world.events.clear()
        try:
            now.perform(action)
        except Exception as failure:  # that is what the trace leads to
            yield f"{action}: {type(failure).__name__}"
            return
        events = ", ".join(_event(event) for event in now.world.events)
        live = {} if now.quiescent or action.kind in ("put", "arrive", "outside") else None
        ended = "" if live is None else f"  [the targets hold {_shown(now.world.live)}]"
        yield f"{action}{': ' if events else ''}{events}{ended}"


def _event(event: Any) -> str:
    parts = []
    for name, value in zip(event._fields, event, strict=True):
        if isinstance(value, Observation):
            parts.append(_seen(value))
        elif isinstance(value, Mapping):
            parts.append(_shown(value))
        elif value not in (None, (), False, "") and name != "footprint":
            parts.append(f"{name} {value}" if isinstance(value, int) else str(value))
    return f"{type(event).__name__}({', '.join(parts)})"


def _seen(seen: Observation) -> str:
    parts = []
    if seen.reads:
        parts.append("saw " + _shown({key: value for (key, _), value in seen.reads.items()}))
    if seen.scans:
        parts.append("found " + _shown({scan.prefix: value for scan, value in seen.scans.items()}))
    if seen.writes:
        parts.append("wrote " + _shown(seen.writes))
    parts.append(f"failed: {seen.error}" if seen.error is not None else f"returned {seen.value!r}")
    return " ".join(parts)


def _shown(values: Mapping[Any, Any]) -> str:
    return " ".join(f"{key}={value!r}" for key, value in values.items()) or "nothing"
