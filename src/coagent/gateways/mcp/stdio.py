"""Serving one client over standard input and output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from mcp.server import ServerRequestContext
from mcp.server.stdio import stdio_server

from coagent.config.domain_file import OnLeave
from coagent.gateways.mcp.clients import Caller, Clients
from coagent.gateways.mcp.naming import agent_name
from coagent.gateways.mcp.relay import Relay
from coagent.gateways.mcp.server import Gateway
from coagent.runtime.domain import Domain

_IDENTITY = "stdio"
_STAGED_S_MAX = 600.0


async def serve_stdio(
    domain: Domain,
    *,
    name: str | None,
    rank: int | None,
    tools: list[str] | None,
    on_leave: OnLeave,
    note: Callable[[str], None],
    relay: Relay,
) -> None:
    """Serve until the client closes its end.

    Args:
        domain: An open domain.
        name: The client's agent; by default what the client calls itself.
        rank: The agent's rank.
        tools: The tools that it may use; None: all.
        on_leave: What becomes of unfinished work then: "abort", "commit" or "keep".
        note: Tells a person what happens; never on standard output, which is the client's.
        relay: The upstream servers of the domain.
    """
    clients = Clients(domain, lease_s=float("inf"), on_leave=on_leave)

    def identify(context: ServerRequestContext[Any, Any]) -> Caller:
        called = name or agent_name(context)
        return Caller(_IDENTITY, _IDENTITY, called, name is not None, rank, tools, _IDENTITY)

    gateway = Gateway(domain, clients, identify, relay)
    async with stdio_server() as (reading, writing), anyio.create_task_group() as tasks:
        tasks.start_soon(gateway.tell_changes)
        await gateway.server.run(reading, writing, gateway.server.create_initialization_options())
        tasks.cancel_scope.cancel()
    for client in clients.at_work():
        session = client.session
        assert session is not None, "it is at work"
        if session.state == "finished" and any(call.staged for call in session.calls):
            note(f"agent {session.name!r} has staged calls: waiting until they have run")
            with anyio.move_on_after(_STAGED_S_MAX):
                await session.finish(wait=True)
        await clients.gone(client.identity)
        if session.state in ("active", "finished"):
            note(f"agent {session.name!r} stays {session.state}: `coagent status` shows what it waits for")
