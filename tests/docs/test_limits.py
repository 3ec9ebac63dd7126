"""Each test that docs/limits.md names is there, and the page leads to every system's own limits."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")


def test_each_test_that_it_names_is_there() -> None:
    rows = re.findall(r"^\| .+ \| `([^`]+)` \| `(test_\w+)` \|$", TEXT, re.M)
    assert len(rows) >= 8
    for path, name in rows:
        assert re.search(rf"def {name}\b", (ROOT / path).read_text(encoding="utf-8")), name


def test_it_leads_to_the_limits_of_every_page_that_has_some() -> None:
    pages = [path for folder in ("docs", "docs/systems") for path in (ROOT / folder).glob("*.md")]
    has_some = [path for path in pages if re.search(r"^## Limits$", path.read_text(encoding="utf-8"), re.M)]
    linked = set(re.findall(r"\(([\w/-]+\.md)#limits\)", TEXT))
    benchmark = {"benchmark.md"}  # what the measurements do not show, and no limits of the product
    assert {str(path.relative_to(ROOT / "docs")) for path in has_some} - benchmark == linked
