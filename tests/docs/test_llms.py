"""llms.txt lists all documents as the site does, in the form of llmstxt.org."""

from __future__ import annotations

import re

import pytest
from llms import FILE, summary, written
from site_pages import ROOT, pages

TEXT = written(ROOT)


def test_it_is_up_to_date() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == TEXT, "python tests/docs/llms.py writes it again"


def test_it_has_a_title_a_summary_and_sections_of_links_with_what_each_is_about() -> None:
    title, quoted, _, *sections = TEXT.strip().split("\n\n")
    assert re.fullmatch(r"# .+", title)
    assert re.fullmatch(r"> .+", quoted)
    headings, lists = sections[::2], sections[1::2]
    assert all(re.fullmatch(r"## .+", heading) for heading in headings)
    assert headings[-1] == "## Optional"
    lines = [line for listed in lists for line in listed.splitlines()]
    assert [line for line in lines if not re.fullmatch(r"- \[[^\]]+\]\([^)]+\): [^\[\]]+", line)] == []
    linked = re.findall(r"\]\(([^)]+)\)", "\n".join(lines))
    assert sorted(linked) == sorted(str(page) for page in pages(ROOT))


def test_a_summary_is_the_first_sentence_and_a_page_without_one_is_refused() -> None:
    assert summary("# Title\n\nSee [this](b.md),\nit is `x.y`. More.\n\nMuch.\n") == "See this, it is `x.y`."
    assert summary("# Title\nWhat there is:\n\n- a list.\n") == "What there is."
    for begin in ("- a list.", "| a | table. |", "## Heading.", "```\ncode.\n```", "no end"):
        with pytest.raises(ValueError, match="begins with a sentence"):
            summary(f"# Title\n\n{begin}\n")
