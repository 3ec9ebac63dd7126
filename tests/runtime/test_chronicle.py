"""What people read of a domain's events: a sentence for every kind of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

from coagent.log.base import LogSettings
from coagent.log.sqlite import SqliteLog
from coagent.protocol.calls import CallId, Cause, Footprint, Observation, Rank
from coagent.protocol.events import (
    AbortBegun,
    Aborted,
    Attached,
    Blocked,
    CallAmended,
    CallBegun,
    CallObserved,
    CallRan,
    CallReexecuted,
    CallReversed,
    CallStaged,
    CallUndone,
    Committed,
    EffectApplied,
    EffectRefused,
    Event,
    Finished,
    Joined,
    NoticesDelivered,
    OutsideWrite,
    Promoted,
    Resolved,
    Restarted,
    ReversalBegun,
    ReversalFailed,
    RunBegun,
    RunLost,
    Said,
    StagedAmended,
    Stuck,
)
from coagent.protocol.keys import Key
from coagent.runtime.chronicle import Chronicle
from coagent.runtime.watch import Watch

A, B, C = Rank(0), Rank(1), Rank(2)
X, Y = Key("kv:x"), Key("kv:y")
WRITES = Footprint(frozenset(), frozenset(), frozenset({Y}))


def wrote(key: Key, value: Any, before: Any, **reads: Any) -> Observation:
    return Observation(
        {(Key(f"kv:{name}"), None): seen for name, seen in reads.items()},
        {},
        {key: value},
        {key: before},
        "ok",
    )


def read(key: Key, value: Any) -> Observation:
    return Observation({(key, None): value}, {}, {}, {}, value)


def declared(key: Key) -> Observation:
    return Observation({}, {}, {key: "token"}, {key: None}, "done", None, True, None)


async def written(path: Path, order: str, protocol: str, log: Sequence[Event]) -> None:
    opened = await SqliteLog.open(path, LogSettings(protocol, order, ()))
    await opened.append(log)
    await opened.close()


def entries(
    path: Path, *log: Event, order: str = "fixed", protocol: str = "mtpo", **filters: Any
) -> list[dict[str, Any]]:
    path.mkdir(exist_ok=True)
    anyio.run(written, path / "log", order, protocol, log)
    watch = Watch(f"sqlite:{path / 'log'}", tail=None)
    try:
        return list(Chronicle(watch, **filters).entries())
    finally:
        watch.close()


def told(path: Path, *log: Event, **settings: Any) -> list[str]:
    return [f"{one['agent'] or '-'} {one['text']}" for one in entries(path, *log, **settings)]


JOINED = (Joined("A", A), Joined("B", B))


def test_calls_and_what_becomes_of_them(tmp_path: Path) -> None:
    assert told(
        tmp_path,
        *JOINED,
        CallObserved(B, "copy", {"to": "y"}, wrote(Y, 1, None, x=1)),
        EffectApplied(Y, 1),
        CallObserved(A, "set", {"key": "x", "value": 2}, wrote(X, 2, 1)),
        CallReexecuted(CallId("B.1"), wrote(Y, 2, None, x=2)),
        NoticesDelivered(B, (CallId("B.1"),)),
        CallAmended(CallId("B.1"), {"to": "y", "twice": True}, wrote(Y, 4, None, x=2)),
        CallUndone(CallId("B.1")),
        CallObserved(B, "get", {"key": "z"}, Observation.failed("there is no z")),
        Finished(A),
        Committed(A),
        Aborted(B, "it gave up"),
    ) == [
        "A joined with rank 0",
        "B joined with rank 1",
        'B copy(to="y") wrote kv:y',
        'A set(key="x", value=2) wrote kv:x',
        "B B.1 copy ran again, for A, and wrote kv:y",
        "B was told that B.1 gives something else now",
        'B B.1 copy became (to="y", twice=true), and wrote kv:y',
        "B B.1 copy was undone",
        'B get(key="z") failed: there is no z',
        "A has finished",
        "A committed",
        "B aborted: it gave up",
    ]


def test_calls_that_may_have_an_effect_before_they_are_recorded(tmp_path: Path) -> None:
    assert told(
        tmp_path,
        *JOINED,
        CallStaged(A, "mail", {"to": "x"}),
        StagedAmended(CallId("A.1"), {"to": "y"}),
        CallBegun(B, "scale", {"n": 2}, WRITES),
        CallRan(CallId("B.1"), declared(Y)),
        RunBegun(CallId("A.1"), Footprint(frozenset(), frozenset(), frozenset())),
        CallRan(CallId("A.1"), Observation({}, {}, {}, {}, "sent")),
        ReversalBegun(CallId("B.1"), WRITES),
        CallReversed(CallId("B.1"), Cause("A", CallId("A.2"), "scale", A)),
        RunBegun(CallId("B.1"), WRITES),
        CallReexecuted(CallId("B.1"), declared(Y)),
        ReversalBegun(CallId("B.1"), WRITES),
        ReversalFailed(CallId("B.1"), "503 of the server"),
        CallBegun(B, "scale", {"n": 3}, WRITES),
        RunLost(CallId("B.2")),
        Attached(B, "another"),
        Attached(B, ""),
    )[2:] == [
        'A mail(to="x") is staged until commit',
        'A A.1 mail became (to="y")',
        "B scale(n=2) begins",
        "B B.1 scale has run, and wrote kv:y",
        "A A.1 mail begins to run",
        "A A.1 mail has run",
        "B B.1 scale begins to be taken back",
        "B B.1 scale was taken back, for A, and has to run again",
        "B B.1 scale begins to run",
        "B B.1 scale ran again, for A, and wrote kv:y",
        "B B.1 scale begins to be taken back",
        "B B.1 scale could not be taken back, and a person has to decide: 503 of the server",
        "B scale(n=3) begins",
        "B B.2 scale may have run or not: its process has died",
        "B was taken up by another process",
        "B waits for somebody to take it up",
    ]


def test_objects_that_others_change_or_targets_refuse(tmp_path: Path) -> None:
    found = entries(
        tmp_path,
        *JOINED,
        CallObserved(A, "set", {"key": "x"}, wrote(X, "one\ntwo\n", "one\n")),
        EffectApplied(X, 1),
        OutsideWrite(X, "one\ntwo\nthree\n"),
        OutsideWrite(X, None),
        OutsideWrite(X, "new"),
        NoticesDelivered(A, (), (X,)),
        CallObserved(A, "set", {"key": "y"}, wrote(Y, 1, None)),
        EffectRefused(Y, 5, "quota exceeded"),
    )
    assert [(one["kind"], one["agent"], one["text"]) for one in found[3:]] == [
        ("outside", None, "somebody outside changed kv:x"),
        ("outside", None, "somebody outside removed kv:x"),
        ("outside", None, "somebody outside made kv:x"),
        ("told", "A", "was told what has become of kv:x"),
        ("call", "A", 'set(key="y") wrote kv:y'),
        ("refused", None, "kv:y was refused by its target: quota exceeded"),
    ]
    assert found[3]["difference"].splitlines()[-1] == "+three"
    assert "difference" not in found[2]


def test_what_is_stuck_and_what_a_person_decides(tmp_path: Path) -> None:
    stuck = Stuck(X, 1, "immutable")
    found = entries(
        tmp_path,
        Joined("A", A),
        CallObserved(A, "set", {}, wrote(X, 2, 1)),
        stuck,
        Resolved(X, "retry"),
        stuck,
        Resolved(X, "accept", 3),
    )
    assert [one["text"] for one in found[2:]] == [
        "kv:x is stuck, and a person has to decide: immutable",
        "a person had kv:x tried again",
        "kv:x is stuck, and a person has to decide: immutable",
        "a person accepted what is there for kv:x",
    ]
    assert found[-1]["difference"] == "2 -> 3"


def test_an_agent_that_passes_others_says_whom(tmp_path: Path) -> None:
    assert (
        told(
            tmp_path,
            Joined("A", A),
            Joined("idle", B, pinned=True),
            Joined("C", C),
            CallObserved(A, "get", {}, read(X, 1)),
            CallObserved(C, "set", {}, wrote(Y, 1, None)),
            Finished(C),
            Promoted(C, 0),
            order="early",
        )[1]
        == "idle joined with rank 1, and nobody passes it"
    )
    assert told(
        tmp_path / "second",
        Joined("A", A),
        Joined("idle", B),
        Joined("C", C),
        CallObserved(C, "set", {}, wrote(Y, 1, None)),
        Finished(C),
        Promoted(C, 0),
        Committed(C),
        order="early",
    )[-2:] == ["C need not wait for A, idle: they have nothing to do with each other", "C committed"]


def test_the_baselines_have_sentences_of_their_own(tmp_path: Path) -> None:
    assert told(
        tmp_path,
        *JOINED,
        CallObserved(A, "set", {}, wrote(X, 2, 1)),
        Blocked(B, (A,)),
        Restarted(A),
        protocol="2pl",
    )[-2:] == ["B has to wait for A", "A was undone, and begins again"]


def test_that_an_abort_has_begun_is_told_with_its_reason(tmp_path: Path) -> None:
    assert told(tmp_path, *JOINED, AbortBegun(A, "by hand"), Aborted(A, "by hand"))[-2:] == [
        "A is being aborted, and what it has done is taken back: by hand",
        "A aborted: by hand",
    ]


def test_what_an_agent_said_is_told_and_what_it_is_to_reach(tmp_path: Path) -> None:
    assert told(tmp_path, *JOINED, Said(A, "Repair every image.", True), Said(A, "First geo."))[-2:] == [
        "A is to: Repair every image.",
        "A says: First geo.",
    ]


def test_every_kind_of_event_is_told_in_this_file() -> None:
    text = Path(__file__).read_text()
    assert not [kind.__name__ for kind in get_args(Event) if f"{kind.__name__}(" not in text]


@pytest.mark.parametrize(("after", "numbers"), [(0, [1, 2, 3, 4]), (3, [4]), (4, [])])
def test_only_what_comes_after_a_number_is_told(tmp_path: Path, after: int, numbers: list[int]) -> None:
    log = (*JOINED, CallObserved(B, "get", {}, read(X, 1)), Finished(B))
    assert [one["number"] for one in entries(tmp_path, *log, after=after)] == numbers


def test_a_secret_that_somebody_outside_wrote_is_masked_in_its_difference(tmp_path: Path) -> None:
    key = Key("file:.env")
    found = entries(
        tmp_path,
        Joined("A", A),
        CallObserved(A, "read_file", {"path": ".env"}, read(key, "MODE=1\nTOKEN=hunter2hunter2\n")),
        OutsideWrite(key, "MODE=2\nTOKEN=correcthorsebattery\n"),
    )
    assert "hunter2hunter2" not in str(found)
    assert "correcthorsebattery" not in str(found)


def test_what_an_agent_was_told_of_an_object_is_among_what_touched_that(tmp_path: Path) -> None:
    log = (
        *JOINED,
        CallObserved(B, "get", {"key": "x"}, read(X, 1)),
        CallObserved(A, "set", {"key": "x", "value": 2}, wrote(X, 2, 1)),
        CallReexecuted(CallId("B.1"), read(X, 2)),
        NoticesDelivered(B, (CallId("B.1"),)),
    )
    (said,) = [one for one in entries(tmp_path, *log, key="kv:x") if one["kind"] == "told"]
    assert said["keys"] == ["kv:x"]
    assert said["text"] == "was told that B.1 gives something else now: kv:x, by A.1 set"
    assert not [one for one in entries(tmp_path / "other", *log, key="kv:z") if one["kind"] == "told"]


def test_a_person_is_named(tmp_path: Path) -> None:
    assert told(
        tmp_path,
        *JOINED,
        CallObserved(A, "set", {"key": "x", "value": 2}, wrote(X, 2, 1)),
        CallUndone(CallId("A.1"), "ann"),
        OutsideWrite(X, 3, (), "ann"),
    )[3:] == ["A A.1 set was undone by ann (a person)", "- ann (a person) changed kv:x"]
