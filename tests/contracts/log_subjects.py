"""The engines of the log, each as the contract needs it, and an event of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from coagent.log.base import Log, LogSettings
from coagent.log.open import open_log
from coagent.protocol import events
from coagent.protocol.calls import CallId, Cause, Footprint, Observation, Rank
from coagent.protocol.events import Event
from coagent.protocol.keys import Scan
from coagent.protocol.predicates import EVERYTHING, Where
from coagent.protocol.values import Field, Lines, Matches, Traced

SETTINGS = LogSettings("mtpo", "fixed", ())
KINDS = ("memory", "sqlite", "postgresql")


class LogSubject(NamedTuple):
    """An engine.

    Args:
        kind: Its name.
        url: Of a log that does not exist yet.
    """

    kind: str
    url: str

    async def open(self, settings: LogSettings = SETTINGS) -> Log:
        """Open the log, or a further handle on it, as another process would."""
        return await open_log(self.url, settings)


def subject_of(kind: str, directory: Path, request: pytest.FixtureRequest) -> LogSubject:
    """Return an engine by its name."""
    if kind == "memory":
        return LogSubject(kind, "memory:")
    if kind == "sqlite":
        return LogSubject(kind, f"sqlite:{directory / 'log'}")
    return LogSubject(kind, request.getfixturevalue("postgres_log"))


_RANK, _CALL = Rank(3), CallId("A.1")
_SEEN = Observation(
    reads={
        ("kv:x", None): 1,
        ("kv:x", Field("/a/b")): None,
        ("kv:text", Lines(1, 3)): ["one", "tw\u00f6"],
        ("kv:big", None): b"\x00\xff",
    },
    scans={
        Scan("kv:", None, None): ["kv:x"],
        Scan("kv:", "*.txt", Matches("a+")): {"kv:x": [[1, "a"]]},
        Scan("kv:", None, Traced("name")): {},
        Scan("sql:orders/", None, Where(EVERYTHING, '["id"]')): {"sql:orders/1": {"id": 1}},
    },
    writes={"kv:x": {"$bytes": "no bytes", "n": [1.5, True, None]}, "kv:y": None},
    bases={"kv:x": "before", "kv:y": {"$escaped": [1]}},
    value={"answer": ["\u2028", "\x00", b"raw"]},
    prepared={"token": 7},
    declared=True,
)
_TOUCHED = Footprint(
    frozenset({"kv:x", "kv:y"}), frozenset({Scan("kv:", None, Field(""))}), frozenset({"kv:x"})
)

SAMPLES: tuple[Event, ...] = (
    events.Joined("A", _RANK, pinned=True),
    events.Joined("B", _RANK, owner="owner-1", on_death="keep"),
    events.Attached(_RANK, "owner-2", "commit"),
    events.Said(_RANK, "I shall look at geo first", ago_ms=40),
    events.Said(_RANK, "repair the images", goal=True),
    events.CallObserved(_RANK, "put", {"name": "x"}, _SEEN, took_ms=1_200, ago_ms=7),
    events.CallObserved(_RANK, "put", {}, Observation.failed("no such thing"), irreversible=True),
    events.CallStaged(_RANK, "mail", {"to": "ann", "raw": b"\x01"}),
    events.CallBegun(_RANK, "pay", {}, _TOUCHED, irreversible=True),
    events.CallBegun(_RANK, "pay", {}, _TOUCHED, True, "owner-1", "a name for ever"),
    events.RunBegun(_CALL, _TOUCHED),
    events.RunBegun(_CALL, _TOUCHED, "owner-1", "a name for ever"),
    events.RunLost(_CALL),
    events.CallRan(_CALL, _SEEN),
    events.CallReexecuted(_CALL, _SEEN),
    events.ReversalBegun(_CALL, _TOUCHED),
    events.ReversalBegun(_CALL, _TOUCHED, "owner-1"),
    events.CallReversed(_CALL, Cause("B", CallId("B.1"), "put", Rank(4))),
    events.CallReversed(_CALL, Cause("outside", None, None, Rank(-1))),
    events.ReversalFailed(_CALL, "it will not"),
    events.CallUndone(_CALL),
    events.CallAmended(_CALL, {"name": "y"}, _SEEN),
    events.StagedAmended(_CALL, {"to": "bob"}),
    events.NoticesDelivered(_RANK, (_CALL, CallId("A.2")), ("kv:x",)),
    events.Finished(_RANK),
    events.Promoted(_RANK, -7),
    events.Committed(_RANK),
    events.AbortBegun(Rank(0), "because", "one"),
    events.Aborted(_RANK, "its lease ran out"),
    events.Blocked(_RANK, (Rank(1), Rank(2))),
    events.Restarted(_RANK),
    events.EffectApplied("kv:x", 12),
    events.EffectRefused("kv:x", 12, "no"),
    events.Stuck("kv:x", 12, "no"),
    events.Resolved("kv:x", "accept", {"n": 1}),
    events.OutsideWrite("kv:x", None),
)
"""At least one event of every kind, with every kind of value in them."""
