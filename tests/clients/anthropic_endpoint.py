"""A scripted Anthropic Messages endpoint on loopback, for Claude Code; see `scripted_endpoint`."""

from __future__ import annotations

import json
import uuid
from typing import Any

from scripted_endpoint import Block, Handler, Result, ScriptedEndpoint, Turn, news, text_of

USAGE = {"input_tokens": 1, "output_tokens": 1}


class AnthropicEndpoint(ScriptedEndpoint):
    """Serves `POST /v1/messages` (streamed or not), `POST /v1/messages/count_tokens` and `HEAD /`."""

    def _turn(self, script: str | None, number: int, body: dict[str, Any]) -> Turn:
        results: list[Result] = []
        texts: list[str] = []
        for message in news(body["messages"]):
            content = message["content"]
            for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                if part["type"] == "tool_result":
                    is_error = bool(part.get("is_error"))
                    results.append(Result(part["tool_use_id"], text_of(part.get("content")), is_error))
                elif part["type"] == "text":
                    texts.append(part["text"])
        tools = [tool["name"] for tool in body.get("tools", [])]
        return Turn(script, number, body, results, texts, tools)

    def _answer(self, handler: Handler, path: str, body: dict[str, Any]) -> None:
        if path.partition("?")[0].endswith("/count_tokens"):
            handler.send_json({"input_tokens": 1})
            return
        reply = self._play(body)
        wants_tool = any(block["type"] == "tool_use" for block in reply)
        message = {
            "id": f"msg_{uuid.uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": reply,
            "stop_reason": "tool_use" if wants_tool else "end_turn",
            "stop_sequence": None,
            "usage": USAGE,
        }
        if body.get("stream"):
            handler.send_events(streamed(message))
        else:
            handler.send_json(message)


def streamed(message: dict[str, Any]) -> list[str]:
    """Return the events in which a message is streamed."""
    events = [event("message_start", message={**message, "content": [], "stop_reason": None})]
    for index, block in enumerate(message["content"]):
        events += block_events(index, block)
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append(event("message_delta", delta=stop, usage={"output_tokens": 1}))
    events.append(event("message_stop"))
    return events


def block_events(index: int, block: Block) -> list[str]:
    """Return the events of one content block."""
    if block["type"] == "tool_use":
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        empty = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    return [
        event("content_block_start", index=index, content_block=empty),
        event("content_block_delta", index=index, delta=delta),
        event("content_block_stop", index=index),
    ]


def event(kind: str, **fields: Any) -> str:
    """Return one server-sent event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}"
