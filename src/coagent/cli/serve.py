"""`coagent serve`: an MCP server for any client; each client is an agent of the domain."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coagent.cli.output import print_lines
from coagent.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent.config.domain_file import Configured


def serve(
    file: Annotated[
        Path | None, typer.Argument(help="The domain file; the nearest .coagent/config.toml by default.")
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Many clients over HTTP, not one over stdio.")] = False,
    host: Annotated[str | None, typer.Option(help="Where HTTP is offered.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Its port; 0: any.")] = None,
    name: Annotated[str | None, typer.Option(help="Over stdio: the agent's name.")] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="Over stdio: the agent's rank.")] = None,
    order: Annotated[
        str | None, typer.Option(help="fixed or early, instead of the file's: whether agents may be passed.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep unfinished work when a client goes, instead of undoing it.")
    ] = False,
) -> None:
    """Offer the tools of a domain to MCP clients.

    Over stdio it serves one client, the program that starts it; start it once for each. Over HTTP it serves
    many. Notices come in front of tool results; coagent_finish waits for the agents before and commits.
    Processes that serve one domain file share one order, through its log.
    """
    import anyio

    from coagent.config.domain_file import configured, find
    from coagent.config.telemetry import telemetry
    from coagent.runtime.orders import checked_order

    try:
        import mcp  # noqa: F401 -- so that its absence is told before anything runs
    except ImportError as error:
        raise ConfigurationError(
            f"serving needs the mcp library: {error}", "Install it: pip install 'coagent-mtpo[mcp]'."
        ) from None
    found = configured(file if file is not None else find(Path()), order=checked_order(order))
    name = name or os.environ.get("COAGENT_AGENT")
    if not http and (host is not None or port is not None):
        raise ConfigurationError("--host and --port are for HTTP", "Add --http.")
    with telemetry(found.file.telemetry, found.domain, transport="tcp" if http else "pipe"):
        if http:
            anyio.run(_http, found, host, port, keep)
        else:
            anyio.run(_stdio, found, name, rank, keep)


async def _stdio(found: Configured, name: str | None, rank: int | None, keep: bool) -> None:
    from coagent.gateways.mcp.relay import connected
    from coagent.gateways.mcp.stdio import serve_stdio

    table = next((client for client in found.file.clients if client.name == name), None)
    if table is not None and rank is None:
        rank = table.rank
    async with connected(found) as relay, found.domain as domain:
        await serve_stdio(
            domain,
            name=name,
            rank=rank,
            tools=None if table is None else table.tools,
            on_leave="keep" if keep else found.file.serve.on_leave,
            note=_note,
            relay=relay,
        )


async def _http(found: Configured, host: str | None, port: int | None, keep: bool) -> None:
    from coagent.gateways.mcp.clients import Tokens
    from coagent.gateways.mcp.http import serve_http
    from coagent.gateways.mcp.relay import connected

    changed = {
        **({} if host is None else {"host": host}),
        **({} if port is None else {"port": port}),
        **({"on_leave": "keep"} if keep else {}),
    }
    settings = found.file.serve.model_copy(update=changed)
    tokens = Tokens(found.file.clients)
    async with connected(found) as relay, found.domain as domain:
        await serve_http(
            domain,
            settings,
            found.file.clients,
            tokens,
            lambda url: _note(f"serving {found.path} at {url}"),
            relay,
        )


def _note(text: str) -> None:
    print_lines([f"coagent: {text}"], stderr=True)
