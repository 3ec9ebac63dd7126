"""Tests of grown tools: the verifier tries a few hostile values, unless a test is about them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coagent.toolsmith import verify
from coagent.toolsmith.hostile import HOSTILE

_FEW = ("'; touch pwned; '", "$(touch pwned)", "-i.bak", "../pwned")
"""A quote that ends, a substitution, an option, a path elsewhere; five of six runs try the others."""


@pytest.fixture(scope="package", autouse=True)
def few_hostile_values() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "HOSTILE", _FEW)
        yield


@pytest.fixture
def all_hostile_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "HOSTILE", HOSTILE)
