"""What makes a state another one than the serial one has its class, and is told apart from what does not."""

from __future__ import annotations

from typing import Any

import pytest
from generated import generated, record_of, seen_of

from coagent.audit.audit import Audit, Report
from coagent.audit.findings import KEPT, Finding

NOTHING: list[Any] = [[], [], []]


def report(*records: list[Any], protocol: str = "mtpo", order: str = "fixed") -> Report:
    audit = Audit(protocol, order)
    for number, one in enumerate(records, 1):
        audit.feed(number, record_of(one))
    return audit.report()


def put(rank: int, key: str, value: Any, before: Any = None, **arguments: Any) -> list[Any]:
    seen = seen_of(writes={key: value}, bases={key: before}, value="ok")
    return ["CallObserved", rank, "put", {"key": key, "value": value, **arguments}, seen]


def read(rank: int, key: str, value: Any) -> list[Any]:
    return ["CallObserved", rank, "read", {"key": key}, seen_of(reads=[[key, None, value]], value=value)]


def of(found: Report, cls: str) -> list[Finding]:
    return [one for one in found.findings.kept if one.cls == cls]


TWO = [["Joined", "A", 0], ["Joined", "B", 1]]


def test_a_stale_read_is_one_of_the_protocol() -> None:
    found = report(
        *TWO,
        read(1, "kv:x", "old"),
        ["CallObserved", 0, "put", {}, seen_of(writes={"kv:x": "new"})],
        ["EffectApplied", "kv:x", 1],
        ["Finished", 0],
        ["Finished", 1],
        ["Committed", 0],
        ["Committed", 1],
    )
    (one,) = of(found, "protocol")
    assert not found.serial
    assert (one.what, one.agents, one.calls, one.key) == ("stale read", ("B", "A"), ("B.1", "A.1"), "kv:x")
    assert one.text == "B.1 (read) saw kv:x as 'old'; at its place in the order it is 'new', by A.1"
    assert one.picture == (
        "kv:x",
        "  A.1 ──wrote──▶ 'new'",
        "                 │ ✗ not seen",
        "  ?   ──wrote──▶ 'old' ──seen by──▶ B.1 (read)",
    )


def test_a_read_of_what_a_later_agent_wrote_says_whose() -> None:
    found = report(
        *TWO,
        put(1, "kv:x", "b"),
        read(0, "kv:x", "b"),
        ["EffectApplied", "kv:x", 1],
        ["Finished", 0],
        ["Finished", 1],
        ["Committed", 0],
        ["Committed", 1],
    )
    (one,) = of(found, "protocol")
    assert (one.what, one.calls) == ("read of a later agent's write", ("A.1", "B.1"))


def told(*repair: list[Any]) -> Report:
    return report(
        *TWO,
        read(1, "kv:image", "bad:v1"),
        put(1, "kv:canary", "bad:v1"),
        ["EffectApplied", "kv:canary", 1],
        ["CallObserved", 0, "put", {}, seen_of(writes={"kv:image": "good:v2"})],
        ["EffectApplied", "kv:image", 2],
        ["CallReexecuted", "B.1", seen_of(reads=[["kv:image", None, "good:v2"]], value="good:v2")],
        ["NoticesDelivered", 1, ["B.1"]],
        *repair,
        ["Finished", 0],
        ["Finished", 1],
        ["Committed", 0],
        ["Committed", 1],
    )


def test_to_keep_an_old_value_after_being_told_is_for_a_person_to_judge() -> None:
    found = told()
    assert found.serial
    texts = [one.text for one in of(found, "judgement")]
    assert texts == [
        "agent 'B' was told (record 9) that kv:image has changed, which B.1 (read) had seen, and wrote "
        "nothing after that",
        "agent 'B' was told (record 9) that kv:image is 'good:v2' where B.1 had seen 'bad:v1'; its B.2 (put) "
        "still says 'bad:v1'",
    ]


def test_an_agent_that_has_repaired_has_nothing_to_be_judged() -> None:
    seen = seen_of(writes={"kv:canary": "good:v2"}, value="ok")
    found = told(["CallAmended", "B.2", {"value": "good:v2"}, seen], ["EffectApplied", "kv:canary", 3])
    assert found.serial
    assert not found.findings.kept


def test_who_was_not_told_may_not_commit() -> None:
    found = report(
        *TWO,
        read(1, "kv:x", None),
        put(0, "kv:x", 1),
        ["EffectApplied", "kv:x", 1],
        ["CallReexecuted", "B.1", seen_of(reads=[["kv:x", None, 1]], value=1)],
        ["Finished", 0],
        ["Committed", 0],
        ["Finished", 1],
        ["Committed", 1],
    )
    assert [one.what for one in of(found, "damaged log")] == ["event out of place"] * 2
    assert "finishes with something to read (B.1)" in found.findings.kept[0].text


def test_what_cannot_be_taken_back_may_not_run_over_an_unread_notice() -> None:
    found = report(
        *TWO,
        read(1, "kv:x", None),
        ["CallStaged", 1, "mail", {}],
        put(0, "kv:x", 1),
        ["EffectApplied", "kv:x", 1],
        ["CallReexecuted", "B.1", seen_of(reads=[["kv:x", None, 1]], value=1)],
        ["Finished", 0],
        ["Committed", 0],
        ["RunBegun", "B.2", NOTHING],
    )
    assert "ran over an unread notice (B.1)" in found.findings.kept[0].text
    assert not found.serial


def test_what_could_not_be_taken_back_is_a_failed_inverse_until_a_person_decides() -> None:
    begun = [
        ["Joined", "A", 0],
        put(0, "kv:x", 1, before=0),
        ["EffectApplied", "kv:x", 1],
        ["Aborted", 0, "enough"],
        ["Stuck", "kv:x", 2, "the server says no"],
    ]
    (one,) = of(report(*begun), "failed inverse")
    assert one.key == "kv:x"
    assert "the server says no" in one.text
    assert report(*begun, ["Resolved", "kv:x", "accept", 1]).serial


def test_a_run_whose_process_died_is_an_unknown_effect_until_somebody_knows() -> None:
    begun = [
        ["Joined", "A", 0],
        ["CallBegun", 0, "pay", {}, NOTHING, True, "p1", "i1"],
        ["RunLost", "A.1"],
    ]
    (one,) = of(report(*begun), "unknown effect")
    assert one.calls == ("A.1",)
    assert report(*begun, ["CallRan", "A.1", seen_of(value="paid")]).serial


def test_what_an_outsider_wrote_is_followed() -> None:
    found = report(
        *TWO,
        read(1, "kv:x", "old"),
        ["OutsideWrite", "kv:x", "theirs"],
        ["CallReexecuted", "B.1", seen_of(reads=[["kv:x", None, "theirs"]], value="theirs")],
        ["NoticesDelivered", 1, ["B.1"]],
        ["Finished", 0],
        ["Committed", 0],
        ["Finished", 1],
        ["Committed", 1],
    )
    assert found.serial
    assert found.tally.outside == 1


ILLEGAL: dict[str, list[list[Any]]] = {
    "joins, and there is one": [["Joined", "A", 5]],
    "which nobody at work has": [["Finished", 7]],
    "which is no standing call": [["CallUndone", "A.9"]],
    "which is finished": [["Finished", 0], ["Finished", 0]],
    "'A', which is below it": [["Finished", 1], ["Committed", 1]],
    "the order is fixed": [["Finished", 1], ["Promoted", 1, -1]],
    "which does not run": [["RunLost", "A.1"]],
    "has yet to run or to end": [["CallStaged", 0, "mail", {}], ["Finished", 0], ["Committed", 0]],
    "before kv:x has its value": [put(0, "kv:x", 1), ["Finished", 0], ["Committed", 0]],
    "is irreversible and has run": [
        ["CallObserved", 0, "mail", {}, seen_of(), True],
        ["CallUndone", "A.1"],
    ],
    "cannot be taken back, and ran while 'A' was below it": [
        ["CallObserved", 1, "mail", {}, seen_of(), True]
    ],
    "is under way": [["CallBegun", 0, "declared", {}, NOTHING], ["Aborted", 0, "enough"]],
}


@pytest.mark.parametrize("why", ILLEGAL)
def test_what_may_not_happen_is_told(why: str) -> None:
    found = report(*TWO, *ILLEGAL[why])
    assert any(why in one.text for one in of(found, "damaged log")), found.findings.kept
    assert not found.serial


def test_a_promotion_past_whoever_has_touched_the_same_is_told() -> None:
    touched = report(
        *TWO, put(0, "kv:x", 1), read(1, "kv:x", 1), ["Finished", 1], ["Promoted", 1, -1], order="early"
    )
    assert "touches what 'A' below has touched" in touched.findings.kept[0].text
    apart = report(
        *TWO, put(0, "kv:x", 1), read(1, "kv:y", 1), ["Finished", 1], ["Promoted", 1, -1], order="early"
    )
    assert apart.serial


def test_all_findings_are_counted_and_the_first_are_kept() -> None:
    found = report(*([["Finished", 9]] * (KEPT + 20)))
    assert len(found.findings.kept) == KEPT
    assert found.findings.counts == {"damaged log": KEPT + 20}
    assert found.findings.failing == KEPT + 20


def test_a_protocol_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no protocol 'ours'"):
        Audit("ours")


def test_what_is_kept_in_memory_does_not_grow_with_the_log() -> None:
    audit = Audit("mtpo")
    sizes = []
    for number, text in enumerate(generated(40_000, keys=50), 1):
        audit.feed(number, text)
        if number % 10_000 == 0:
            replay = audit._replay
            things = replay.things
            sizes.append((len(replay.agents), len(replay.calls), len(things.all), len(things._changed)))
    assert audit.report().serial
    for agents, calls, objects, changed in sizes:
        assert agents <= 4
        assert calls <= 40
        assert objects <= 5 * 50
        assert changed <= 40
