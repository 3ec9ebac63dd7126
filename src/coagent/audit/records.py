"""Records as they lie in a log, read as `docs/log-format.md` has them."""

from __future__ import annotations

import base64
import json
from typing import Any, Final, NamedTuple

from coagent.audit.parts import Scan, Selector

FORMATS: Final = (2, 3, 4)
"""The versions of the record format that are understood."""

_FIELDS: Final[dict[str, tuple[int, tuple[Any, ...]]]] = {
    "Joined": (2, (False, None, "", "abort")),
    "Attached": (2, ("abort",)),
    "Said": (2, (False, 0)),
    "CallObserved": (4, (False, None, 0)),
    "CallStaged": (3, ()),
    "CallBegun": (4, (False, "", "")),
    "RunBegun": (2, ("", "", None, None)),
    "RunLost": (1, ()),
    "CallRan": (2, ()),
    "CallReexecuted": (2, (None,)),
    "ReversalBegun": (2, ("",)),
    "CallReversed": (2, ()),
    "ReversalFailed": (2, ()),
    "CallUndone": (1, ("",)),
    "CallAmended": (3, (True, None)),
    "StagedAmended": (2, ()),
    "NoticesDelivered": (2, ((),)),
    "Finished": (1, ()),
    "Promoted": (2, ()),
    "Committed": (1, ()),
    "AbortBegun": (2, ("",)),
    "Aborted": (2, ()),
    "Blocked": (2, ()),
    "Restarted": (1, ()),
    "EffectApplied": (2, ()),
    "EffectRefused": (3, ()),
    "Stuck": (3, ()),
    "Resolved": (2, (None,)),
    "OutsideWrite": (2, ((), "")),
}
"""Kind of event to how many fields it has at the least, and what stands for those after them."""
KINDS: Final = frozenset(_FIELDS)
_OBSERVING: Final = {"CallObserved": 3, "CallRan": 1, "CallReexecuted": 1, "CallAmended": 2}
"""Where the observation stands in the fields."""
_TOUCHING: Final = {"CallBegun": 3, "RunBegun": 1, "ReversalBegun": 1}
"""Where the footprint stands."""


class NotUnderstood(ValueError):
    """A record that is none of this format."""


class Seen(NamedTuple):
    """An observation: what one run of a tool saw and did."""

    reads: list[tuple[str, Selector | None, Any]]
    scans: list[tuple[Scan, Any]]
    writes: dict[str, Any]
    bases: dict[str, Any]
    value: Any
    error: str | None
    declared: bool = False


class Record(NamedTuple):
    """One event of a log.

    Args:
        number: Its number.
        kind: What happened.
        fields: Its fields in the order of the format, all of them.
        at_ms: When, in Unix milliseconds; None in format 2.
    """

    number: int
    kind: str
    fields: list[Any]
    at_ms: int | None


def parsed(number: int, text: str) -> Record:
    """Return the event of a record.

    Raises:
        NotUnderstood: It is none.
    """
    try:
        kind, *fields = json.loads(text, object_hook=plain)
        at_ms = None
        if type(kind) is int:
            at_ms, (kind, *fields) = kind, fields
        if kind not in _FIELDS:
            raise NotUnderstood(f"there is no kind {str(kind)[:100]!r}")
        least, defaults = _FIELDS[kind]
        missing = least + len(defaults) - len(fields)
        if not 0 <= missing <= len(defaults):
            raise NotUnderstood(f"{kind} has {len(fields)} fields")
        if missing:
            fields += defaults[len(defaults) - missing :]
        at = _OBSERVING.get(kind)
        if at is not None:
            fields[at] = read_seen(fields[at])
        at = _TOUCHING.get(kind)
        if at is not None:
            fields[at] = read_footprint(fields[at])
        return Record(number, kind, fields, at_ms)
    except NotUnderstood:
        raise
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise NotUnderstood(f"{type(error).__name__}: {error}"[:200]) from None


def read_seen(fields: list[Any]) -> Seen:
    """Return an observation."""
    reads, scans, writes, bases, value, error, declared, _, *_ = fields
    if type(writes) is not dict or type(bases) is not dict:
        raise NotUnderstood("writes are no object")
    return Seen(
        [(key, None if part is None else tuple(part), seen) for key, part, seen in reads],
        [(_scan(scan), seen) for *scan, seen in scans],
        writes,
        bases,
        value,
        error,
        declared,
    )


class Footprint(NamedTuple):
    """What a run is about to touch."""

    reads: frozenset[str]
    scans: tuple[Scan, ...]
    writes: frozenset[str]


def read_footprint(fields: list[Any]) -> Footprint:
    """Return a footprint."""
    reads, scans, writes = fields
    return Footprint(frozenset(reads), tuple(map(_scan, scans)), frozenset(writes))


def _scan(fields: list[Any]) -> Scan:
    prefix, glob, part = fields
    return Scan(prefix, glob, None if part is None else tuple(part))


def plain(found: dict[str, Any]) -> Any:
    """Return a JSON object as the value that it stands for."""
    if len(found) == 1:
        if "$bytes" in found:
            return base64.b64decode(found["$bytes"])
        if "$escaped" in found:
            return dict(found["$escaped"])
    return found
