"""A scripted Gemini endpoint on loopback, for Gemini CLI; see `scripted_endpoint`."""

from __future__ import annotations

import json
from typing import Any

from scripted_endpoint import MARKER, Block, Handler, Result, ScriptedEndpoint, Turn, news, text_of


class GeminiEndpoint(ScriptedEndpoint):
    """Serves `POST …/models/NAME:generateContent` and `:streamGenerateContent`."""

    def _turn(self, script: str | None, number: int, body: dict[str, Any]) -> Turn:
        results: list[Result] = []
        texts: list[str] = []
        for message in news(body["messages"]):
            if message["role"] == "tool":
                results.append(Result(message["call_id"], message["content"], is_error=False))
            else:
                texts.append(message["content"])
        tools = [
            one["name"] for tool in body.get("tools") or [] for one in tool.get("functionDeclarations", [])
        ]
        return Turn(script, number, body, results, texts, tools)

    @staticmethod
    def _script_name(messages: list[dict[str, Any]]) -> str | None:
        # The first message of the user tells of the environment.
        found = (MARKER.search(message["content"]) for message in messages if message["role"] == "user")
        return next((one[1] for one in found if one), None)

    def _answer(self, handler: Handler, path: str, body: dict[str, Any]) -> None:
        path = path.partition("?")[0]
        if path.endswith(":countTokens"):
            handler.send_json({"totalTokens": 1})
            return
        body["messages"] = [message for one in body["contents"] for message in _messages(one)]
        content = {"role": "model", "parts": [_part(block) for block in self._play(body)]}
        answer = {
            "candidates": [{"index": 0, "content": content, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        }
        if path.endswith(":streamGenerateContent"):
            handler.send_events([f"data: {json.dumps(answer)}"])
        else:
            handler.send_json(answer)


def _messages(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what one side has said: a message, or one for each result."""
    parts = content["parts"]
    answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
    found: list[dict[str, Any]] = [
        {"role": "tool", "call_id": one.get("id", ""), "content": _shown(one["response"])} for one in answers
    ]
    text = text_of([part for part in parts if "text" in part])
    if text or not found:
        found.append({"role": "assistant" if content["role"] == "model" else "user", "content": text})
    return found


def _shown(response: dict[str, Any]) -> str:
    output = response.get("output")
    return output if isinstance(output, str) else json.dumps(response, ensure_ascii=False)


def _part(block: Block) -> dict[str, Any]:
    if block["type"] == "text":
        return {"text": block["text"]}
    return {"functionCall": {"name": block["name"], "args": block["input"]}}
