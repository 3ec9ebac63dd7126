"""One thing changed in an honest log, with all checksums made anew, is found where it could have mattered."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from typing import NamedTuple

import pytest
from forging import FORGERIES, forged
from honest import Honest, audited, live_of, logs_of

from coagent_lab.sim.options import Kind

KINDS: tuple[Kind, ...] = ("plain", "outside", "early", "inside", "racing")
SEEDS = 20


class Caught(NamedTuple):
    """Of forgeries of one kind: how many there were, were found in the log alone, and with the live state."""

    made: int
    alone: int
    live: int


@cache
def logs() -> list[Honest]:
    return [log for kind in KINDS for seed in range(1, SEEDS + 1) for log in logs_of(seed, kind)]


@cache
def caught(kind: str) -> Caught:
    """Forge each log once."""
    count: Counter[str] = Counter()
    for index, log in enumerate(logs()):
        texts = forged(log.texts, kind, random.Random(f"{kind} {index}"))
        if texts is None:
            continue
        count["made"] += 1
        audit = audited(log.settings, texts)
        expected = list(audit.expected())
        alone = not audit.report().serial
        live = live_of(log)
        count["alone"] += alone
        count["live"] += alone or not all(audit.holds(one, live.get(one.key)) for one in expected)
    return Caught(count["made"], count["alone"], count["live"])


LEAST = {
    "a value seen": 0.65,  # else: of an object that nobody else in the log has touched
    "a range seen": 0.6,  # else: an object that nobody in the log has written
    "a value written": 0.6,  # else: written over before anybody saw it
    "an argument": 0.0,  # what a tool makes of its arguments is not in the log
    "a telling left out": 1.0,
    "a run again left out": 0.75,  # else: of something that an outsider's change was merged into
    "an acknowledgement left out": 0.7,  # else: of what was put after the last commit
    "a join left out": 1.0,
    "a finish left out": 1.0,
    "a commit left out": 0.55,  # else: of the last agent, which is at work then
    "commits exchanged": 1.0,
}
"""Which share is found at the least, with the live state, and what the rest is."""


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forgery_is_found(kind: str) -> None:
    found = caught(kind)
    assert found.made >= 20
    assert found.live >= LEAST[kind] * found.made, found


def test_what_arguments_were_is_nobodys_to_derive() -> None:
    assert caught("an argument").live == 0


def test_who_has_no_commit_is_at_work() -> None:
    for index, log in enumerate(logs()[:20]):
        texts = forged(log.texts, "a commit left out", random.Random(index))
        if texts is not None:
            report = audited(log.settings, texts).report()
            assert report.at_work or not report.serial


def test_a_wrong_read_is_told_with_whose_it_was_and_what_it_should_have_been() -> None:
    found = [
        one
        for index, log in enumerate(logs())
        if (texts := forged(log.texts, "a value seen", random.Random(f"told {index}"))) is not None
        for one in audited(log.settings, texts).report().findings.kept
        if one.cls == "protocol"
    ]
    assert found
    for one in found:
        assert one.calls, one
        assert one.key, one
        assert one.text.startswith(one.calls[0]), one


@pytest.mark.parametrize("kind", FORGERIES)
def test_no_forgery_breaks_the_audit(kind: str) -> None:
    for index, log in enumerate(logs()[::3]):
        texts = forged(log.texts, kind, random.Random(index))
        if texts is not None:
            whats = {one.what for one in audited(log.settings, texts).report().findings.kept}
            assert "unreadable record" not in whats
