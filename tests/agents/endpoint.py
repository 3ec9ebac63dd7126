"""An OpenAI-compatible model server on loopback whose models are Python functions, for tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = dict[str, Any]
Model = Callable[[list[dict[str, Any]]], Reply]


def says(text: str) -> Reply:
    """Return the message of a model that ends its turn."""
    return {"role": "assistant", "content": text}


def calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """Return the message of a model that calls tools."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{name}_{index}_{abs(hash(json.dumps(arguments, sort_keys=True)))}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(wanted)
        ],
    }


class Script:
    """A model that answers its n-th request with the n-th step: a message, or a function of the messages.

    `asked[n]` is set when its n-th request has come, so that other models can wait for it.
    """

    def __init__(self, *steps: Reply | Model) -> None:
        self._steps = steps
        self.asked = [threading.Event() for _ in range(len(steps) + 1)]
        self.requests: list[list[dict[str, Any]]] = []

    def __call__(self, messages: list[dict[str, Any]]) -> Reply:
        number = len(self.requests)
        self.requests.append(messages)
        if number < len(self.asked):
            self.asked[number].set()
        if number >= len(self._steps):
            return says("done")
        step = self._steps[number]
        return step(messages) if callable(step) else step


def after(event: threading.Event, reply: Reply) -> Model:
    """Return a step that answers when the event has come."""

    def step(messages: list[dict[str, Any]]) -> Reply:
        assert event.wait(20), "what the model waits for did not come"
        return reply

    return step


class Failure(Exception):
    """Raised by a model to answer with that HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@contextmanager
def serving(**models: Model) -> Iterator[str]:
    """Serve models by name; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                message = models[request["model"]](request["messages"])
            except Failure as failure:
                self._send(failure.status, {"error": {"message": "out of order", "type": "server_error"}})
                return
            finish = "tool_calls" if message.get("tool_calls") else "stop"
            self._send(
                200,
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": request["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
                },
            )

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "1")  # so that clients that repeat a request do so at once
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, address: None  # type: ignore[method-assign,assignment]  # clients may go
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
