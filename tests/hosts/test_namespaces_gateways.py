"""Gateways on hosts of their own: one is killed, and another one takes its agent up."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from host_process import committed
from mcp import Client, StdioServerParameters
from namespaces import NetHost
from serving import text_of
from throwaway_postgres import ThrowawayPostgres

from coagent.runtime.tenure import LEASE_S

pytestmark = [pytest.mark.anyio, pytest.mark.long]
DOMAIN = """
log = "{log}"
order = "early"

[[targets]]
kind = "files"
root = "{root}"
replicated = true

[serve]
on_leave = "keep"
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def served(host: NetHost, log: str, folder: Path) -> StdioServerParameters:
    """Return how a client on a host starts its `coagent serve`."""
    domain = folder.with_suffix(".toml")
    domain.write_text(DOMAIN.format(log=log, root=folder))
    command = host.command(sys.executable, "-m", "coagent", "serve", str(domain), "--name", "worker")
    return StdioServerParameters(command=command[0], args=command[1:])


async def test_what_a_killed_gateway_has_begun_is_gone_on_with_on_another_host_after_its_lease(
    server: ThrowawayPostgres, hosts: list[NetHost], folders: list[Path]
) -> None:
    async with Client(served(hosts[1], server.net_url, folders[1])) as other:
        with suppress(BaseException):  # whatever the client makes of the end of its server
            async with Client(served(hosts[0], server.net_url, folders[0])) as one:
                await one.call_tool("write_file", {"path": "new", "content": "begun\n"})
                hosts[0].crash()
        refused = text_of(await other.call_tool("read_file", {"path": "new"}))
        assert "is served by process" in refused
        assert "on one" in refused
        assert "wait until its lease ends" in refused
        began_s = time.monotonic()
        while "begun" not in text_of(await other.call_tool("read_file", {"path": "new"})):
            assert time.monotonic() - began_s < LEASE_S + 20
            await anyio.sleep(1)
        await other.call_tool("write_file", {"path": "more", "content": "gone on\n"})
        assert "committed" in text_of(await other.call_tool("coagent_finish", {}))
    assert committed(server.url) == ["worker"]
    assert (folders[1] / "new").read_text() == "begun\n"
    assert (folders[1] / "more").read_text() == "gone on\n"
