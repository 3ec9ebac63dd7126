"""What all tests share: a helper module beside some tests can be imported by its name from any of them."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parent

sys.path[:0] = sorted({str(path.parent) for path in TESTS.rglob("*.py") if path.parent != TESTS})
