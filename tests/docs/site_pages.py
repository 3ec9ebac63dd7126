"""Builds the site of the documents, and finds what is wrong with it.

`make site` runs it. Documents are written to be read in the repository, so the site has its shape.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
CONFIG = "zensical.toml"
_SHOWN = (".css", ".png", ".svg")
"""What there is beside documents."""
_LOADED = {"img": "src", "link": "href", "script": "src"}
"""What a browser asks for by itself, and the attribute that says where it is."""
_ELSEWHERE = re.compile(r"""(?:url\(|@import)\s*['"]?\s*(https?:[^'")\s]+)""")

_COLOURS = re.compile(r"\x1b\[[\d;]*m")


def pages(root: Path) -> list[Path]:
    """Return all documents of a repository, relative to it."""
    found = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    return sorted(path.relative_to(root) for path in found)


def configuration(root: Path) -> dict[str, Any]:
    """Return what the site of a repository is built by."""
    with (root / CONFIG).open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def navigation(root: Path) -> dict[str, dict[str, str]]:
    """Return the sections of the site, each with its pages by title, in order."""
    sections = configuration(root)["nav"]
    return {
        title: {name: path for page in listed for name, path in page.items()}
        for section in sections
        for title, listed in section.items()
    }


def build(root: Path) -> list[str]:
    """Build the site of a repository from nothing, into `build/site`, and return what is wrong with it."""
    listed = [path for section in navigation(root).values() for path in section.values()]
    there = {path.as_posix() for path in pages(root)}
    wrong = [f"{CONFIG} does not list {path}" for path in sorted(there - set(listed))]
    wrong += [f"{CONFIG} lists {path}, which is not there" for path in listed if path not in there]
    wrong += [f"{CONFIG} lists {path} twice" for path in sorted(set(listed)) if listed.count(path) > 1]
    source = root / "build" / "pages"
    for old in (source, root / "build" / "site"):
        shutil.rmtree(old, ignore_errors=True)
    shown = [path.relative_to(root) for path in (root / "docs").rglob("*") if path.suffix in _SHOWN]
    for path in (*pages(root), *shown, Path("LICENSE")):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, source / path)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", CONFIG],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = _COLOURS.sub("", done.stdout + done.stderr)
        return [*wrong, said.partition("Traceback")[0].strip()]
    site = root / "build" / "site"
    for path in (*pages(root), Path("llms.txt")):  # where llms.txt leads
        shutil.copy(root / path, site / path)
    return [*wrong, *lost(site), *outside(site)]


class _Page(HTMLParser):
    """What a page of the site leads to, what a browser loads for it, and its names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, str] = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (place := _LOADED.get(tag)) and place in given and given.get("rel") != "canonical":
            self.loaded.append(given[place])


def _read(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def lost(site: Path) -> Iterator[str]:
    """Yield links and files of a built site that are not there."""
    read = _read(site)
    for path, page in read.items():
        if path.name == "404.html":  # its links begin at the server's root
            continue
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            leads = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            leads = leads / "index.html" if leads.is_dir() else leads
            name = unquote(parts.fragment)
            if not leads.is_file() or (name and leads in read and name not in read[leads].names):
                yield f"{path.relative_to(site)}: {link} leads nowhere"


def outside(site: Path) -> Iterator[str]:
    """Yield what a reader's browser would ask other servers for."""
    for path, page in _read(site).items():
        asked = [link for link in page.loaded if urlsplit(link).netloc]
        if any("mermaid" in link for link in re.findall(r'class="([^"]*)"', path.read_text())):
            asked.append("mermaid, which draws diagrams")
        yield from (f"{path.relative_to(site)}: asks another server for {each}" for each in asked)
    for path in site.rglob("*.css"):
        for link in _ELSEWHERE.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: asks another server for {link}"


def main(arguments: list[Any]) -> int:
    """Build the site of this repository; return 1 where something is wrong with it."""
    wrong = build(ROOT)
    print("\n".join(wrong) or "build/site/index.html: the site is built")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
