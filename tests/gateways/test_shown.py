"""What searches of a session answer where its place in the order sees other files than are on disk."""

from __future__ import annotations

from coagent.gateways.claude.shown import grep_answer
from coagent.protocol.keys import Key


def test_counts_are_of_the_files_as_the_session_sees_them() -> None:
    found = {
        "mode": "count",
        "numFiles": 3,
        "filenames": [],
        "content": "later.txt:1\nsame.txt:2\nmore.txt:4",
        "numMatches": 7,
    }
    differing = {Key("file:later.txt"): None, Key("file:more.txt"): "needle\n"}
    given = {"pattern": "needle", "output_mode": "count"}
    answer = grep_answer(found, differing, given, "/w", "/w", "/w")
    assert answer is not None
    assert answer["content"].splitlines() == ["same.txt:2", "more.txt:1"]
    assert (answer["numFiles"], answer["numMatches"]) == (2, 3)
