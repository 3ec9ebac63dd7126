"""What commands print shows as what it is, also in tables and live displays."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from coagent.cli import output
from coagent.cli.safe_console import SafeConsole

TOKEN = "ghp_" + "q9W8" * 9


def printed(*things: Any, **options: Any) -> str:
    file = io.StringIO()
    SafeConsole(output.shown, file=file, width=100).print(*things, **options)
    return file.getvalue()


def test_texts_and_tables_are_masked() -> None:
    table = Table("agent", "last")
    table.add_row("A", f"fetch(token='{TOKEN}')")
    table.add_row(Text("B", "bold"), Text(f"x {TOKEN}"))
    for text in (printed(f"x {TOKEN}"), printed(f"[bold]x[/] {TOKEN}"), printed(table), printed(Text(TOKEN))):
        assert "ghp_" not in text
        assert "[masked]" in text


def test_styles_stay_where_nothing_is_masked() -> None:
    file = io.StringIO()
    console = SafeConsole(output.shown, file=file, force_terminal=True, color_system="standard")
    console.print("[red]no[/] secret")
    console.print(f"[red]{TOKEN}[/] x")
    assert file.getvalue().splitlines() == ["\x1b[31mno\x1b[0m secret", "\x1b[31m[masked] x\x1b[0m"]


def test_nothing_steers_the_terminal() -> None:
    assert printed("a\x1b[2Jb\u202ec", markup=False) == "a\\x1b[2Jb\\u202ec\n"


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"text": "é\u202e\x1b \U000e0041", "password": "x", "bytes": b"abc", "count": 1}
    output.print_json(data)
    text = capsys.readouterr().out
    assert all(one.isprintable() or one == "\n" for one in text)
    assert json.loads(text) == {"text": data["text"], "password": "[masked]", "bytes": "3 bytes", "count": 1}


def test_errors_and_lines_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_error(f"https://bob:{TOKEN}@x cannot be reached", "password: 'abc' is wrong")
    output.print_lines([f"token={TOKEN}"])
    captured = capsys.readouterr()
    assert captured.out == "token=[masked]\n"
    assert (
        captured.err
        == "error: https://bob:[masked]@x cannot be reached\n       password: [masked] is wrong\n"
    )
