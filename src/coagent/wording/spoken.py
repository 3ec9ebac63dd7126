"""What an agent says, in one line: the first that says something, bounded, for people to look at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from coagent.wording.quoting import printable

LENGTH_MAX = 280
_READ_MAX = 20_000  # of a long text nobody looks further for its first line
_MARKS = re.compile(r"^(?:#{1,6}\s+|>\s+|[-*]\s+)")
_WORD_AT_END = re.compile(r"[!-~]+$")


def spoken_line(text: str) -> str:
    """Return the first line of a text that says something, a heading only where none does; or "".

    What does not show as itself is escaped, and no word is cut in two: half of a secret would pass for none.
    """
    heading = ""
    for line in text[:_READ_MAX].splitlines():
        words = " ".join(_MARKS.sub("", line.strip()).split())
        if not any(character.isalnum() for character in words) or words.startswith("```"):
            continue
        if not line.lstrip().startswith("#"):
            return _cut(printable(words))
        heading = heading or _cut(printable(words))
    return heading


def _cut(line: str) -> str:
    if len(line) <= LENGTH_MAX:
        return line
    kept = line[: LENGTH_MAX - 1]
    if "!" <= line[LENGTH_MAX - 1] <= "~":
        kept = _WORD_AT_END.sub("", kept)
    return f"{kept.rstrip()}…"


def words_in(messages: Sequence[Any]) -> str:
    """Return the text of the model's last message, of messages as Pydantic AI keeps them; "" for none."""
    last = next((one for one in reversed(messages) if one.kind == "response"), None)
    parts = () if last is None else last.parts
    return "\n".join(part.content for part in parts if part.part_kind == "text")
