"""What the README and the guide show is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import coagent

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
SYSTEMS = sorted((ROOT / "docs" / "systems").glob("*.md"))
BLOCKS = [
    block
    for text in (README, GUIDE, *(page.read_text(encoding="utf-8") for page in SYSTEMS))
    for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
]


def test_there_is_code_to_run() -> None:
    assert BLOCKS


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_blocks_run(number: int, tmp_path: Path) -> None:
    if not hasattr(coagent, "open_domain"):
        pytest.skip("there is no coagent.open_domain yet")
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_demo_ends_as_the_readme_shows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coagent", "demo", "repo"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (shown,) = (block for block in re.findall(r"^```\n(.*?)^```", README, re.M | re.S) if "makespan" in block)
    assert set(shown.splitlines()) <= {line.rstrip() for line in done.stdout.splitlines()}


def test_extras_and_packages_that_are_named_exist() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    named = set(re.findall(r"'\.\[(\w+)\]'", README)) | set(
        re.findall(r"`([\w-]+)`", README.split("or those you need:")[1].split(", and")[0])
    )
    assert {"all", "mcp", "ui"} <= named <= set(extras)
    folders = re.findall(r"(?<=[ `])packages/[\w-]+", README)
    assert folders
    assert [folder for folder in folders if not (ROOT / folder / "pyproject.toml").exists()] == []


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    assert (
        set(
            re.findall(
                r"\bmake ([a-z]+)\b", " ".join(re.findall(r"`[^`\n]+`|^```.*?^```", README, re.M | re.S))
            )
        )
        <= targets
    )


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", SYSTEMS, ids=lambda page: str(page.stem))
def test_links_of_pages_about_systems_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
