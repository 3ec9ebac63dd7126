"""What a session of Claude Code says and is asked for, for people who look on (`AgentSession.say`).

A prompt comes with its event. What the model said before a call stands in the transcript, a file of JSON
lines to which the client adds: only its end is read, and where that is not as we know it, nothing is said.

Source: Claude Code documentation, "Hooks reference" (`prompt`, `transcript_path`, `agent_transcript_path`,
`last_assistant_message`); the form of the lines is as its transcripts have it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import Any

from coagent.runtime.session import AgentSession

_READ_MAX = 1 << 17


def heard(agent: AgentSession, event: Mapping[str, Any]) -> None:
    """Note what an event tells of what was said."""
    name = event.get("hook_event_name")
    if name == "UserPromptSubmit":
        agent.say(str(event.get("prompt", "")), goal=True)
    elif name in ("PreToolUse", "Stop", "SubagentStop"):
        last = event.get("last_assistant_message")
        agent.say(last if isinstance(last, str) and last else last_words(_transcript(event)))


def _transcript(event: Mapping[str, Any]) -> str:
    """Return the path of the transcript of who makes a call; "" where that is not told."""
    path, subagent = event.get("transcript_path"), event.get("agent_id")
    if subagent is None:
        return path if isinstance(path, str) else ""
    own = event.get("agent_transcript_path")
    if isinstance(own, str):
        return own
    # That of a subagent stands in a folder beside its session's.
    return f"{path.removesuffix('.jsonl')}/subagents/agent-{subagent}.jsonl" if isinstance(path, str) else ""


def last_words(path: str) -> str:
    """Return what the model said last in a transcript since it was asked something; "" where it has not."""
    for line in reversed(_end_of(path).split(b"\n")):
        if b'"tool_result"' in line or b'"message"' not in line:
            continue
        try:
            entry = json.loads(line)
            kind, content = entry["type"], entry["message"]["content"]
            if kind == "user":
                return ""
            texts = (
                [part["text"] for part in content if part["type"] == "text"] if kind == "assistant" else []
            )
        except (ValueError, KeyError, TypeError):
            continue  # cut off at its beginning, or of another version
        if any(text.strip() for text in texts):
            return "\n".join(texts)
    return ""


def _end_of(path: str) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return b""
        return os.pread(file, _READ_MAX, max(0, found.st_size - _READ_MAX))
    except OSError:
        return b""
    finally:
        os.close(file)
