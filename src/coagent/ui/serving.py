"""Runs the page's server until somebody ends it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import anyio
import uvicorn

from coagent.errors import ConfigurationError
from coagent.ui.acts import Acts
from coagent.ui.server import Server
from coagent.ui.stories import Stories

_GRACE_S = 1


async def serve(
    stories: Stories, token: str, host: str, port: int, acts: Acts | None, ready: Callable[[str], None]
) -> None:
    """Serve the page until cancelled or interrupted.

    Args:
        stories: What is shown.
        token: Whoever has it may look and act.
        host: An address of this host.
        port: Its port; 0: any.
        acts: What can be done from the page; None: nothing.
        ready: Called with the address, token included, once it can be opened.

    Raises:
        ConfigurationError: The address cannot be had.
    """
    listening = _bound(host, port)
    name = f"[{host}]" if ":" in host else host
    served = Server(stories, token, [name, "localhost", "127.0.0.1", "[::1]"], acts)
    config = uvicorn.Config(
        served.app, log_level="warning", lifespan="off", timeout_graceful_shutdown=_GRACE_S, access_log=False
    )
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(stories.follow)
        ready(f"http://{name}:{listening.getsockname()[1]}/#token={token}")
        try:
            await server.serve(sockets=[listening])
        finally:
            served.close()
            stories.close()
            group.cancel_scope.cancel()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"{host}:{port} cannot be had: {error.strerror or error}", "Choose another --port, or none."
        ) from None
    return listening
