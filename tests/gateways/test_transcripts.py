"""What a session of Claude Code said last is read from the end of its transcript."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from coagent.gateways.claude.words import last_words


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "assistant", "message": {"role": "assistant", "content": list(content)}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def user(content: Any) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": content}}


CALL = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "a.txt"}}
RESULT = user([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x" * 1000}])


def written(folder: Path, *entries: dict[str, Any]) -> str:
    path = folder / "transcript.jsonl"
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return str(path)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([user("go"), assistant(text("I look.")), assistant(CALL)], "I look."),
        ([user("go"), assistant(text("I look.")), assistant(CALL), RESULT, assistant(CALL)], "I look."),
        ([user("go"), assistant(text("One."), text("Two."), CALL)], "One.\nTwo."),
        ([assistant(text("Done.")), user("now this"), assistant(CALL)], ""),
        ([assistant(text("Done.")), user([text("now this")]), assistant(CALL)], ""),
        ([user("go"), assistant({"type": "thinking", "thinking": "hm"}), assistant(CALL)], ""),
        ([{"type": "summary", "summary": "of before"}], ""),
        ([user("go"), assistant(text("I look.")), {"type": "assistant", "message": None}], "I look."),
    ],
)
def test_the_last_text_since_the_prompt(tmp_path: Path, entries: list[dict[str, Any]], said: str) -> None:
    assert last_words(written(tmp_path, *entries)) == said


def test_only_the_end_of_a_long_transcript_is_read(tmp_path: Path) -> None:
    long = user([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "y" * 200_000}])
    assert last_words(written(tmp_path, assistant(text("far back")), long, assistant(CALL))) == ""
    assert last_words(written(tmp_path, long, assistant(text("near")), assistant(CALL))) == "near"


def test_what_is_no_transcript_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\x00{\n\n[1,2]\n")
    for name in ("pipe", "bytes", "missing", "", "\0"):
        assert last_words(str(tmp_path / name) if name != "\0" else name) == ""
