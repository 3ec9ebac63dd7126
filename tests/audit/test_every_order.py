"""On small histories the audit says what trying every serial order says."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

from generated import record_of, seen_of
from histories import report

from coagent.audit.audit import Audit

_STEP = re.compile(r"(\w):([rwd])\((\w)(?:,(\w+))?\)")
AGENTS = "ABC"


def history(rng: random.Random) -> str:
    """Return a history of three agents that read what they write over, and then all commit."""
    programs = []
    for name in AGENTS:
        steps, known = [], set()
        for _ in range(rng.randint(1, 4)):
            key = rng.choice("xy")
            if key in known and rng.random() < 0.6:
                steps.append(f"{name}:w({key},{rng.randrange(10**6)})")
            else:
                steps.append(f"{name}:r({key})")
                known.add(key)
        programs.append(steps)
    order = [name for name, steps in zip(AGENTS, programs, strict=True) for _ in steps]
    rng.shuffle(order)
    rest = {name: iter(steps) for name, steps in zip(AGENTS, programs, strict=True)}
    return " ".join([*(next(rest[name]) for name in order), *(f"{name}:c" for name in AGENTS)])


def is_serial(history: str) -> bool:
    """Tell whether some order of the agents one after another sees and leaves the same."""
    steps = [match.groups() for match in _STEP.finditer(history)]
    seen, final = _run(steps)
    for order in permutations(AGENTS):
        serially = [step for name in order for step in steps if step[0] == name]
        again, left = _run(serially)
        if left == final and again == seen:
            return True
    return False


def _run(steps: list[Any]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    live: dict[str, Any] = {}
    seen: dict[str, list[Any]] = {name: [] for name in AGENTS}
    for name, act, key, value in steps:
        if act == "r":
            seen[name].append(live.get(key))
        else:
            live[key] = value
    return seen, live


def test_a_history_is_right_just_when_some_serial_order_ends_like_it() -> None:
    rng = random.Random(1)
    right = 0
    for _ in range(3000):
        made = history(rng)
        expected = is_serial(made)
        assert report(made).serial is expected, made
        right += expected
    assert 500 < right < 2500


# ---- a given order -----------------------------------------------------------------------------------------


def ordered(rng: random.Random) -> tuple[list[str], list[Any]]:
    """Return the records of a log of agents in an order, one of them perhaps wrong, and what they did."""
    live: dict[str, Any] = {key: rng.choice((None, "old")) for key in "xyz"}
    calls: dict[str, list[Any]] = {}
    for name in AGENTS:
        calls[name] = []
        for _ in range(rng.randint(1, 4)):
            key = rng.choice("xyz")
            written = rng.choice((None, "deleted", str(rng.randrange(100))))
            calls[name].append([key, live[key], written])
            if written is not None:
                live[key] = None if written == "deleted" else written
    if rng.random() < 0.6:
        wrong = rng.choice(calls[rng.choice(AGENTS)])
        wrong[1] = rng.choice(("old", None, "forged"))
    order = [name for name in AGENTS for _ in calls[name]]
    rng.shuffle(order)
    records: list[list[Any]] = [["Joined", name, rank] for rank, name in enumerate(AGENTS)]
    for name in order:  # they come in any order and fail, and are made again from the lowest on
        records.append(["CallObserved", AGENTS.index(name), "call", {}, seen_of(error="not yet")])
    for name in AGENTS:
        for number, (key, value, written) in enumerate(calls[name], 1):
            writes = {} if written is None else {f"kv:{key}": None if written == "deleted" else written}
            seen = seen_of(reads=[[f"kv:{key}", None, value]], writes=writes)
            records.append(["CallAmended", f"{name}.{number}", {}, seen])
    records += [["Finished", rank] for rank in range(3)]
    records += [["EffectApplied", f"kv:{key}", version] for key, version in _versions(records)]
    records += [["Committed", rank] for rank in range(3)]
    done = [(name, key, value, written) for name in AGENTS for key, value, written in calls[name]]
    return [record_of(one) for one in records], done


def _versions(records: list[list[Any]]) -> Iterator[tuple[str, int]]:
    """Yield the versions that acknowledge what the last agents in the order have written."""
    audit = Audit("mtpo")
    for number, one in enumerate(records, 1):
        audit.feed(number, record_of(one))
    for thing in audit._replay.things.lagging.values():
        yield thing.key.removeprefix("kv:"), thing.version


def is_right(done: list[Any]) -> bool:
    """Tell whether there is a state to begin with from which the agents in order see all that."""
    for start in product(("old", None, "forged", *"0"), repeat=3):
        live: dict[str, Any] = dict(zip("xyz", start, strict=True))
        for _, key, value, written in done:
            if live[key] != value:
                break
            if written is not None:
                live[key] = None if written == "deleted" else written
        else:
            return True
    return False


def test_a_log_with_an_order_is_right_just_when_its_agents_could_have_run_in_that_order() -> None:
    rng = random.Random(2)
    right = 0
    for _ in range(1500):
        records, done = ordered(rng)
        expected = is_right(done)
        audit = Audit("mtpo")
        for number, record in enumerate(records, 1):
            audit.feed(number, record)
        found = audit.report()
        assert found.serial is expected, (done, [json.loads(one) for one in records], found.findings.kept)
        right += expected
    assert 250 < right < 1400
