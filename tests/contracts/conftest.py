"""Every contract is run against every kind of target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from subjects import KINDS, Subject, subject_of


@pytest.fixture(params=KINDS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    yield from subject_of(request.param, tmp_path, request)
