"""What the auditor says of an abort that has begun: whatever is not its end is out of place."""

from __future__ import annotations

from typing import Any

import pytest

from coagent.audit.ordered import OrderedReplay
from coagent.log.codec import encode
from coagent.protocol import events
from coagent.protocol.calls import CallId, Footprint, Observation, Rank
from coagent.protocol.events import Event

A = Rank(0)
BOX = Footprint(frozenset(), frozenset(), frozenset({"sys:1"}))  # type: ignore[arg-type]  # keys are texts
SEEN = Observation({}, {}, {"sys:1": "A.1@1"}, {"sys:1": None}, "ok", None, True)  # type: ignore[dict-item]
BEGUN: tuple[Event, ...] = (
    events.Joined("A", A),
    events.CallBegun(A, "act", {}, BOX, False, "one", "1"),
    events.CallRan(CallId("A.1"), SEEN),
    events.CallStaged(A, "send", {"text": "hello"}),
    events.AbortBegun(A, "because", "heir"),
)


def out_of_place(*more: Event) -> list[str]:
    """Return what is said of a log that goes on so."""
    replay = OrderedReplay("mtpo", "fixed")
    for number, event in enumerate([*BEGUN, *more], 1):
        replay.feed(number, encode(event))
    return [one.text for one in replay.findings.kept]


def test_an_abort_that_is_completed_by_another_process_is_right() -> None:
    assert not out_of_place(
        events.Attached(A, "another"),
        events.ReversalBegun(CallId("A.1"), BOX, "another"),
        events.CallUndone(CallId("A.1")),
        events.Aborted(A, "because"),
    )


@pytest.mark.parametrize(
    "event",
    [
        events.Finished(A),
        events.Committed(A),
        events.AbortBegun(A, "again"),
        events.CallStaged(A, "send", {}),
        events.CallBegun(A, "act", {}, BOX),
        events.RunBegun(CallId("A.2"), BOX),
        events.RunBegun(CallId("A.1"), BOX, arguments={"text": "another"}),
        events.CallAmended(CallId("A.2"), {}, SEEN),
        events.StagedAmended(CallId("A.2"), {}),
        events.NoticesDelivered(A, ()),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_else_may_follow(event: Any) -> None:
    [said] = out_of_place(event)
    assert "record 6" in said
    assert "A" in said
