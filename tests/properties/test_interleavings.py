"""Every interleaving of small cases ends in the serial state, and without control some do not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any, Literal, TypeAlias

import anyio
import pytest

from coagent.agents.scripted import GiveUp, Program
from coagent.errors import ToolFailed
from coagent_lab.sim.interleavings import Interleaving, interleavings

Calls: TypeAlias = Generator[tuple[str, Mapping[str, Any]], Any, None]
ZERO = {"n": 0, "m": 0}


def increments(key: str, *amounts: int) -> Program:
    def program() -> Calls:
        for amount in amounts:
            yield "add", {"key": key, "field": "n", "amount": amount}

    return program


def copies_by_hand(source: str, to: str) -> Program:
    """Read, think, write: what is written is a literal in the arguments."""

    def program() -> Calls:
        value = yield "read", {"key": source}
        yield "put", {"key": to, "value": {"n": value["n"] + 1, "m": 0}}

    return program


def counts_up_by_hand(key: str, times: int = 1) -> Program:
    def program() -> Calls:
        for _ in range(times):
            value = yield "read", {"key": key}
            yield "put", {"key": key, "value": {"n": value["n"] + 1, "m": 0}}

    return program


def withdraws_if_covered(own: str, other: str) -> Program:
    """Write skew: each may go below zero only if both together stay above."""

    def program() -> Calls:
        mine = yield "read", {"key": own}
        theirs = yield "read", {"key": other}
        if mine["n"] + theirs["n"] >= 1:
            yield "put", {"key": own, "value": {"n": mine["n"] - 1, "m": 0}}

    return program


def repairs_all() -> Calls:
    for key in (yield "names", {"prefix": "kv:"}):
        value = yield "read", {"key": key}
        if value["n"] == 0:
            yield "put", {"key": key, "value": {"n": 9, "m": 0}}


def creates_canary() -> Calls:
    value = yield "read", {"key": "kv:geo"}
    yield "put", {"key": "kv:canary", "value": value}


def writes_the_count() -> Calls:
    found = yield "names", {"prefix": "kv:"}
    yield "put", {"key": f"kv:count-{len(found)}", "value": {"n": len(found), "m": 0}}


def removes(key: str) -> Program:
    def program() -> Calls:
        yield "remove", {"key": key}
        yield "put", {"key": "kv:log", "value": {"n": 1, "m": 1}}

    return program


def creates_or_counts(key: str) -> Program:
    def program() -> Calls:
        try:
            yield "create", {"key": key, "value": ZERO}
        except ToolFailed:
            yield "add", {"key": key, "field": "n", "amount": 5}

    return program


def moves(source: str, to: str) -> Program:
    def program() -> Calls:
        yield "move", {"key": source, "to": to}
        yield "read", {"key": to}

    return program


def gives_up_if_missing(key: str) -> Program:
    def program() -> Calls:
        yield "put", {"key": "kv:trace", "value": {"n": 3, "m": 3}}
        if (yield "read", {"key": key}) is None:
            raise GiveUp("there is nothing to do")
        yield "add", {"key": key, "field": "m", "amount": 1}

    return program


def pays_what_it_read(agent: str, key: str) -> Program:
    def program() -> Calls:
        value = yield "read", {"key": key}
        yield "mail", {"agent": agent, "text": str(value["n"]), "key": key}
        yield "pay", {"agent": agent, "text": str(value["n"]), "key": key}
        yield "put", {"key": key, "value": {"n": value["n"] + 1, "m": 0}}

    return program


FAMILIES: dict[str, tuple[Mapping[str, Any], list[Program]]] = {
    "lost update": ({"kv:x": ZERO}, [counts_up_by_hand("kv:x", 2), counts_up_by_hand("kv:x", 2)]),
    "canary": ({"kv:geo": ZERO, "kv:api": ZERO}, [repairs_all, creates_canary]),
    "canary the other way round": ({"kv:geo": ZERO}, [creates_canary, repairs_all]),
    "write skew": (
        {"kv:x": {"n": 1, "m": 0}, "kv:y": ZERO},
        [withdraws_if_covered("kv:x", "kv:y"), withdraws_if_covered("kv:y", "kv:x")],
    ),
    "phantom": ({"kv:x": ZERO}, [writes_the_count, writes_the_count]),
    "delete and create": ({"kv:x": ZERO}, [removes("kv:x"), creates_or_counts("kv:x")]),
    "create twice": ({}, [creates_or_counts("kv:x"), creates_or_counts("kv:x")]),
    "move twice": ({"kv:x": ZERO}, [moves("kv:x", "kv:y"), creates_or_counts("kv:y")]),
    "chain of changes": ({"kv:x": ZERO}, [increments("kv:x", 1, 2, 3), increments("kv:x", 4, 5, 6)]),
    "copy in a circle": (
        {"kv:x": ZERO, "kv:y": {"n": 5, "m": 5}},
        [copies_by_hand("kv:x", "kv:y"), copies_by_hand("kv:y", "kv:x")],
    ),
    "giving up": ({"kv:x": ZERO}, [moves("kv:x", "kv:y"), gives_up_if_missing("kv:x")]),
    "irreversible": ({"kv:x": ZERO}, [pays_what_it_read("A0", "kv:x"), pays_what_it_read("A1", "kv:x")]),
    "three chains": (
        {"kv:x": ZERO},
        [increments("kv:x", 1, 2), increments("kv:x", 3, 4), increments("kv:x", 5, 6)],
    ),
    "three hands": ({"kv:x": ZERO}, [counts_up_by_hand("kv:x") for _ in range(3)]),
    "three relays": (
        {"kv:x": ZERO, "kv:y": ZERO, "kv:z": ZERO},
        [copies_by_hand("kv:x", "kv:y"), copies_by_hand("kv:y", "kv:z"), copies_by_hand("kv:z", "kv:x")],
    ),
    "three phantoms": ({}, [writes_the_count, writes_the_count, writes_the_count]),
    "three who create and move": (
        {"kv:x": ZERO},
        [moves("kv:x", "kv:y"), creates_or_counts("kv:x"), creates_or_counts("kv:y")],
    ),
}


def tried(
    family: str, protocol: str = "mtpo", order: Literal["fixed", "early"] = "fixed"
) -> AsyncIterator[Interleaving]:
    initial, programs = FAMILIES[family]
    named = {f"A{number}": program for number, program in enumerate(programs)}
    return interleavings(initial, named, protocol=protocol, order=order)


def all_of(
    family: str, protocol: str = "mtpo", order: Literal["fixed", "early"] = "fixed"
) -> list[Interleaving]:
    async def collect() -> list[Interleaving]:
        return [one async for one in tried(family, protocol, order)]

    return anyio.run(collect)


THREE_DO_THE_SAME = ("three hands", "three phantoms")
LONG_APART = [
    pytest.param(family, marks=[pytest.mark.long] * (family in THREE_DO_THE_SAME)) for family in FAMILIES
]


@pytest.mark.parametrize("family", LONG_APART)
def test_every_interleaving_ends_in_the_serial_state(family: str) -> None:
    found = all_of(family)
    assert len(found) > 1
    assert len({one.schedule for one in found}) == len(found), "no schedule is run twice"
    wrong = [one for one in found if one.violation is not None]
    assert not wrong, f"{len(wrong)} of {len(found)}, such as {wrong[0].schedule}: {wrong[0].violation}"


@pytest.mark.parametrize("family", LONG_APART)
def test_with_early_commits_every_interleaving_ends_in_the_order_of_commits(family: str) -> None:
    found = all_of(family, order="early")
    assert len({one.schedule for one in found}) == len(found), "no schedule is run twice"
    wrong = [one for one in found if one.violation is not None]
    assert not wrong, f"{len(wrong)} of {len(found)}, such as {wrong[0].schedule}: {wrong[0].violation}"


@pytest.mark.parametrize("family", ["lost update", "canary", "write skew", "phantom", "three relays"])
def test_without_control_some_interleavings_do_not(family: str) -> None:
    found = all_of(family, "naive")
    assert any(one.violation is not None for one in found)
    assert any(one.violation is None for one in found), "the serial schedule is among them"


async def first_of(family: str) -> Interleaving:
    return await anext(tried(family))


def test_the_serial_schedule_needs_no_notice() -> None:
    for family in FAMILIES:
        first = anyio.run(first_of, family)
        assert first.schedule == tuple(sorted(first.schedule)), "each agent runs to its end before the next"
        assert first.notifications == 0, family
