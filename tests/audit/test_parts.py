"""The auditor's own reading of selectors, scans and predicates agrees with the kernel's."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from log_subjects import SAMPLES

from coagent.audit.parts import UNKNOWN, Scan, glob_matches, part_of, same
from coagent.audit.records import KINDS, NotUnderstood, parsed
from coagent.log.codec import FORMAT, encode
from coagent.protocol import keys, values
from coagent.protocol.predicates import Where, predicate
from coagent.protocol.values import Field, Lines, Matches, Traced

WORDS = ("a", "b", "ab", "", "é", "a b", "\t", "1", "x.y", "A")


def any_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return rng.choice((None, True, False, 0, 1, 1.0, -2, 0.5))
    if kind < 5:
        lines = [rng.choice(WORDS) for _ in range(rng.randrange(5))]
        return rng.choice(("\n", "\r\n")).join(lines) + rng.choice(("", "\n"))
    if kind == 5:
        return [any_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice("abn"): any_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def any_predicate(rng: random.Random, depth: int = 0) -> list[Any]:
    column = rng.choice("abn")
    literal = rng.choice((None, 1, 2.5, "a", "x", True, "3", "1.0"))
    simple: list[list[Any]] = [
        ["true"],
        ["maybe"],
        ["null", column],
        [
            "compare",
            rng.choice(("number", "text", "boolean", "decimal")),
            column,
            rng.choice(("=", "<>", "<", ">=")),
            literal,
        ],
        ["in", rng.choice(("number", "text", "decimal")), column, [literal, 1, "a"]],
        ["like", column, rng.choice(("a%", "_", "%.%", "A")), rng.random() < 0.5],
    ]
    if depth < 2 and rng.random() < 0.5:
        head = rng.choice(("and", "or", "not"))
        return [head, *(any_predicate(rng, depth + 1) for _ in range(1 if head == "not" else 2))]
    return rng.choice(simple)


def selectors(rng: random.Random) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return selectors of the kernel's with what stands in records for them."""
    first, last = rng.randint(1, 4), rng.choice((None, 1, 2, 5))
    pattern = rng.choice(("a", "^a$", r"\w+", r"\d", "[ab] b", r"\s", "(a|b)", ".", "", r"x\.y", "a{,2}b"))
    path = rng.choice(("", "/a", "/a/0", "/n/b", "/x~1y"))
    text = predicate(any_predicate(rng))
    columns = rng.choice((None, '["a"]', '["a","n"]'))
    ignore = rng.random() < 0.5
    return [
        (Field(path), ("field", path)),
        (Lines(first, last), ("lines", first, last)),
        (Matches(pattern, ignore), ("matches", pattern, ignore)),
        (Traced("name"), ("traced", "name")),
        (Traced("content"), ("traced", "content")),
        (Where(text, columns), ("where", text, columns)),
    ]


def test_parts_of_values_are_the_same() -> None:
    rng = random.Random(3)
    told = 0
    for _ in range(4000):
        value = any_value(rng)
        for kernels, ours in selectors(rng):
            found = part_of(value, ours)
            told += found is not UNKNOWN
            if found is not UNKNOWN:
                assert values.same(found, kernels.of(value)), (value, ours)
    assert told > 23_000


def test_equality_is_the_same() -> None:
    rng = random.Random(4)
    some = [any_value(rng) for _ in range(150)] + [float("nan"), b"a", True, 1, 1.0, {"a": 1}, {"a": True}]
    for one in some:
        for other in some:
            assert same(one, other) is values.same(one, other)


GLOBS = (
    "*",
    "**",
    "**/*.py",
    "a/*",
    "a?c",
    "[ab]*",
    "[!a]*",
    "a/**/b",
    "*.txt",
    "x*y*z*",
    "[",
    "a[",
    "é*",
    "[]a]",
)


@pytest.mark.parametrize("glob", GLOBS)
def test_globs_match_the_same(glob: str) -> None:
    paths = (
        "",
        "a",
        "abc",
        "a/b",
        "a/x/b",
        "a/x/y/b",
        "src/app.py",
        "app.py",
        "b.txt",
        "é1",
        "xyz",
        "x/y/z",
        "]",
        "a[",
    )
    for path in paths:
        assert glob_matches(glob, path) is keys.glob_matches(glob, path), path
        scan, ours = keys.Scan("file:a", glob), Scan("file:a", glob, None)
        assert scan.covers(f"file:{path}") is ours.covers(f"file:{path}")


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_every_kind_of_record_is_understood(event: Any) -> None:
    record = parsed(7, encode(event, 123))
    assert record.kind == type(event).__name__
    assert record.at_ms == 123
    assert len(record.fields) == len(event)


def test_no_kind_of_record_is_left_out() -> None:
    assert {type(event).__name__ for event in SAMPLES} == KINDS
    assert FORMAT == 4, "a new format of records: see to docs/log-format.md and to audit/records.py"


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "[1]", '[1,"Joined"]', '[1,"Unheard of",2]', '["CallRan","A.1",[]]',
     '[1,"Finished",1,2]', '[0,"CallObserved",0,"t",{},[[],[],[],{},null,null,false,null]]', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_record_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstood):
        parsed(1, text)


def test_values_come_back_as_they_were() -> None:
    value = {"$bytes": "no bytes", "raw": [1, {"$escaped": [1]}], "b": "\u2028"}
    text = json.dumps([0, "OutsideWrite", "kv:x", {"$escaped": [["$bytes", "no bytes"], ["b", "\u2028"]]}])
    assert parsed(1, text).fields[1] == {"$bytes": "no bytes", "b": "\u2028"}
    from coagent.protocol.events import OutsideWrite

    assert parsed(1, encode(OutsideWrite(keys.Key("kv:x"), value))).fields[1] == value
