"""Timelines as text."""

from __future__ import annotations

from coagent.cli.timeline import ASCII, Chart
from coagent.demos.report import DemoRun, Lane, Mark, Told


def _run(*lanes: Lane) -> DemoRun:
    return DemoRun("mtpo", ["A", "B"], 20.0, 0, 0, 0, None, "", True, list(lanes))


def _drawn(run: DemoRun, width: int) -> list[str]:
    return [row.plain.rstrip() for row in Chart(20.0, width, ["A", "B"]).rows(run)]


def test_a_notice_is_an_arrow_from_its_cause_to_whom_it_tells() -> None:
    first = Lane("A", [Mark(10, "write", "sets x"), Mark(10, "commit")], [(0, 10)], [], 0, 10)
    second = Lane(
        "B",
        [Mark(2.5, "read", "reads x"), Mark(15, "write"), Mark(20, "repair", "amends y"), Mark(20, "commit")],
        [(0, 2.5), (5, 15), (15, 20)],
        [Told("A", 10, 15, "told")],
        0,
        20,
    )
    assert _drawn(_run(first, second), 48) == [
        "    0         5 s       10 s      15 s      20 s",
        "                        sets x",
        " A  ────────────────────●✓",
        "                        ╰─────────▼ told",
        " B  ─────○┄┄┄┄────────────────────●─────────◆✓",
        "         reads x                        amends y",
    ]


def test_marks_that_would_share_a_place_move_on() -> None:
    lane = Lane("A", [Mark(1, "read"), Mark(1.01, "write"), Mark(1.02, "write")], [(0, 1)], [], 0, 1.02)
    assert _drawn(_run(lane), 24)[2] == " A  ─○●●"


def test_labels_that_do_not_fit_are_left_out_reads_first() -> None:
    lane = Lane("A", [Mark(1, "read", "reads it"), Mark(2, "write", "writes it")], [], [], 0, 2)
    assert _drawn(_run(lane), 24)[1] == "      writes it"


def test_every_sign_has_a_plain_form() -> None:
    lane = Lane("A", [Mark(1, "read"), Mark(3, "restart"), Mark(5, "commit")], [(0, 1)], [], 0, 5)
    told = Lane("B", [Mark(9, "repair")], [], [Told("A", 1, 9, "x")], 0, 9)
    assert "".join(_drawn(_run(lane, told), 60)).translate(ASCII).isascii()
