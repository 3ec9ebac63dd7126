"""What all pages of the documentation share: their links lead somewhere, and their Python runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from coagent.cli.main import app
from coagent.config.domain_file import DomainFile

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SYSTEMS = sorted(page.stem for page in (ROOT / "docs" / "systems").glob("*.md"))
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
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'packages' / 'kube-emulator' / 'src'}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("system", [system for system in SYSTEMS if system != "git"])
def test_the_domain_files_on_a_systems_page_are_right(system: str) -> None:
    text = (ROOT / "docs" / "systems" / f"{system}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.M | re.S)
    assert blocks
    for block in blocks:
        DomainFile.model_validate(tomllib.loads(block))


def shown_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each `coagent …` line in the blocks of a page, without comments."""
    for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith(("coagent ", "$ coagent ")):
                yield line.removeprefix("$ ").split(" #")[0].split(" | ")[0].split()[1:]


def unknown_words(words: list[str]) -> list[str]:
    """Return the commands and options in a line that there are not."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "get_command"):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        if found is None:
            return [name]
        command = found
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    options = [word.strip("[]").split("=")[0] for word in words if word.strip("[").startswith("-")]
    return [option for option in options if option not in known | {"--help", "-h"}]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_commands_and_options_that_are_shown_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert [(words, wrong) for words in shown_commands(text) if (wrong := unknown_words(words))] == []


def test_a_command_or_an_option_that_is_not_there_is_found() -> None:
    text = "```\ncoagent undoo A  # x\ncoagent undo A --gone\ncoagent log --follow | tail -3\n```\n"
    assert [unknown_words(words) for words in shown_commands(text)] == [["undoo"], ["--gone"], []]
