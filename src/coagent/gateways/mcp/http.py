"""Serving many clients over streamable HTTP, each known by its bearer token or by its session.

Source: Model Context Protocol specification, "Transports: Streamable HTTP"; RFC 6750 for bearer tokens.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import uvicorn
from mcp.server import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from coagent.config.domain_file import ClientTable, ServeTable
from coagent.errors import ConfigurationError
from coagent.gateways.mcp.clients import Caller, Clients, Tokens, token_owner
from coagent.gateways.mcp.naming import agent_name
from coagent.gateways.mcp.relay import Relay
from coagent.gateways.mcp.server import Gateway
from coagent.runtime.domain import Domain

PATH = "/mcp"
_EXPIRE_S = 1.0
_SESSION = "mcp-session-id"
_OWNER = "coagent.client"


class HttpGateway:
    """The ASGI application of a domain.

    Args:
        domain: An open domain.
        settings: How clients are served.
        tables: The clients that have tokens.
        tokens: Their tokens.
        relay: The upstream servers of the domain.

    Raises:
        ConfigurationError: It would be open to others than this machine without any token.
    """

    def __init__(
        self,
        domain: Domain,
        settings: ServeTable,
        tables: list[ClientTable],
        tokens: Tokens,
        relay: Relay,
    ) -> None:
        local = _is_loopback(settings.host)
        if not local and (not tokens or settings.anonymous):
            raise ConfigurationError(
                f"{settings.host!r} can be reached from other machines, and clients need no token",
                "Give each client a token (`token_env` in [[clients]]), and set `anonymous = false`.",
            )
        self._settings, self._tokens = settings, tokens
        self._anonymous = settings.anonymous if settings.anonymous is not None else not tokens
        self.clients = Clients(
            domain,
            lease_s=settings.lease_s,
            on_leave=settings.on_leave,
            reserved=[table.name for table in tables if table.token_env is not None],
        )
        gateway = self._gateway = Gateway(domain, self.clients, self._identify, relay)
        hosts = [settings.host, "localhost", "127.0.0.1", "[::1]"]
        self._manager = StreamableHTTPSessionManager(
            gateway.server,
            session_idle_timeout=None,  # leases are ours
            security_settings=TransportSecuritySettings(
                enable_dns_rebinding_protection=local,
                allowed_hosts=[pattern for host in hosts for pattern in (host, f"{host}:*")],
                allowed_origins=[f"http://{host}:*" for host in hosts],
            ),
        )
        self.app = Starlette(routes=[Mount("/", app=self._serve)], lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._manager.run(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._expire)
            tasks.start_soon(self._gateway.tell_changes)
            yield
            tasks.cancel_scope.cancel()
            await self.clients.all_gone()

    async def _expire(self) -> None:
        while True:
            await anyio.sleep(_EXPIRE_S)
            await self.clients.expire()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._manager.handle_request(scope, receive, send)
        session = request.headers.get(_SESSION)
        if request.method == "DELETE" and session is not None:
            await self.clients.gone(session)

    def _refusal(self, request: Request) -> Response | None:
        """Return why a request is refused; also notes whose it is."""
        request.scope[_OWNER] = None
        if request.url.path.rstrip("/") != PATH:
            return _refused(404, f"there is nothing here: the server is at {PATH}")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            if self._anonymous:
                return None
            return _refused(401, "a token is needed: send `Authorization: Bearer TOKEN`")
        if scheme.lower() != "bearer" or not token.strip():
            return _refused(401, "the Authorization header is not `Bearer TOKEN`")
        owner = self._tokens.owner(token.strip())
        if owner is None:
            return _refused(
                401, "this token is not known: look for `token_env` of your client in the domain file"
            )
        request.scope[_OWNER] = owner
        return None

    def _identify(self, context: ServerRequestContext[Any, Any]) -> Caller:
        request = context.request
        assert isinstance(request, Request), "this transport is HTTP"
        table: ClientTable | None = request.scope[_OWNER]
        session = request.headers.get(_SESSION)  # none from 2026-07-28 on
        if table is not None:
            owner = token_owner(table.name)
            return Caller(owner, owner, table.name, True, table.rank, table.tools, session)
        return Caller(session, session, agent_name(context), own_name=False, connection=session)


async def serve_http(
    domain: Domain,
    settings: ServeTable,
    tables: list[ClientTable],
    tokens: Tokens,
    ready: Callable[[str], None],
    relay: Relay,
) -> None:
    """Serve until told to end.

    Args:
        domain: An open domain.
        settings: How clients are served.
        tables: The clients that have tokens.
        tokens: Their tokens.
        ready: Called with the URL once clients may come.
        relay: The upstream servers of the domain.

    Raises:
        ConfigurationError: The port is taken, or the settings would let anybody in.
    """
    gateway = HttpGateway(domain, settings, tables, tokens, relay)
    config = uvicorn.Config(
        gateway.app,
        settings.host,
        settings.port,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    try:
        listening = config.bind_socket()
    except SystemExit:
        raise ConfigurationError(
            f"port {settings.port} of {settings.host} cannot be used: another program may have it",
            "Choose another one with --port, or 0 for any that is free.",
        ) from None
    server = uvicorn.Server(config)

    async def announce() -> None:
        while not server.started:
            await anyio.sleep(0.01)
        host, port = listening.getsockname()[:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(announce)
        await server.serve(sockets=[listening])
        tasks.cancel_scope.cancel()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _refused(status: int, why: str) -> JSONResponse:
    headers = {"WWW-Authenticate": 'Bearer realm="coagent"'} if status == 401 else {}
    return JSONResponse({"error": why}, status, headers=headers)
