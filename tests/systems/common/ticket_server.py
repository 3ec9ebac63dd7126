"""A small ticket system: JSON over HTTP, each ticket with a version that a write must name."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class TicketServer:
    """A server that can be stopped and started again with what it holds."""

    def __init__(self) -> None:
        self.tickets: dict[str, tuple[Any, str]] = {}
        self._versions = 0
        self._lock = threading.Lock()
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    def write(self, number: str, ticket: Any) -> None:
        """Write a ticket, or delete it, as somebody would in a browser."""
        with self._lock:
            self._write(number, ticket)

    def _write(self, number: str, ticket: Any) -> str:
        if ticket is None:
            self.tickets.pop(number, None)
            return ""
        self._versions += 1
        self.tickets[number] = (ticket, str(self._versions))
        return str(self._versions)

    def answer(self, method: str, number: str, body: bytes, version: str) -> tuple[int, Any, str]:
        """Return the status, the answer and the version of a request."""
        with self._lock:
            if not number:
                return 200, {n: {"ticket": t, "version": v} for n, (t, v) in self.tickets.items()}, ""
            ticket, current = self.tickets.get(number, (None, ""))
            if method == "GET":
                return 200, ticket, current
            if version != current:
                return 412, "it has another version", current
            if method == "DELETE":
                return 200, None, self._write(number, None)
            ticket = json.loads(body)
            if not ticket.get("title"):
                return 422, "a ticket needs a title", current
            return 200, ticket, self._write(number, ticket)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                number = self.path.removeprefix("/tickets/")
                given = self.headers.get("If-Match", "")
                status, found, version = outer.answer(self.command, number, body, given)
                said = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("ETag", version)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_PUT = do_DELETE = _answer  # noqa: N815 - as http.server names them

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler
