"""What scripted model endpoints share: scripts that play models, cues between them, a record of requests.

A script plays the model of one session. It is chosen by a marker in the session's first prompt,
`[script:NAME]`, and answers each `Turn` (what the client sent) with a reply: text, a block, or a list of
blocks as `say` and `call` make them. It may be a function of the turn, or a generator function that is given
the first turn, yields replies and is sent the next turns; both may be async. A script that has ended says
"done". Requests that offer no tools (for a title, say) and sessions without a marker are answered "done" too.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 60.0
MARKER = re.compile(r"\[script:([\w-]+)\]")

Block = dict[str, Any]
Reply = str | Block | list[Block]


def say(text: str) -> Block:
    """Return a block in which the model says something."""
    return {"type": "text", "text": text}


def call(tool: str, /, **arguments: Any) -> Block:
    """Return a block in which the model calls a tool."""
    return {"type": "tool_use", "name": tool, "input": arguments}


@dataclass(frozen=True)
class Result:
    """What the model was shown of one of its calls."""

    call_id: str
    text: str
    is_error: bool


@dataclass
class Turn:
    """One request: what the model was shown since its last message, and the whole body."""

    script: str | None
    number: int
    body: dict[str, Any]
    results: list[Result]
    texts: list[str]
    tools: list[str]
    reply: list[Block] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The whole conversation, as the client sent it."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def result(self) -> Result:
        """The result of the only call of the model's last message."""
        assert len(self.results) == 1, f"{self.script}: one result was expected: {self.results}"
        return self.results[0]

    @property
    def shown(self) -> str:
        """All that the model was newly shown: results, prompts, reminders and notices of hooks."""
        return "\n".join([*(result.text for result in self.results), *self.texts])


Script = Callable[[Turn], Any]


class StageClosed(Exception):
    """A script waited for a cue, and its test had failed or ended meanwhile."""


class Stage:
    """The cues by which scripts and tests decide who goes next; several endpoints may share one.

    The first failure of a script ends every wait, and is raised again when an endpoint is closed.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given: set[str] = set()
        self._arrived: dict[str, int] = {}
        self._closed = False
        self.failure: BaseException | None = None

    def give(self, cue: str) -> None:
        """Give a cue, for all who wait for it and all who will."""
        with self._changed:
            self._given.add(cue)
            self._changed.notify_all()

    def given(self, cue: str) -> bool:
        """Tell whether a cue was given."""
        with self._changed:
            return cue in self._given

    def wait(self, cue: str, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a cue is given."""
        self._wait(lambda: cue in self._given, f"the cue {cue!r}", timeout_seconds)

    async def until(self, cue: str, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for a cue in an async script."""
        await asyncio.to_thread(self.wait, cue, timeout_seconds)

    def meet(self, place: str, parties: int, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until as many parties have come to a place."""
        with self._changed:
            self._arrived[place] = self._arrived.get(place, 0) + 1
            self._changed.notify_all()
        self._wait(lambda: self._arrived[place] >= parties, f"{parties} at {place!r}", timeout_seconds)

    def fail(self, failure: BaseException) -> None:
        """Note the failure of a script, unless it follows from an earlier one."""
        with self._changed:
            if self.failure is None and not isinstance(failure, StageClosed):
                self.failure = failure
            self._changed.notify_all()

    def close(self) -> None:
        """End all waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, come: Callable[[], bool], what: str, timeout_seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: come() or self._closed or self.failure, timeout_seconds)
            if come():
                return
            if self._closed or self.failure:
                raise StageClosed(f"waited for {what}") from self.failure
            given = ", ".join(sorted(self._given)) or "none"
            raise TimeoutError(f"{what} did not come within {timeout_seconds} s; cues given: {given}")


class Player:
    """A script at work: it turns what the client sent into the model's reply, one turn after the other."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._started: Any = None

    def reply(self, turn: Turn, loop: asyncio.AbstractEventLoop) -> list[Block]:
        """Return the blocks that answer a turn."""
        if inspect.isasyncgenfunction(self._script) or inspect.iscoroutinefunction(self._script):
            return blocks(asyncio.run_coroutine_threadsafe(self._reply_async(turn), loop).result())
        if not inspect.isgeneratorfunction(self._script):
            return blocks(self._script(turn))
        try:
            if self._started is None:
                self._started = self._script(turn)
                return blocks(next(self._started))
            return blocks(self._started.send(turn))
        except StopIteration:
            return [say("done")]

    async def _reply_async(self, turn: Turn) -> Any:
        if inspect.iscoroutinefunction(self._script):
            return await self._script(turn)
        try:
            if self._started is None:
                self._started = self._script(turn)
                return await anext(self._started)
            return await self._started.asend(turn)
        except StopAsyncIteration:
            return say("done")


def blocks(reply: Reply) -> list[Block]:
    """Return a reply as a list of blocks."""
    if isinstance(reply, str):
        return [say(reply)]
    return [reply] if isinstance(reply, dict) else list(reply)


class ScriptedEndpoint(ABC):
    """A model server on loopback whose models are scripts. `turns` records what every client has sent.

    Use it in a `with` block, which raises the first failure of a script when it ends.
    """

    def __init__(self, stage: Stage | None = None) -> None:
        self.stage = stage or Stage()
        self.turns: list[Turn] = []
        self._players: dict[str, Player] = {}
        self._lock = threading.Lock()
        self._calls = 0
        self._last_acts: list[Callable[[], object]] = []
        self._loop = asyncio.new_event_loop()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A client may leave in the middle of an answer.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True),
            threading.Thread(target=self._loop.run_forever, daemon=True),
        ]

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, name: str, script: Script) -> None:
        """Let a script play the model of the session whose first prompt says `[script:NAME]`."""
        assert MARKER.fullmatch(f"[script:{name}]"), name
        assert name not in self._players, f"there is a script {name!r} already: one script plays one session"
        self._players[name] = Player(script)

    def turns_of(self, name: str) -> list[Turn]:
        """Return the turns of one script, in order."""
        with self._lock:
            return [turn for turn in self.turns if turn.script == name]

    def shown_to(self, name: str) -> str:
        """Return all that a script's model was shown, in order."""
        return "\n".join(turn.shown for turn in self.turns_of(name))

    def at_exit(self, last_act: Callable[[], object]) -> None:
        """Have something done when the endpoint is closed, so that no client outlives it."""
        self._last_acts.append(last_act)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.close()
        for last_act in self._last_acts:
            last_act()
        self._server.shutdown()
        self._server.server_close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        if self.stage.failure is not None and self.stage.failure is not error:
            raise self.stage.failure

    @abstractmethod
    def _answer(self, handler: Handler, path: str, body: dict[str, Any]) -> None:
        """Answer one request in the wire format of the endpoint."""

    @abstractmethod
    def _turn(self, script: str | None, number: int, body: dict[str, Any]) -> Turn:
        """Return what a request shows to the model."""

    def _play(self, body: dict[str, Any]) -> list[Block]:
        """Return the reply to a request, by the script of its session."""
        name = self._script_name(body["messages"]) if body.get("tools") else None
        with self._lock:
            number = sum(turn.script == name for turn in self.turns)
            turn = self._turn(name, number, body)
            self.turns.append(turn)
        reply = [say("done")]
        if name is not None:
            if name not in self._players:
                raise LookupError(f"no script {name!r}; there are {sorted(self._players)}")
            reply = self._players[name].reply(turn, self._loop)
        with self._lock:
            for block in reply:
                if block["type"] == "tool_use" and "id" not in block:
                    self._calls += 1
                    block["id"] = f"toolu_{self._calls:04d}"
        turn.reply = reply
        return reply

    @staticmethod
    def _script_name(messages: list[dict[str, Any]]) -> str | None:
        first = next((message for message in messages if message["role"] == "user"), {"content": ""})
        found = MARKER.search(text_of(first["content"]))
        return found[1] if found else None

    def _handler(self) -> type[Handler]:
        endpoint = self

        class Bound(Handler):
            def answer(self, path: str, body: dict[str, Any]) -> None:
                try:
                    endpoint._answer(self, path, body)
                except ConnectionError:
                    self.close_connection = True
                except BaseException as failure:
                    endpoint.stage.fail(failure)
                    # No client tries again after a 400, so the session ends here.
                    error = {"type": "invalid_request_error", "message": repr(failure)}
                    self.send_json({"error": error}, 400)

        return Bound


class Handler(BaseHTTPRequestHandler):
    """Reads JSON requests, and writes JSON or server-sent events."""

    protocol_version = "HTTP/1.1"

    def answer(self, path: str, body: dict[str, Any]) -> None:
        """Answer a request."""
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"] or 0)
        self.answer(self.path, json.loads(self.rfile.read(length) or b"{}"))

    def send_json(self, answer: dict[str, Any], status: int = 200) -> None:
        """Answer with a JSON document."""
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_events(self, events: list[str]) -> None:
        """Answer with server-sent events."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"{event}\n\n".encode())
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def news(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages after the model's last."""
    said = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    return messages[said[-1] + 1 :] if said else messages


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text", "") for part in content)
