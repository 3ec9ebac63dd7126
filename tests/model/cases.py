"""What is explored: tiny programs, and what may befall them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from befalling import Case
from ideal_agents import FAILED, Calls, Program

from coagent.protocol.keys import Key

X, Y, Z = Key("kv:x"), Key("kv:y"), Key("kv:z")
ALL = Key("kv:")

# ---- programs ----------------------------------------------------------------------------------------------


def put(key: Key, value: int) -> Calls:
    """A blind write."""
    yield "put", {"key": key, "value": value}


def look(key: Key) -> Calls:
    """A reading."""
    yield "read", {"key": key}


def add(key: Key, amount: int) -> Calls:
    """A read-modify-write that says what it made."""
    yield "add", {"key": key, "amount": amount}


def add_two(key: Key, other: Key) -> Calls:
    """Two of them."""
    yield "add", {"key": key, "amount": 1}
    yield "add", {"key": other, "amount": 10}


def copy(source: Key, to: Key) -> Calls:
    """Read, and write what was read as a literal: a notice makes it stale."""
    seen = yield "read", {"key": source}
    yield "put", {"key": to, "value": seen}


def choose(key: Key, one: Key, other: Key) -> Calls:
    """Go one way or the other by what is read: a repair has to undo."""
    seen = yield "read", {"key": key}
    if seen == 1:
        yield "put", {"key": one, "value": 5}
    else:
        yield "delete", {"key": other}


def look_twice(key: Key) -> Calls:
    """Read, write blindly, and read what was written."""
    seen = yield "read", {"key": key}
    yield "put", {"key": key, "value": 40 + (seen or 0)}
    yield "read", {"key": key}


def tend() -> Calls:
    """List, and put right whatever there is: a phantom is missed unless the list is a premise."""
    for key in (yield "keys", {"prefix": ALL}):
        if (yield "read", {"key": key}) == 1:
            yield "put", {"key": key, "value": 2}


def canary(source: Key, to: Key) -> Calls:
    """Create a new object from what another one is."""
    seen = yield "read", {"key": source}
    made = yield "create", {"key": to, "value": seen}
    if made == FAILED:
        yield "read", {"key": to}


def delete(key: Key) -> Calls:
    """Delete."""
    yield "delete", {"key": key}


def create(key: Key, value: int) -> Calls:
    """Create, or add where there is one already."""
    if (yield "create", {"key": key, "value": value}) == FAILED:
        yield "add", {"key": key, "amount": value}


def count(to: Key) -> Calls:
    """Write how many objects there are."""
    yield "count", {"prefix": ALL, "to": to}


def send(key: Key, log: Key | None = None) -> Calls:
    """Send what an object holds, and perhaps write down that it was sent."""
    yield "send", {"text": "it is", "key": key, "log": log}


def read_and_send(key: Key, about: Key) -> Calls:
    """Read, and send something that depends on it."""
    seen = yield "read", {"key": key}
    yield "send", {"text": f"saw {seen}, now", "key": about, "log": None}


def send_then_put(key: Key) -> Calls:
    """Send, and write what was sent of."""
    yield "send", {"text": "so far", "key": key, "log": None}
    yield "put", {"key": key, "value": 9}


def with_(program: Callable[..., Calls], *arguments: object) -> Program:
    """Return a program with its arguments."""
    return partial(program, *arguments)


# ---- cases -------------------------------------------------------------------------------------------------

CASES: Final = (
    Case(
        "pair",
        "a read-modify-write below a reading that is copied",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(copy, X, Y)},
        aborts=1,
        crashes=1,
        puts="two steps",
    ),
    Case(
        "cascade",
        "three agents, each of which builds on what the one before changes",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(copy, X, Y), "C": with_(add, Y, 10)},
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "blind",
        "blind writes of one object, late ones below earlier ones, and who reads between them",
        {X: 1},
        {"A": with_(put, X, 7), "B": with_(look_twice, X), "C": with_(put, X, 8)},
        aborts=1,
        mortal=("C",),
    ),
    Case(
        "phantom",
        "the canary: a list, and an object that is created or deleted under it",
        {X: 1},
        {"A": tend, "B": with_(canary, X, Y)},
        aborts=1,
        crashes=1,
    ),
    Case(
        "phantom reversed",
        "the same the other way round, with a third one who deletes",
        {X: 1},
        {"A": with_(canary, X, Y), "B": tend, "C": with_(delete, X)},
    ),
    Case(
        "choice",
        "a repair that undoes and calls otherwise",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(choose, X, Y, X), "C": with_(look, Y)},
    ),
    Case(
        "failures",
        "calls that fail, lapse, and would succeed again",
        {X: 1},
        {"A": with_(delete, X), "B": with_(create, X, 3), "C": with_(look, X)},
    ),
    Case(
        "count",
        "what is written depends on a scan",
        {X: 1},
        {"A": with_(create, Y, 3), "B": with_(count, Z), "C": with_(copy, Z, X)},
    ),
    Case(
        "waiting",
        "irreversible calls that wait for their turn",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(read_and_send, X, Y), "C": with_(send_then_put, X)},
        aborts=1,
        mortal=("B",),
    ),
    Case(
        "aborted while it sends",
        "an irreversible call runs still when its agent is aborted, and what it writes stands",
        {X: 1, Y: 2},
        {"A": with_(send, X, Y), "B": with_(read_and_send, Y, X)},
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "staged",
        "irreversible calls that are staged, and one that writes down that it has run",
        {X: 1, Y: 2},
        {"A": with_(send, X, Y), "B": with_(read_and_send, Y, X), "C": with_(add, X, 5)},
        staging=("A", "B"),
        aborts=1,
        mortal=("B",),
    ),
    Case(
        "early",
        "finished agents pass those that they have nothing to do with",
        {X: 1, Y: 2, Z: 3},
        {"A": with_(add_two, X, Y), "B": with_(copy, Y, X), "C": with_(add, Z, 1)},
        early=True,
        aborts=1,
        mortal=("B",),
    ),
    Case(
        "early with a list",
        "what was listed keeps an agent from passing",
        {X: 1},
        {"A": with_(create, Y, 3), "B": with_(count, Z), "C": with_(put, X, 4)},
        early=True,
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "early, pinned",
        "nobody passes an agent that has asked for its rank",
        {X: 1, Y: 2, Z: 3},
        {"A": with_(add, X, 1), "B": with_(put, Y, 1), "C": with_(copy, Z, X)},
        early=True,
        pinned=("B",),
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "early, irreversible",
        "staged and waiting calls of agents that pass others",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(send, Y), "C": with_(read_and_send, X, Y)},
        early=True,
        staging=("C",),
        aborts=1,
        mortal=("B",),
    ),
    Case(
        "inside",
        "an agent joins inside another one's place, at any moment",
        {X: 1, Y: 2},
        {"parent": with_(copy, X, Y), "other": with_(add, X, 1), "child": with_(put, X, 5)},
        inside={"child": "parent"},
        aborts=1,
        mortal=("child",),
    ),
    Case(
        "inside, early",
        "the same where agents pass each other",
        {X: 1, Y: 2},
        {"parent": with_(add, X, 1), "other": with_(put, Y, 9), "child": with_(copy, Y, X)},
        early=True,
        inside={"child": "parent"},
        aborts=1,
        mortal=("child",),
    ),
    Case(
        "outsider",
        "somebody outside writes an object at any moment, and it is seen at any later one",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(copy, X, Y)},
        outside={X: 90},
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "outsider, blind",
        "the same over blind writes",
        {X: 1},
        {"A": with_(put, X, 7), "B": with_(look_twice, X)},
        outside={X: 90},
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "outsider, list",
        "an outsider creates what has been listed as absent",
        {X: 1},
        {"A": with_(create, Y, 3), "B": with_(count, Z)},
        outside={Y: 90},
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "outsider, early",
        "an outsider, and agents that pass each other",
        {X: 1, Y: 2},
        {"A": with_(add, Y, 1), "B": with_(add, X, 1), "C": with_(look, X)},
        outside={X: 90},
        early=True,
    ),
    Case(
        "refused",
        "a target refuses a value: the call has failed, or the object is stuck until a person decides",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(add_two, X, Y)},
        refusals=1,
        aborts=1,
        mortal=("A",),
    ),
    Case(
        "late",
        "puts arrive late, and are in the log later still; the process is killed in between",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(add, X, 2)},
        puts="late",
        crashes=1,
        aborts=1,
    ),
    Case(
        "death",
        "a process dies, and another one ends its agents",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(copy, X, Y)},
        owners={"A": "one", "B": "the other"},
    ),
    Case(
        "sender dies",
        "a process dies around irreversible calls: nobody knows whether they have happened",
        {X: 1, Y: 2},
        {"A": with_(send, X, Y), "B": with_(read_and_send, Y, X)},
        owners={"A": "one", "B": "the other"},
    ),
    Case(
        "sender dies, kept",
        "the same, and its client goes on with the other process; one message is staged",
        {X: 1, Y: 2},
        {"A": with_(send_then_put, X), "B": with_(read_and_send, X, Y)},
        staging=("B",),
        owners={"A": "one", "B": "one"},
        on_death="keep",
    ),
    Case(
        "death, early",
        "the same where agents pass each other",
        {X: 1, Y: 2},
        {"A": with_(send, X, Y), "B": with_(put, X, 7), "C": with_(send, Y)},
        early=True,
        staging=("C",),
        owners={"A": "one", "B": "the other", "C": "one"},
    ),
    Case(
        "aborting",
        "an abort begins, and ends at any later moment; whoever was at it may die in between",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(copy, X, Y)},
        aborts=1,
        doomed="one",
        owners={"A": "one", "B": "the other"},
    ),
    Case(
        "aborting, kept",
        "the same of who has sent something, or means to, and whose clients would go on",
        {X: 1, Y: 2},
        {"A": with_(send_then_put, X), "B": with_(read_and_send, X, Y)},
        staging=("B",),
        aborts=1,
        doomed="one",
        owners={"A": "one", "B": "one"},
        on_death="keep",
    ),
    Case(
        "slow",
        "what a call has seen is old by the time it is recorded",
        {X: 1, Y: 2},
        {"A": with_(add, X, 1), "B": with_(copy, X, Y)},
        slow=("A", "B"),
        aborts=1,
    ),
)
"""Every case; they differ in what may happen, so that each stays small enough to leave nothing out."""
