"""Whatever stands in a log, an audit ends with a report."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from honest import Honest, audited, logs_of

from coagent_lab.sim.options import Kind

KINDS: tuple[Kind, ...] = ("plain", "outside", "declared", "early")
ODD = (None, True, -1, 10**30, 1.5, "", "A.1", "no such", [], {}, [[]], {"$bytes": "AA=="}, ["field", 3])


def garbled(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """Return a value in which something, somewhere, is something else."""
    if depth > 2 and rng.random() < 0.3:
        return rng.choice(ODD)
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        rest = list(value)
        if rng.random() < 0.1:
            del rest[at]
        else:
            rest[at] = garbled(value[at], rng, depth + 1)
        return rest
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        return {**value, key: garbled(value[key], rng, depth + 1)}
    return rng.choice(ODD)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", ["mtpo", "naive", "2pl", "occ"])
def test_garbled_records_end_in_a_report(kind: Kind, protocol: str) -> None:
    rng = random.Random(f"{kind} {protocol}")
    for seed in range(1, 16):
        for log in logs_of(seed, kind):
            texts = list(log.texts)
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(texts))
                texts[at] = json.dumps(garbled(json.loads(texts[at]), rng))
            settings = log.settings._replace(protocol=protocol)
            audit = audited(settings, texts)
            assert list(audit.expected()) is not None
            assert json.loads(json.dumps(audit.report().data()))["counts"]["records"] == len(texts)


def test_records_in_any_order_end_in_a_report() -> None:
    rng = random.Random(5)
    for seed in range(1, 31):
        for log in logs_of(seed):
            texts = list(log.texts)
            rng.shuffle(texts)
            report = audited(log.settings, texts).report()
            assert report.tally.records == len(texts)
            assert "unreadable record" not in {one.what for one in report.findings.kept}


def test_a_log_of_another_protocol_ends_in_a_report() -> None:
    for seed in range(1, 21):
        for log in logs_of(seed, protocol="naive"):
            taken = Honest(log.settings._replace(protocol="mtpo"), log.texts)
            assert audited(*taken).report().tally.records == len(log.texts)
