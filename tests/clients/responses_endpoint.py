"""A scripted OpenAI Responses endpoint on loopback, for Codex CLI; see `scripted_endpoint`."""

from __future__ import annotations

import json
import uuid
from typing import Any

from scripted_endpoint import MARKER, Block, Handler, Result, ScriptedEndpoint, Turn, news, text_of


class ResponsesEndpoint(ScriptedEndpoint):
    """Serves `POST /v1/responses`, streamed. `base_url` is what clients want to be told."""

    @property
    def base_url(self) -> str:
        """The address up to and with `/v1`."""
        return f"{self.url}/v1"

    def _turn(self, script: str | None, number: int, body: dict[str, Any]) -> Turn:
        results: list[Result] = []
        texts: list[str] = []
        for message in news(body["messages"]):
            if message["role"] == "tool":
                results.append(Result(message["call_id"], message["content"], is_error=False))
            else:
                texts.append(message["content"])
        tools = []
        for tool in body.get("tools") or []:
            inner = [f"{tool['name']}{one['name']}" for one in tool.get("tools", [])]
            tools += inner or [tool.get("name", tool["type"])]
        return Turn(script, number, body, results, texts, tools)

    @staticmethod
    def _script_name(messages: list[dict[str, Any]]) -> str | None:
        # The first message of the user tells of the environment.
        found = (MARKER.search(message["content"]) for message in messages if message["role"] == "user")
        return next((one[1] for one in found if one), None)

    def _answer(self, handler: Handler, path: str, body: dict[str, Any]) -> None:
        assert path.partition("?")[0].endswith("/responses"), path
        body["messages"] = [_message(item) for item in body["input"]]
        reply = self._play(body)
        head = {"id": f"resp_{uuid.uuid4().hex}"}
        usage = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1}
        usage |= {"output_tokens_details": None, "total_tokens": 2}
        events = [{"type": "response.created", "response": head}]
        events += [{"type": "response.output_item.done", "item": _item(block)} for block in reply]
        events.append({"type": "response.completed", "response": {**head, "usage": usage}})
        handler.send_events([f"event: {event['type']}\ndata: {json.dumps(event)}" for event in events])


def _message(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of the conversation as a message."""
    if item["type"] == "function_call_output":
        output = item["output"]
        return {"role": "tool", "call_id": item["call_id"], "content": text_of(output)}
    if item["type"] == "message":
        return {"role": item["role"], "content": text_of(item["content"])}
    return {"role": "assistant", "content": ""}


def _item(block: Block) -> dict[str, Any]:
    """Return a block of a reply as an item of the conversation."""
    if block["type"] == "text":
        content = [{"type": "output_text", "text": block["text"]}]
        return {"type": "message", "role": "assistant", "id": f"msg_{uuid.uuid4().hex}", "content": content}
    space, _, name = block["name"].rpartition("/")
    call = {"type": "function_call", "call_id": block["id"], "name": name}
    return call | {"arguments": json.dumps(block["input"])} | ({"namespace": space} if space else {})
