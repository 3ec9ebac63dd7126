"""The site of the documents builds, shows what the repository shows, and asks nobody else for anything."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from site_pages import CONFIG, ROOT, build, lost, outside, pages

_TOLD_APART = ("li", "table", "tr", "pre", "h2", "h3", "img", "strong")
_REPOSITORY = MarkdownIt("gfm-like", {"linkify": False})


def _copied(folder: Path) -> Path:
    """Return a copy of what the site is made of."""
    for path in (*ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "llms.txt", ROOT / CONFIG):
        shutil.copy(path, folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = _copied(tmp_path_factory.mktemp("repository"))
    assert build(root) == []
    return root / "build" / "site"


def _counted(html: str) -> dict[str, int]:
    return {tag: len(re.findall(rf"<{tag}[ >]", html)) for tag in _TOLD_APART}


@pytest.mark.parametrize("page", [str(page) for page in pages(ROOT)])
def test_a_page_has_the_lists_and_tables_that_the_repository_shows(site: Path, page: str) -> None:
    built = site / ("index.html" if page == "README.md" else page.replace(".md", ".html"))
    (article,) = re.findall(r"<article.*?</article>", built.read_text(encoding="utf-8"), re.S)
    assert _counted(article) == _counted(_REPOSITORY.render((ROOT / page).read_text(encoding="utf-8")))


def test_a_page_that_nothing_lists_a_lost_link_and_a_lost_page_are_found(tmp_path: Path) -> None:
    root = _copied(tmp_path)
    (root / "docs" / "more.md").write_text("# More\n[a](gone.md) [b](guide.md#gone)\n", encoding="utf-8")
    (root / "docs" / "doctor.md").unlink()
    wrong = "\n".join(build(root))
    assert f"{CONFIG} does not list docs/more.md" in wrong
    assert f"{CONFIG} lists docs/doctor.md, which is not there" in wrong
    assert "gone.md" in wrong
    assert "#gone" in wrong


def test_what_leads_nowhere_or_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="gone.html">a</a> <a href="#gone">b</a> <a id="here" href="#here">c</a> <a href="https://a.example">d</a>'
        '<img src="gone.png"><script src="https://b.example/x.js"></script><pre class="mermaid">x</pre>'
    )
    (tmp_path / "page.css").write_text("@font-face { src: url('https://c.example/font.woff') }")
    assert len(list(lost(tmp_path))) == 3
    assert len(list(outside(tmp_path))) == 3
