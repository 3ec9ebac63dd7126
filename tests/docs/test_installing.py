"""Nothing of CoAgent is on a package index, so the documents install it from a checkout alone."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "packages").glob("*/README.md")]
_COMMAND = re.compile(
    r"\b(?:(?:uv )?pip3? install|pipx (?:install|run)|uvx|uv tool (?:install|run))\b[^`#\n|&;]*"
)
_OURS = re.compile(r"(?:coagent|kube-emulator|kube_emulator)\b", re.I)
_TAKES_A_VALUE = {"--from", "--with", "-c", "-r"}


def wrong(command: str) -> Iterator[str]:
    """Yield what a command would take from an index though only a checkout has it, or which is not there."""
    words = shlex.split(command)
    given = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--from"]
    if not given:
        begin = next(at for at, word in enumerate(words) if word in ("install", "run", "uvx")) + 1
        given = [
            word
            for before, word in zip(words[begin - 1 :], words[begin:], strict=False)
            if not word.startswith("-") and before not in _TAKES_A_VALUE
        ]
    for word in given:
        path, _, extras = word.rstrip("]").partition("[")
        project = ROOT / path / "pyproject.toml"
        if _OURS.match(word):
            yield f"{word} is on no index"
        elif path.startswith((".", "packages/")) and not project.exists():
            yield f"there is no package in {path}"
        elif extras:
            known = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
            yield from (f"there is no extra {extra}" for extra in extras.split(",") if extra not in known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_installed_comes_from_a_checkout(page: Path) -> None:
    if page.name != "CHANGELOG.md":
        found = _COMMAND.findall(page.read_text(encoding="utf-8"))
        assert [(command, each) for command in found for each in wrong(command)] == []


def test_the_readme_shows_each_way_to_install() -> None:
    found = " ".join(_COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert all(way in found for way in ("pip install .", "pipx install", "uvx --from ."))


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("pip install coagent-mtpo", 1),
        ("pip install --upgrade 'coagent-mtpo[mcp]'", 1),
        ("pipx run coagent demo", 1),
        ("uvx coagent demo repo", 1),
        ("uvx --from coagent-mtpo coagent demo", 1),
        ("uv tool install kube-emulator", 1),
        ("pip install '.[mcp,gone]'", 1),
        ("pip install packages/gone", 1),
        ("pip install . packages/kube-emulator rotel", 0),
        ("uvx --from . coagent demo repo", 0),
        ("pipx install '.[mcp,ui]'", 0),
    ],
)
def test_what_no_index_has_is_found(command: str, number: int) -> None:
    assert len(list(wrong(command))) == number
