"""The page of `coagent ui` is committed as it was built, so that nobody needs Node to use or test it."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src/coagent/ui/page.html"
SOURCES = ROOT / "page"
SINGLE_FILES = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"]


def digest_of_sources() -> str:
    """What `page/vite.config.ts` writes into the page."""
    files = [file.relative_to(SOURCES).as_posix() for file in (SOURCES / "src").rglob("*") if file.is_file()]
    digest = hashlib.sha256()
    for name in sorted([*files, *SINGLE_FILES]):
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_the_page_was_built_from_the_sources_beside_it() -> None:
    found = re.search(r'<meta name="coagent-page-sources" content="([0-9a-f]{64})"', PAGE.read_text("utf-8"))
    assert found is not None
    assert found[1] == digest_of_sources(), "run `make page`, and commit the page with its sources"


def test_the_page_is_one_small_file_that_asks_for_nothing() -> None:
    page = PAGE.read_text("utf-8")
    assert len(page.encode()) < 160_000
    assert not re.findall(
        r'<(?:script|img|iframe)[^>]*\ssrc=|<link[^>]*\shref="(?!data:)|@import|url\((?!data:)', page
    )


def test_what_others_wrote_is_only_ever_put_into_the_page_as_text() -> None:
    markup = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(")
    for file in (SOURCES / "src").rglob("*.ts*"):
        assert not markup.search(file.read_text("utf-8")), file


def test_the_page_has_one_place_for_the_nonce_and_one_for_the_stories() -> None:
    page = PAGE.read_text("utf-8")
    assert page.count("__NONCE__") == 1
    assert page.count('<script nonce="__NONCE__" type="module">') == 1
    assert page.count('<script type="application/json" id="coagent-story"></script>') == 1


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (SOURCES / "package-lock.json").read_text("utf-8")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm")
def test_a_fresh_build_gives_the_committed_page(tmp_path: Path) -> None:
    copy = tmp_path / "page"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (
        ["npm", "ci", "--silent"],
        ["npm", "run", "--silent", "test"],
        ["npm", "run", "--silent", "build"],
    ):
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (copy / "dist/index.html").read_bytes() == PAGE.read_bytes()
