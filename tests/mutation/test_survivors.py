"""What is said of mutants is about code that there is, and a survivor that nobody has judged is seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from survivors import JUDGED, Survivor, judged, survivor, unjudged

PROTOCOL = Path(__file__).parents[2] / "src" / "coagent" / "protocol"
TEXT = JUDGED.read_text(encoding="utf-8")
ENTRIES = sorted(judged(TEXT))

DIFFERENCE = """\
--- src/coagent/protocol/turns.py
+++ src/coagent/protocol/turns.py
@@ -1,4 +1,4 @@
 def version(self, key):
-    return 0 if trajectory is None else trajectory.version  # a comment
+    return 1 if trajectory is None else trajectory.version  # a comment
"""


def plain(text: str) -> str:
    """Return code without comments, on one line."""
    return " ".join(line.partition("  #")[0].strip() for line in text.splitlines())


def test_a_survivor_is_known_by_its_function_and_its_line() -> None:
    found = survivor("coagent.protocol.turns.xǁTurnsǁversion__mutmut_5", DIFFERENCE)
    assert found == Survivor(
        "turns.Turns.version",
        "return 0 if trajectory is None else trajectory.version",
        "return 1 if trajectory is None else trajectory.version",
    )
    assert survivor("coagent.protocol.merging.x__edits__mutmut_7", DIFFERENCE).function == "merging._edits"


def test_what_is_written_of_a_survivor_is_read_again() -> None:
    found = survivor("coagent.protocol.turns.xǁTurnsǁversion__mutmut_5", DIFFERENCE)
    assert judged(f"{found}\n") == {found}
    assert unjudged([found], {found}) == []
    assert unjudged([found, found], set()) == [found]


def test_there_are_judgements() -> None:
    assert ENTRIES
    assert len(ENTRIES) == TEXT.count("\n- `"), "an entry that cannot be read"


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_what_is_judged_is_about_code_that_there_is(entry: Survivor) -> None:
    module, _, function = entry.function.partition(".")
    source = plain((PROTOCOL / f"{module}.py").read_text(encoding="utf-8"))
    assert entry.old in source
    assert re.search(rf"\bdef {re.escape(function.rpartition('.')[2])}\b", source)
