"""What of git a subagent hands on to its session: what it holds, and not what git notes of each command."""

from __future__ import annotations

from typing import Any

import pytest

from coagent.gateways.claude.family import _held

STAGED = {"a.txt": "100644 1234"}


@pytest.mark.parametrize("noted", ["logs/HEAD", "ORIG_HEAD", "COMMIT_EDITMSG", "FETCH_HEAD"])
def test_one_that_has_only_committed_holds_what_it_began_with(noted: str) -> None:
    for given in ({}, {"staged": STAGED}):
        assert _held({**given, "files": {noted: {"text": "…"}}}) == _held(given)


@pytest.mark.parametrize("more", [{"staged": STAGED}, {"files": {"refs/stash": {"text": "1234"}}}])
def test_what_is_staged_or_stashed_is_something_else(more: dict[str, Any]) -> None:
    assert _held(more) != _held({})
