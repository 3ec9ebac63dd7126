"""Records of the log: versioned, checksummed JSON texts, readable with any SQLite shell.

A record is `[kind, field, ...]` in the order of the event's fields. Bytes stand as `{"$bytes": base64}`.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

from coagent.errors import LogError
from coagent.protocol import events
from coagent.protocol.calls import Cause, Observation
from coagent.protocol.events import Event
from coagent.protocol.keys import Scan
from coagent.protocol.predicates import Where
from coagent.protocol.values import Field, Lines, Matches, Selector, Traced

FORMAT = 1
"""The version of the record format. A log of a newer one is refused; each change raises it."""

_BYTES = "$bytes"
_ESCAPED = "$escaped"
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        events.Joined,
        events.CallObserved,
        events.CallStaged,
        events.StagedStarted,
        events.StagedRan,
        events.CallReexecuted,
        events.CallReversed,
        events.CallUndone,
        events.CallAmended,
        events.StagedAmended,
        events.NoticesDelivered,
        events.Finished,
        events.Aborted,
        events.Blocked,
        events.Restarted,
        events.EffectApplied,
        events.EffectRefused,
        events.OutsideWrite,
    )
}
_SELECTORS: dict[str, type[Any]] = {
    "field": Field,
    "lines": Lines,
    "matches": Matches,
    "traced": Traced,
    "where": Where,
}
_SELECTOR_NAMES = {kind: name for name, kind in _SELECTORS.items()}


def encode(event: Event) -> str:
    """Return the record of an event."""
    fields: list[Any] = [type(event).__name__]
    for field in event:
        if type(field) is Observation:
            fields.append(_packed(field))
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
    try:
        kind, *fields = json.loads(record, object_hook=_unescaped)
        made = _KINDS[kind]
        pairs = zip(made._fields, fields, strict=False)
        return made(*(_FIELDS[name](value) if name in _FIELDS else value for name, value in pairs))  # type: ignore[no-any-return]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise LogError(
            f"a record of the log cannot be understood ({type(error).__name__}: {error})",
            "It was written by another version of CoAgent, or edited by hand.",
        ) from None


def checksum(record: str) -> int:
    """Return the CRC-32 of a record, which tells a damaged one."""
    return zlib.crc32(record.encode())


def _packed(observation: Observation) -> list[Any]:
    return [
        [[key, _packed_selector(selector), seen] for (key, selector), seen in observation.reads.items()],
        [
            [scan.prefix, scan.glob, _packed_selector(scan.selector), seen]
            for scan, seen in observation.scans.items()
        ],
        observation.writes,
        observation.bases,
        observation.value,
        observation.error,
        observation.declared,
        observation.prepared,
    ]


def _unpacked(fields: list[Any]) -> Observation:
    reads, scans, writes, bases, value, error, declared, prepared = fields
    return Observation(
        {(key, _unpacked_selector(selector)): seen for key, selector, seen in reads},
        {Scan(prefix, glob, _unpacked_selector(selector)): seen for prefix, glob, selector, seen in scans},
        writes,
        bases,
        value,
        error,
        declared,
        prepared,
    )


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "observation": _unpacked,
    "call_ids": tuple,
    "by": tuple,
    "cause": lambda fields: Cause(*fields),
}


def _packed_selector(selector: Selector | None) -> list[Any] | None:
    return None if selector is None else [_SELECTOR_NAMES[type(selector)], *selector]


def _unpacked_selector(packed: list[Any] | None) -> Selector | None:
    return None if packed is None else _SELECTORS[packed[0]](*packed[1:])


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
