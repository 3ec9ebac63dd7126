"""Transcripts hold what a model was sent and said, but no secrets."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from pydantic_ai import ModelMessagesTypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from coagent.agents.transcript import write_transcript


def messages() -> list[ModelMessage]:
    return [
        ModelRequest([UserPromptPart("Rotate the key.")]),
        ModelResponse([
            ToolCallPart("read_file", {"path": ".env"}, "1"),
            ToolCallPart("log_in", '{"password": "swordfish"}', "2"),
            ToolCallPart("bash", '{"command": "cat .env"}', "3"),
        ]),
        ModelRequest([
            ToolReturnPart("read_file", "NAME=a-value-of-the-file\n[call A.1]", "1"),
            ToolReturnPart("log_in", "welcome", "2"),
            ToolReturnPart("bash", "NAME=a-value-of-the-file", "3"),
        ]),
        ModelResponse([TextPart("The file had a-value-of-the-file, and I used swordfish.")]),
    ]  # fmt: skip


def test_a_transcript_is_masked_and_private_and_the_messages_stay(tmp_path: Path) -> None:
    said = messages()
    before = ModelMessagesTypeAdapter.dump_json(said)
    write_transcript(tmp_path / "kept", "a/b", said)
    assert ModelMessagesTypeAdapter.dump_json(said) == before
    path = tmp_path / "kept" / "a_b.json"
    text = path.read_text()
    assert "swordfish" not in text
    assert "a-value-of-the-file" not in text
    parts = [part for message in json.loads(text) for part in message["parts"]]
    assert parts[0]["content"] == "Rotate the key."
    assert parts[1]["args"] == {"path": ".env"}
    assert parts[5]["content"] == "welcome"
    assert parts[-1]["content"] == "The file had [masked], and I used [masked]."
    assert len(ModelMessagesTypeAdapter.validate_json(text)) == 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700
