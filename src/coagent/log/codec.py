"""Records of the log: versioned, checksummed JSON texts, readable with any SQLite shell.

A record is `[time, kind, field, ...]` in the order of the event's fields (docs/log-format.md). Bytes stand as
`{"$bytes": base64}`.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from coagent.errors import LogError
from coagent.protocol import checkpoint as states
from coagent.protocol import events
from coagent.protocol.calls import CallId, Cause, Footprint, Observation, Position
from coagent.protocol.checkpoint import KernelState
from coagent.protocol.events import Event
from coagent.protocol.keys import Scan
from coagent.protocol.participants import Disturbance
from coagent.protocol.predicates import Where
from coagent.protocol.values import Field, Lines, Matches, Selector, Traced

FORMAT = 4
"""The version of the record format. A log of a newer one is refused; each change raises it."""

_BYTES = "$bytes"
_ESCAPED = "$escaped"
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        events.Joined,
        events.Attached,
        events.Said,
        events.CallObserved,
        events.CallStaged,
        events.CallBegun,
        events.RunBegun,
        events.RunLost,
        events.CallRan,
        events.CallReexecuted,
        events.ReversalBegun,
        events.CallReversed,
        events.ReversalFailed,
        events.CallUndone,
        events.CallAmended,
        events.StagedAmended,
        events.NoticesDelivered,
        events.Finished,
        events.Promoted,
        events.Committed,
        events.AbortBegun,
        events.Aborted,
        events.Blocked,
        events.Restarted,
        events.EffectApplied,
        events.EffectRefused,
        events.Stuck,
        events.Resolved,
        events.OutsideWrite,
    )
}
_NOTHING = Footprint(frozenset(), frozenset(), frozenset())
_OLD: dict[str, Callable[..., Event]] = {
    "StagedStarted": lambda call_id: events.RunBegun(call_id, _NOTHING),
    "StagedRan": lambda call_id, observation: events.CallRan(call_id, _unpacked(observation)),
}
"""How events of format 1 are read that there are no more."""
_SELECTORS: dict[str, type[Any]] = {
    "field": Field,
    "lines": Lines,
    "matches": Matches,
    "traced": Traced,
    "where": Where,
}
_SELECTOR_NAMES = {kind: name for name, kind in _SELECTORS.items()}


class Recorded(NamedTuple):
    """An event as the log holds it.

    Args:
        event: What has happened.
        at_ms: When it was appended, in Unix milliseconds by the clock of that host; None: before format 3.
            Nothing rests on it: clocks of hosts differ, and the order is that of the log.
    """

    event: Event
    at_ms: int | None


def encode(event: Event, at_ms: int = 0) -> str:
    """Return the record of an event.

    Args:
        event: The event.
        at_ms: When it is appended, in Unix milliseconds; for people to read, nothing rests on it.
    """
    fields: list[Any] = [at_ms, type(event).__name__]
    for field in event:
        if isinstance(field, Observation):
            fields.append(_packed(field))
        elif isinstance(field, Footprint):
            fields.append(_packed_footprint(field))
        else:
            fields.append(list(field) if isinstance(field, tuple) else field)
    text = _dumps(fields)
    if _BYTES in text or _ESCAPED in text:  # rare: a value holds bytes, or uses our markers itself
        text = _dumps(_escaped(fields))
    return text


def decode(record: str) -> Event:
    """Return the event of a record.

    Raises:
        LogError: It is no record of this format.
    """
    return decode_recorded(record).event


def decode_recorded(record: str) -> Recorded:
    """Return the event of a record, and when it was appended.

    Raises:
        LogError: It is no record of this format.
    """
    try:
        kind, *fields = json.loads(record, object_hook=_unescaped)
        at_ms = None
        if type(kind) is int:
            at_ms, (kind, *fields) = kind, fields
        if kind in _OLD:
            return Recorded(_OLD[kind](*fields), at_ms)
        made = _KINDS[kind]
        pairs = zip(made._fields, fields, strict=False)
        return Recorded(
            made(*(_FIELDS[name](value) if name in _FIELDS else value for name, value in pairs)), at_ms
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise LogError(
            f"a record of the log cannot be understood ({type(error).__name__}: {error})",
            "It was written by another version of CoAgent, or edited by hand.",
        ) from None


def checksum(record: str, before: int = 0) -> int:
    """Return the CRC-32 of a record and of all records before it, by which a damaged or moved one is told.

    Args:
        record: The record.
        before: The checksum of the record before.
    """
    return zlib.crc32(record.encode(), before)


# ---- observations ------------------------------------------------------------------------------------------


def _packed(observation: Observation) -> list[Any]:
    reads, scans, writes, bases, value, error, declared, prepared, merged = observation
    packed = [
        [[key, _packed_selector(selector), seen] for (key, selector), seen in reads.items()],
        [[*_packed_scan(scan), seen] for scan, seen in scans.items()] if scans else [],
        writes,
        bases,
        value,
        error,
        declared,
        prepared,
    ]
    if merged:
        packed.append(merged)
    return packed


def _unpacked(fields: list[Any]) -> Observation:
    reads, scans, writes, bases, value, error, declared, prepared, *merged = fields
    return Observation(
        {(key, _unpacked_selector(selector)): seen for key, selector, seen in reads},
        {_unpacked_scan(scan): seen for *scan, seen in scans},
        writes,
        bases,
        value,
        error,
        declared,
        prepared,
        *merged,
    )


def _packed_footprint(footprint: Footprint) -> list[Any]:
    scans = sorted((_packed_scan(scan) for scan in footprint.scans), key=str)
    return [sorted(footprint.reads), scans, sorted(footprint.writes)]


def _unpacked_footprint(fields: list[Any]) -> Footprint:
    reads, scans, writes = fields
    return Footprint(frozenset(reads), frozenset(map(_unpacked_scan, scans)), frozenset(writes))


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "observation": _unpacked,
    "footprint": _unpacked_footprint,
    "call_ids": tuple,
    "keys": tuple,
    "by": tuple,
    "behind": tuple,
    "cause": lambda fields: Cause(*fields),
}


def _packed_scan(scan: Scan) -> list[Any]:
    return [scan.prefix, scan.glob, _packed_selector(scan.selector)]


def _unpacked_scan(fields: list[Any]) -> Scan:
    prefix, glob, selector = fields
    return Scan(prefix, glob, _unpacked_selector(selector))


def _packed_selector(selector: Selector | None) -> list[Any] | None:
    return None if selector is None else [_SELECTOR_NAMES[type(selector)], *selector]


def _unpacked_selector(packed: list[Any] | None) -> Selector | None:
    return None if packed is None else _SELECTORS[packed[0]](*packed[1:])


# ---- checkpoints -------------------------------------------------------------------------------------------


def encode_state(state: KernelState) -> str:
    """Return the text of a checkpoint."""
    return _dumps(_escaped(_packed_state(state)))


def decode_state(text: str) -> KernelState:
    """Return the state that a checkpoint holds.

    Raises:
        LogError: It is no checkpoint of this format.
    """
    try:
        found: Any = KernelState(*json.loads(text, object_hook=_unescaped))
        state: KernelState = found._replace(
            agents=tuple(map(_agent_state, found.agents)),
            ended=tuple(found.ended),
            calls=tuple(map(_call_state, found.calls)),
            objects=tuple(map(_object_state, found.objects)),
            written=tuple(found.written),
            unapplied=tuple(found.unapplied),
            dirty=tuple(found.dirty),
            half_reversed=tuple(found.half_reversed),
        )
        return state
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise LogError(
            f"the log's checkpoint cannot be understood ({type(error).__name__}: {error})",
            "It was written by another version of CoAgent, or edited by hand.",
        ) from None


def _packed_state(value: Any) -> Any:
    kind = type(value)
    if kind is Observation:
        return _packed(value)
    if kind is Footprint:
        return _packed_footprint(value)
    if isinstance(value, tuple):
        return [_packed_state(item) for item in value]
    if kind is dict:
        return {key: _packed_state(item) for key, item in value.items()}
    return value


def _agent_state(fields: list[Any]) -> states.AgentState:
    saved = states.AgentState(*fields)
    disturbed = {
        key: Disturbance(kind, before, after, CallId(call_id), Cause(*cause))
        for key, (kind, before, after, call_id, cause) in saved.disturbed.items()
    }
    return saved._replace(calls=tuple(saved.calls), pending=tuple(saved.pending), disturbed=disturbed)


def _call_state(fields: list[Any]) -> states.CallState:
    saved = states.CallState(*fields)
    packed: Mapping[str, Any] = saved._asdict()
    return saved._replace(
        seen=_unpacked(packed["seen"]),
        told=None if packed["told"] is None else _unpacked(packed["told"]),
        cause=None if packed["cause"] is None else Cause(*packed["cause"]),
        under_way=None if packed["under_way"] is None else _unpacked_footprint(packed["under_way"]),
        accepted=tuple(packed["accepted"]),
    )


def _object_state(fields: list[Any]) -> states.ObjectState:
    saved = states.ObjectState(*fields)
    return saved._replace(
        accepted=tuple(saved.accepted),
        accepted_at=tuple(_position(at) for at in saved.accepted_at),
        edits=tuple(states.EditState(_position(at), *rest) for at, *rest in saved.edits),
    )


def _position(fields: Any) -> Position:
    order, sequence, number = fields
    return Position((order, sequence, number))


# ---- bytes -------------------------------------------------------------------------------------------------


def _marked_bytes(value: Any) -> dict[str, str]:
    if type(value) is bytes:
        return {_BYTES: base64.b64encode(value).decode()}
    raise TypeError(f"a log record cannot hold {type(value).__name__}")


_dumps = json.JSONEncoder(separators=(",", ":"), default=_marked_bytes, check_circular=False).encode


def _escaped(value: Any) -> Any:
    """Wrap the user's own dicts that look like our markers, so that they come back as they were."""
    if isinstance(value, dict):
        inner = {key: _escaped(item) for key, item in value.items()}
        return {_ESCAPED: list(inner.items())} if _BYTES in inner or _ESCAPED in inner else inner
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def _unescaped(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        if _BYTES in found:
            return base64.b64decode(found[_BYTES])
        if _ESCAPED in found:
            return dict(found[_ESCAPED])
    return found
