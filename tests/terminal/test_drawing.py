"""Lines fit, and nothing of others is taken for markup, steers the terminal or shows a secret."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from coagent.masking.mask import Mask
from coagent.runtime.watch import StuckObject, UnknownCall
from coagent.terminal import drawing
from coagent.terminal.board import Board, Now
from coagent.terminal.drawing import Look
from coagent.wording.quoting import printable

EVIL = "[red]x[/red] \x1b[31m\u202e\x07 \u4f60\u597d \U0001f600 t0ps3cretvalue\nsecond"
MASK = Mask()
MASK.learn_environment({"API_TOKEN": "t0ps3cretvalue"})


def shown(text: str) -> str:
    return printable(MASK.text(text))


def step(**more: Any) -> dict[str, Any]:
    common = {"n": 7, "at": 1_000, "rank": 0, "call": "0:1", "id": f"{EVIL}.1", "tool": EVIL, "text": EVIL}
    call = {"kind": "call", "state": "failed", "error": EVIL, "result": EVIL, "irreversible": False}
    footprint = {
        "args": {EVIL: EVIL},
        "reads": [{"key": f"file:{EVIL}", "part": EVIL}],
        "scans": [{"prefix": f"file:{EVIL}", "part": None}],
        "writes": [{"key": f"file:{EVIL}", "v": 1}],
        "values": {1: {"kind": "text", "text": EVIL, "size": 9, "cut": False}},
    }
    return {**common, **call, **footprint, **more}


def told() -> dict[str, Any]:
    cause = {"rank": 0, "call": "0:1", "name": EVIL, "n": 7}
    stale = [{"call": "0:1", "argument": EVIL, "old": EVIL, "new": EVIL}]
    notice = {"key": EVIL, "part": EVIL, "kind": "changed", "cause": cause, "calls": ["0:1"], "stale": stale}
    notice |= {"dependents": ["0:1"], "diff": f"-{EVIL}\n+{EVIL}"}
    return {"n": 8, "at": None, "kind": "told", "rank": 0, "text": EVIL, "notices": [notice]}


def evil_board() -> Board:
    board = Board()
    board.take({"n": 1, "at": None, "kind": "join", "rank": 0, "name": EVIL, "order": 0, "text": EVIL})
    board.take(step())
    board.take(told())
    stuck = StuckObject("file:" + EVIL, 3, EVIL, [])  # type: ignore[arg-type]
    lost = UnknownCall(EVIL, EVIL, EVIL, {}, "", wanted=True, noted=False)  # type: ignore[arg-type]
    board.settle(Now([], [stuck], [lost]))
    return board


def lines(board: Board, look: Look, width: int) -> list[Text]:
    found = [drawing.header(board, {"name": EVIL, "protocol": "mtpo"}, (1, 2), False, look, width)]
    found += drawing.alerts(board, EVIL, look, width, 3)
    found += [drawing.agents_head(look, width)]
    found += [drawing.agent_line(board, one, look, width) for one in board.agents()]
    found += [drawing.notice_line(one, look, width) for one in board.notices]
    return found + [drawing.step_line(one, look, width) for one in board.rows]


def all_texts(look: Look) -> list[Text]:
    board = evil_board()
    found = [*lines(board, look, 80), *lines(board, look, 160), *drawing.help_lines(look)]
    return [*found, *drawing.detail(step(), board, look), *drawing.detail(told(), board, look)]


@pytest.mark.parametrize("width", [20, 40, 80, 81, 120, 160, 300])
def test_lines_fit_whatever_is_in_them(width: int) -> None:
    board = evil_board()
    for ascii_only in (False, True):
        for line in lines(board, Look(shown, ascii_only), width):
            assert line.cell_len <= width, line.plain


def test_nothing_of_others_steers_the_terminal_or_is_taken_for_markup() -> None:
    console = Console(color_system=None, width=500)
    whole = ""
    for text in all_texts(Look(shown)):
        assert all(character.isprintable() for character in text.plain), repr(text.plain)
        drawn = "".join(segment.text for segment in text.render(console, ""))
        assert drawn == text.plain
        whole += drawn + "\n"
    assert "[red]x[/red] \\x1b[31m\\u202e" in whole


def test_secrets_are_masked() -> None:
    assert all("t0ps3cretvalue" not in text.plain for text in all_texts(Look(shown)))


def test_a_terminal_without_unicode_gets_ascii_alone() -> None:
    for text in all_texts(Look(shown, ascii=True)):
        assert text.plain.isascii(), text.plain


def test_what_has_to_be_decided_comes_with_the_command_that_decides() -> None:
    board = Board()
    stuck = [StuckObject(f"file:a b{number}", 3, "no", []) for number in range(5)]  # type: ignore[arg-type]
    board.settle(Now([], stuck, []))
    texts = [one.plain for one in drawing.alerts(board, "", Look(shown), 80, 3)]
    assert texts[0] == "! file:a b0 is stuck: no → coagent resolve 'file:a b0'"
    assert len(texts) == 3
    assert texts[2] == "! and 3 more → coagent resolve"


def test_the_command_that_decides_is_whole_where_the_error_is_long() -> None:
    board = Board()
    board.settle(Now([], [StuckObject("file:a", 3, "no " * 99, [])], []))  # type: ignore[arg-type]
    line = drawing.alerts(board, "", Look(shown), 80, 3)[0].plain
    assert line.endswith("… → coagent resolve file:a")
    assert len(line) <= 80
