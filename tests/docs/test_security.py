"""What docs/security.md says is defended names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_each_defence_names_its_code_and_its_test() -> None:
    rows = [row for row in TEXT.splitlines() if row.startswith("| ") and not row.startswith("| defended")]
    assert len(rows) > 10
    for row in rows:
        _, _, code, tests, _ = row.split("|")
        for place in re.findall(r"`([^`]+)`", code):
            assert (ROOT / "src" / "coagent" / place).exists(), place
        named = re.findall(r"`([^`]+)`", tests)
        assert named, row
        for place in named:
            assert "def test_" in (ROOT / place).read_text(encoding="utf-8"), place


def test_the_readme_leads_to_it() -> None:
    assert "(docs/security.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
