"""What all pages of the documentation share: their links lead somewhere, and their Python runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from coagent.config.domain_file import DomainFile

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in (*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")))
    if path.name != "CONTRIBUTING.md"
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SYSTEMS = ["files", "git", "shell", "sql"]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^ *```.*?^ *```", re.M | re.S)


def headings(page: Path) -> set[str]:
    """Return the names by which the headings of a page are linked to."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+?)\s*$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def lost_links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead nowhere in this folder."""
    for link in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        path, _, heading = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        leads = (page.parent / path).resolve() if path else page
        if not leads.exists() or (heading and heading not in headings(leads)):
            yield link


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_pages_and_headings_that_are_there(name: str) -> None:
    assert list(lost_links(ROOT / name)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One two\n[a](#one-two) [b](#three) [c](gone.md) [d](page.md#one-two) [e](https://a.example/b)\n"
    )
    assert list(lost_links(page)) == ["#three", "gone.md"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_python_on_a_systems_page_runs(system: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "systems" / f"{system}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("system", ["files", "shell", "sql"])
def test_the_domain_files_on_a_systems_page_are_right(system: str) -> None:
    text = (ROOT / "docs" / "systems" / f"{system}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.M | re.S)
    assert blocks
    for block in blocks:
        DomainFile.model_validate(tomllib.loads(block))
