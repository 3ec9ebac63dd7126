"""An audit may begin at a checkpoint: what it says is what it says of the whole log."""

from __future__ import annotations

import random

import pytest
from honest import Honest, logs_of

from coagent.audit.audit import Audit, Expected
from coagent.audit.records import NotUnderstood
from coagent.log.codec import decode, encode_state
from coagent.protocol.checkpoint import state_of
from coagent.protocol.mtpo import Mtpo
from coagent_lab.sim.options import Kind

KINDS: tuple[Kind, ...] = ("plain", "outside", "early", "racing", "declared", "swarm")


def checkpoint(log: Honest, number: int) -> str:
    """Return the text of a checkpoint after a record."""
    kernel = Mtpo(early=log.settings.order == "early")
    for text in log.texts[:number]:
        kernel.step(decode(text))
    return encode_state(state_of(kernel))


def audit_from(log: Honest, number: int) -> Audit:
    """Return an audit that began after a record and has taken all others."""
    audit = Audit(log.settings.protocol, log.settings.order)
    if number:
        audit.begin_at(number, checkpoint(log, number))
    for at, text in enumerate(log.texts[number:], number + 1):
        audit.feed(at, text)
    return audit


def live(audit: Audit) -> dict[str, Expected]:
    return {one.key: one for one in audit.expected()}


@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_log_is_right_from_any_checkpoint_on(kind: Kind) -> None:
    for seed in range(1, 21):
        for log in logs_of(seed, kind):
            number = random.Random(seed).randrange(1, len(log.texts))
            audit, whole = audit_from(log, number), audit_from(log, 0)
            report = audit.report()
            assert report.serial, (seed, number, report.findings.kept)
            assert report.began_after == number
            assert set(report.at_work) == set(whole.report().at_work)
            ours, theirs = live(audit), live(whole)
            for key in ours.keys() & theirs.keys():  # of a merge, or a declared tool, either may say nothing
                assert ours[key].values == theirs[key].values, (seed, number, key)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "[1,2,3]", "[0,0,0,0,[1],[],[],[],[],[],{},[]]"])
def test_what_is_no_checkpoint_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstood):
        Audit("mtpo").begin_at(1, text)
