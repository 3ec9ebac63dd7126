"""docs/notice.md shows notices as models get them, and explains every line."""

from __future__ import annotations

import re

import pytest
from notice_scenes import NOTICE, SCENES, drawn, notices, shown

from coagent.wording.notices import _ENDS

TEXT = NOTICE.read_text(encoding="utf-8")


def test_the_notices_are_those_that_come_out_today() -> None:
    assert drawn(TEXT) == TEXT, "python tests/docs/notice_scenes.py writes them again"


@pytest.mark.parametrize(
    ("title", "kind"), [("a changed premise", "result_changed"), ("a merged edit", "merged")]
)
def test_each_scene_gives_one_notice_of_its_kind(title: str, kind: str) -> None:
    (notice,) = notices(title)
    assert [news.kind for news in notice.calls] == [kind]


@pytest.mark.parametrize("title", SCENES)
def test_every_line_is_explained(title: str) -> None:
    lines = len(shown(title).splitlines()) - 2
    table = TEXT.split(f"<!-- end of {title} -->")[1].split("\n\n")[1]
    explained: set[int] = set()
    for which in re.findall(r"^\| ([\d, to]+) \|", table, re.M):
        for begin, end in re.findall(r"(\d+)(?: to (\d+))?", which):
            explained.update(range(int(begin), int(end or begin) + 1))
    assert explained == set(range(1, lines + 1))


def test_every_way_for_a_call_to_end_is_told() -> None:
    table = TEXT.split("## What line 5 may say")[1].split("\n## ")[0]
    told = [row.split(" |")[0].removeprefix("| ").removesuffix(" …") for row in table.splitlines()[4:] if row]
    assert sorted(told) == sorted(
        next(part for part in told if words.startswith(part)) for words in _ENDS.values()
    )
