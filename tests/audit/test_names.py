"""What goes wrong without control has the names of the literature (Adya 1999)."""

from __future__ import annotations

import pytest
from histories import report

CASES = {
    "one after another": ("A:r(x) A:w(x,1) A:c B:r(x) B:w(x,2) B:c", None),
    "apart": ("A:r(x) B:r(y) A:w(x,1) B:w(y,2) A:c B:c", None),
    "a read of what an earlier one leaves": ("A:w(x,1) B:r(x) B:w(y,1) A:c B:c", None),
    "a dirty write": ("A:w(x,1) B:w(x,2) B:w(y,2) A:w(y,1) A:c B:c", ("dirty write", "G0")),
    "an aborted read": ("A:w(x,1) B:r(x) B:w(y,1) A:a B:c", ("aborted read", "G1a")),
    "an intermediate read": ("A:w(x,1) B:r(x) A:w(x,2) A:c B:c", ("intermediate read", "G1b")),
    "circular information flow": (
        "A:w(x,1) B:w(y,1) A:r(y) B:r(x) A:c B:c",
        ("circular information flow", "G1c"),
    ),
    "a lost update": ("A:r(x) B:r(x) A:w(x,1) B:w(x,2) A:c B:c", ("lost update", "G-single")),
    "read skew": ("A:r(x) B:w(x,1) B:w(y,1) A:r(y) A:c B:c", ("read skew", "G-single")),
    "write skew": ("A:r(x) B:r(y) A:w(y,1) B:w(x,1) A:c B:c", ("write skew", "G2-item")),
    "a phantom": ("A:s() B:s() A:w(x,1) B:w(y,1) A:c B:c", ("phantom", "G2")),
    "a phantom that vanishes": (
        "C:w(x,1) C:w(y,1) C:c A:s() B:s() A:d(x) B:d(y) A:c B:c",
        ("phantom", "G2"),
    ),
    "a circle of three": (
        "A:r(x) B:r(y) C:r(z) A:w(z,1) B:w(x,1) C:w(y,1) A:c B:c C:c",
        ("write skew", "G2-item"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_anomaly_has_its_name(name: str) -> None:
    history, expected = CASES[name]
    found = report(history)
    names = [(one.what, one.code) for one in found.findings.kept]
    assert names == ([] if expected is None else [expected])
    assert found.serial is (expected is None)


def test_a_circle_is_drawn_with_who_read_and_who_wrote() -> None:
    (found,) = report("A:r(x) B:r(y) A:w(y,1) B:w(x,1) A:c B:c").findings.kept
    assert found.picture == (
        "┌─▶ A",
        "│   │ rw  A.1 saw kv:x as nothing, B.2 wrote '1'",
        "│   ▼",
        "│   B",
        "│   │ rw  B.1 saw kv:y as nothing, A.2 wrote '1'",
        "└───┘",
    )
    assert found.calls == ("A.1", "B.2", "B.1", "A.2")


def test_who_is_not_part_of_a_circle_is_not_blamed() -> None:
    found = report("C:r(x) C:w(z,1) A:r(x) B:r(y) A:w(y,1) B:w(x,1) A:c B:c C:c")
    assert [one.agents for one in found.findings.kept] == [("A", "B")]


def test_each_circle_is_told_once() -> None:
    found = report("A:r(x) B:r(x) A:w(x,1) B:w(x,2) A:c B:c C:r(y) D:r(y) C:w(y,1) D:w(y,2) C:c D:c")
    assert [one.agents for one in found.findings.kept] == [("B", "A"), ("D", "C")]
