"""Edits of files that cannot be made again as they were: merged where nothing clashes, and told (rule 11)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import coagent
from coagent.protocol.keys import Key
from coagent.systems.files.merging import merge_file
from coagent.systems.files.tools import FILE_TOOLS

pytestmark = pytest.mark.anyio


async def both_edit(
    folder: Path, text: str, earlier: tuple[str, str], later: tuple[str, str], name: str = "a.txt"
) -> tuple[str, list[coagent.Notification], str]:
    """The later agent edits a file, then the earlier one; return what is live, what was told, and the end."""
    path = folder / name
    path.write_text(text)
    async with coagent.open_domain(
        "memory:", targets=[coagent.targets.Files(folder)], tools=FILE_TOOLS
    ) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await b.call("edit_file", path=name, old_string=later[0], new_string=later[1])
        await a.call("edit_file", path=name, old_string=earlier[0], new_string=earlier[1])
        await a.finish()
        told = (await b.finish(wait=True)).notifications
        live = path.read_text()
        await b.finish(wait=True)
    return live, told, path.read_text()


async def test_an_edit_of_other_words_of_one_line_stands_and_its_agent_is_told(tmp_path: Path) -> None:
    live, told, end = await both_edit(
        tmp_path, "colour = red, size = 1\n", ("size = 1", "size = 2"), ("red, size = 1", "blue, size = 1")
    )
    assert live == end == "colour = blue, size = 2\n"
    (notice,) = told
    assert [news.kind for news in notice.calls] == ["merged"]
    assert "was merged with what is there now" in notice.text
    assert "+colour = blue, size = 2" in notice.text


async def test_an_edit_that_clashes_is_withdrawn(tmp_path: Path) -> None:
    live, told, end = await both_edit(tmp_path, "red\n", ("red", "green"), ("red", "blue"))
    assert live == end == "green\n"
    assert [news.kind for notice in told for news in notice.calls] == ["withdrawn"]


async def test_an_edit_whose_text_occurs_twice_by_then_goes_where_it_was_made(tmp_path: Path) -> None:
    live, told, _ = await both_edit(
        tmp_path,
        "def a():\n    pass\n\nx = 1\n",
        ("x = 1", "def b():\n    pass"),
        ("    pass", "    return 1"),
        "a.py",
    )
    assert live == "def a():\n    return 1\n\ndef b():\n    pass\n"
    assert [news.kind for notice in told for news in notice.calls] == ["merged"]


async def test_a_merge_that_would_break_a_program_is_none(tmp_path: Path) -> None:
    text = "def f(a):\n    return a\n"
    live, told, _ = await both_edit(
        tmp_path, text, ("def f(a)", "def f(a, b=1)"), ("def f(a)", "def f(a, b=2)"), "a.py"
    )
    assert live == "def f(a, b=1):\n    return a\n"
    assert [news.kind for notice in told for news in notice.calls] == ["withdrawn"]


KEY = Key("file:a.json")


def test_json_whose_lines_clash_is_merged_by_its_fields() -> None:
    saw, found, now = ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"b": 2, "a": 1, "c": [1]})
    texts = [json.dumps(value, indent=2) + "\n" for value in (saw, found, now)]
    assert merge_file(KEY, *texts) == json.dumps({"b": 2, "a": 2, "c": [1]}, indent=2) + "\n"


def test_json_that_was_written_otherwise_keeps_its_form_or_clashes() -> None:
    assert merge_file(KEY, '{"a":1, "b":1}', '{"a":2, "b":1}', '{"a":1, "b":2}') == '{"a":2, "b":2}'
    assert merge_file(KEY, '{"a":1}', '{"a":1,"b":1}', '{"a":1,"b":2}') is None, (
        "b twice is no JSON of either"
    )


@pytest.mark.parametrize("name", ["a.py", "a.toml", "a.json"])
def test_a_file_that_was_not_well_formed_before_is_merged_as_any_text(name: str) -> None:
    assert merge_file(Key(f"file:{name}"), "(( a b", "(( c b", "(( a d") == "(( c d"


def test_bytes_and_very_large_texts_are_not_merged() -> None:
    assert merge_file(KEY, b"a", b"b", b"c") is None
    large = "x\n" * 200_000
    assert merge_file(KEY, large, f"a{large}", f"{large}b") is None
