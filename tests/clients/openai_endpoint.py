"""A scripted OpenAI chat completions endpoint on loopback, for opencode; see `scripted_endpoint`."""

from __future__ import annotations

import json
import uuid
from typing import Any

from scripted_endpoint import Handler, Result, ScriptedEndpoint, Turn, news, text_of


class OpenAIEndpoint(ScriptedEndpoint):
    """Serves `POST /v1/chat/completions`, streamed or not. `base_url` is what clients want to be told."""

    @property
    def base_url(self) -> str:
        """The address up to and with `/v1`."""
        return f"{self.url}/v1"

    def _turn(self, script: str | None, number: int, body: dict[str, Any]) -> Turn:
        results: list[Result] = []
        texts: list[str] = []
        for message in news(body["messages"]):
            text = text_of(message["content"])
            if message["role"] == "tool":
                # Chat completions have no mark for a call that failed.
                results.append(Result(message["tool_call_id"], text, is_error=False))
            else:
                texts.append(text)
        tools = [tool["function"]["name"] for tool in body.get("tools") or []]
        return Turn(script, number, body, results, texts, tools)

    def _answer(self, handler: Handler, path: str, body: dict[str, Any]) -> None:
        reply = self._play(body)
        message: dict[str, Any] = {"role": "assistant", "content": None}
        text = "".join(block["text"] for block in reply if block["type"] == "text")
        if text:
            message["content"] = text
        calls = [
            {
                "index": index,
                "id": block["id"],
                "type": "function",
                "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
            }
            for index, block in enumerate(block for block in reply if block["type"] == "tool_use")
        ]
        if calls:
            message["tool_calls"] = calls
        finish = "tool_calls" if calls else "stop"
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": 0, "model": body["model"]}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if body.get("stream"):
            head["object"] = "chat.completion.chunk"
            chunks = [
                {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
                {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage},
            ]
            handler.send_events([*(f"data: {json.dumps(chunk)}" for chunk in chunks), "data: [DONE]"])
        else:
            head["object"] = "chat.completion"
            choice = {"index": 0, "message": message, "finish_reason": finish}
            handler.send_json({**head, "choices": [choice], "usage": usage})
