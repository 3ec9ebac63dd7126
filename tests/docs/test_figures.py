"""Figures that several pages give are those of docs/benchmark.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARK = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of all tables of a text by their first cell; the first of a name counts."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            name, *cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
            found.setdefault(name, cells)
    return found


RESULTS = rows(BENCHMARK.split("## Results")[1])
SPEED, TOKENS = 3, 4


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("naive", "naive"), ("two-phase locking", "2pl"), ("optimistic control", "occ"), ("CoAgent", "mtpo")],
)
def test_the_readme_gives_the_figures_of_the_benchmark(name: str, protocol: str) -> None:
    in_order, serial, _, speed, tokens, *_ = RESULTS[protocol]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert rows(readme.split("## What it is worth")[1])[name] == [serial, in_order, speed, tokens]


@pytest.mark.parametrize(
    ("page", "words", "protocol", "column"),
    [
        ("comparison", r"two-phase locking was ([\d.]+) times as fast", "2pl", SPEED),
        ("comparison", r"at ([\d.]+) times the tokens\s\(CoAgent", "2pl", TOKENS),
        ("comparison", r"\(CoAgent: ([\d.]+) and", "mtpo", SPEED),
        ("comparison", r"\(CoAgent: [\d.]+ and ([\d.]+)\)", "mtpo", TOKENS),
        ("comparison", r"inference away: ([\d.]+) times the speed", "occ", SPEED),
        ("comparison", r"one after another, at\s([\d.]+) times the tokens\.", "occ", TOKENS),
        ("faq", r"workloads: ([\d.]+) times the tokens", "mtpo", TOKENS),
    ],
)
def test_other_pages_give_them_too(page: str, words: str, protocol: str, column: int) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert re.findall(words, text) == [RESULTS[protocol][column].removesuffix("x")]


def test_where_coagent_loses_most_is_told_as_measured() -> None:
    text = " ".join((ROOT / "docs" / "comparison.md").read_text(encoding="utf-8").split())
    (told,) = re.findall(
        r"naive runs were (\d+) times as fast as one after another, CoAgent (\d+) times", text
    )
    (measured,) = re.findall(r"^\| high \| 64 \| ([\d.]+)x \|.*?\| ([\d.]+)x \| [\d.]+x \|$", BENCHMARK, re.M)
    assert [float(each) for each in told] == [round(float(each)) for each in measured]
