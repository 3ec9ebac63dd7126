"""What the how-to pages of the frameworks show is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "frameworks").glob("*.md"))
BLOCKS = [
    (page.stem, block)
    for page in PAGES
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
]


def test_every_page_has_code_and_its_extra() -> None:
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {page.stem for page in PAGES} == {name for name, _ in BLOCKS}
    for page in PAGES:
        (extra,) = re.findall(r"pip install 'coagent-mtpo\[([\w-]+)\]'", page.read_text(encoding="utf-8"))
        assert f"\n{extra} = [" in extras


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_the_code_runs(page: str, block: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
