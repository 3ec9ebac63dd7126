"""Serves the page on the loopback interface: its data by number, what is new as server-sent events.

Whoever has the token may look, and act where the domain's file is known. The page is for browsers of this
host: requests that name another one are refused, so that no other page can reach it by a name of its own.

Source: WHATWG HTML, "Server-sent events"; RFC 6750 for bearer tokens.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from coagent.errors import CoAgentError, ConfigurationError
from coagent.story.steps import Story
from coagent.ui.acts import Acts, Changed
from coagent.ui.page import page, policy
from coagent.ui.stories import Stories

_PING_S = 15.0
_STEPS_MAX = 5_000
_VALUES_MAX = 500
_LIVE_AT_ONCE = 1_000
_BODY_MAX = 100_000
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Server:
    """The page's server.

    Args:
        stories: What is shown.
        token: Whoever has it may look and act.
        hosts: The names under which it may be asked for.
        acts: What a person can do from it; None where only looking is possible.
    """

    def __init__(self, stories: Stories, token: str, hosts: list[str], acts: Acts | None) -> None:
        self._stories, self._token, self._acts = stories, token.encode(), acts
        self._closing = anyio.Event()
        self.app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/api/stories", self._guarded(self._list)),
                Route("/api/{story:int}/steps", self._guarded(self._steps)),
                Route("/api/{story:int}/live", self._guarded(self._live)),
                Route("/api/{story:int}/values", self._guarded(self._values)),
                Route("/api/{story:int}/{what:str}", self._guarded(self._act), methods=["POST"]),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        )

    def close(self) -> None:
        """Let those who look on go."""
        self._closing.set()

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                return _refused(
                    401,
                    "the token is not that of this page",
                    "Open the address that `coagent ui` has printed.",
                )
            try:
                return await answer(request)
            except Changed as error:
                return _refused(409, error.cause, error.cure)
            except ConfigurationError as error:
                return _refused(400, error.cause, error.cure)
            except CoAgentError as error:
                return _refused(502, error.cause, error.cure)

        return guarded

    async def _page(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        allowed = f"{policy(nonce, asks=True)}; frame-ancestors 'none'"
        return HTMLResponse(page(nonce), headers={**_HEADERS, "Content-Security-Policy": allowed})

    async def _list(self, request: Request) -> Response:
        told = [
            {"id": number, **story.header, "last": story.watch.last}
            for number, story in enumerate(self._stories.all)
        ]
        return _json({"stories": told, "actions": self._acts is not None})

    def _story(self, request: Request) -> Story:
        number: int = request.path_params["story"]
        if number >= len(self._stories.all):
            raise ConfigurationError(f"there is no story {number}")
        return self._stories.all[number]

    async def _steps(self, request: Request) -> Response:
        story = self._story(request)
        most = min(max(_number(request, "limit", _STEPS_MAX), 1), _STEPS_MAX)
        return Response(
            _batch(story, _number(request, "after", -1), most),
            media_type="application/json",
            headers=_HEADERS,
        )

    async def _values(self, request: Request) -> Response:
        values = self._story(request).values
        given = request.query_params.get("v", "").split(",")
        try:
            numbers = [int(number) for number in given if number][:_VALUES_MAX]
            return _json({str(number): values.shown(number) for number in numbers})
        except (ValueError, IndexError) as error:
            raise ConfigurationError(f"there is no such value: {error}") from None

    async def _live(self, request: Request) -> Response:
        story, after = self._story(request), _number(request, "after", -1)
        events = self._events(request.path_params["story"], story, after)
        return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)

    async def _events(self, number: int, story: Story, after: int) -> AsyncIterator[bytes]:
        yield b": begun\n\n"
        told = False
        while not self._closing.is_set():
            if story.last > after and len(story):
                batch = _batch(story, after, _LIVE_AT_ONCE)
                after = json.loads(batch)["last"]
                yield b"event: steps\nid: %d\ndata: %s\n\n" % (after, batch)
                continue
            if number in self._stories.gone and not told:
                told = True
                yield b"event: gone\ndata: %s\n\n" % json.dumps({"why": self._stories.gone[number]}).encode()
            before = story.last
            await self._stories.more(_PING_S)
            if story.last == before:
                yield b"event: ping\ndata: {}\n\n"

    async def _act(self, request: Request) -> Response:
        if self._acts is None or request.path_params["story"] != 0:
            raise ConfigurationError(
                "only looking is possible here",
                "Name the domain's file or folder, and no log: coagent ui FILE.",
            )
        body = await _body(request)
        if request.path_params["what"] == "preview":
            return _json(await self._acts.preview(self._stories.all[0], body))
        if request.path_params["what"] == "act":
            return _json(await self._acts.act(self._stories.all[0], body))
        return _refused(404, "there is nothing here")


def _batch(story: Story, after: int, most: int) -> bytes:
    texts = story.texts(after, most)
    last = json.loads(texts[-1])["n"] if texts else after
    return b'{"steps":[%s],"last":%d}' % (b",".join(texts), last)


async def _body(request: Request) -> dict[str, Any]:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _BODY_MAX:
            raise ConfigurationError("the request is too large")
    try:
        found = json.loads(data)
    except ValueError as error:
        raise ConfigurationError(f"the request is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError("the request is no JSON object")
    return found


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name, "")
    try:
        return int(given) if given else default
    except ValueError:
        raise ConfigurationError(f"{name} is a number, not {given!r}") from None


def _json(data: Any) -> Response:
    return JSONResponse(data, headers=_HEADERS)


def _refused(status: int, cause: str, cure: str = "") -> Response:
    return JSONResponse({"error": {"cause": cause, "cure": cure}}, status, headers=_HEADERS)
