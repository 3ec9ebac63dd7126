"""What a model was sent and said, for people to read: without the secrets, and in a file of its owner's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_ai import ModelMessage, ModelMessagesTypeAdapter

from coagent.masking.mask import Mask
from coagent.masking.spans import MASK
from coagent.masking.values import concerns_secret
from coagent.private import private_folder, write_private


def write_transcript(folder: Path, name: str, messages: Sequence[ModelMessage]) -> None:
    """Write the messages of an agent into a file that is named for it.

    Args:
        folder: Where; it is made where it is not there.
        name: The agent's name.
        messages: Its messages, which stay as they are.

    Raises:
        OSError: It cannot be written.
    """
    if not folder.is_dir():
        private_folder(folder)
    plain = re.sub(r"[^\w.-]", "_", name)
    data = masked_messages(ModelMessagesTypeAdapter.dump_python(list(messages), mode="json"))
    write_private(folder / f"{plain}.json", json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def masked_messages(messages: list[Any]) -> list[Any]:
    """Return messages as JSON data, masked: also what calls about secrets have returned."""
    mask, hidden = Mask(), set()
    for part in _parts(messages):
        arguments = _arguments(part)
        if part.get("part_kind") == "tool-call":
            mask.learn_call(arguments)
            if concerns_secret(arguments):
                hidden.add(part.get("tool_call_id"))
    for part in _parts(messages):
        if part.get("part_kind") in ("tool-return", "retry-prompt"):
            if part.get("tool_call_id") in hidden:
                mask.learn_secret(part.get("content"))
                part["content"] = MASK
            else:
                mask.learn(part.get("content"))
        elif part.get("tool_call_id") in hidden:
            part["args"] = mask.arguments(_arguments(part))
    shown = mask.value(messages)
    assert isinstance(shown, list), "a list is shown as a list"
    return shown


def _parts(messages: list[Any]) -> Iterator[dict[str, Any]]:
    return (part for message in messages for part in message.get("parts", ()))


def _arguments(part: dict[str, Any]) -> dict[str, Any]:
    found = part.get("args")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            found = {"args": found}
    return found if isinstance(found, dict) else {}
