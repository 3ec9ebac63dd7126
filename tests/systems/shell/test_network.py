"""Commands and the network: seen, denied, allowed, or waited for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest_sandbox import needs_views, shells

import coagent

pytestmark = [pytest.mark.anyio, needs_views]
_TRY = (
    'python3 -c \'import socket; socket.create_connection(("{}", {}), 5).sendall(b"hello")\' 2>&1 | tail -1'
)


@pytest.fixture
def server() -> Iterator[tuple[int, list[bytes]]]:
    """A server of this machine that keeps what it is sent."""
    kept: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    kept.append(connection.recv(100))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], kept
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_a_command_reaches_a_server_of_its_own_but_none_of_the_machine(
    workspace: Path, server: tuple[int, list[bytes]]
) -> None:
    port, kept = server
    async with shells(workspace, view="overlay") as domain:
        a = await domain.join("A")
        own = (
            "python3 -c 'import socket, threading\n"
            's = socket.create_server(("127.0.0.1", 0))\n'
            'threading.Thread(target=lambda: s.accept()[0].sendall(b"own")).start()\n'
            "print(socket.create_connection(s.getsockname()).recv(3))'"
        )
        found = (await a.call("bash", command=own)).value
        assert found == {"exit_code": 0, "output": "b'own'\n"}
        found = (await a.call("bash", command=_TRY.format("127.0.0.1", port))).value
        assert "refused" in found["output"]
        assert kept == []


async def test_a_command_may_listen_on_a_port_that_is_taken_on_the_machine(
    workspace: Path, server: tuple[int, list[bytes]]
) -> None:
    port, _ = server
    command = (
        f"python3 -c 'import socket; socket.create_server((\"127.0.0.1\", {port})); print(1)' 2>&1 | tail -1"
    )
    async with shells(workspace, view="overlay") as denied:
        assert (await (await denied.join("A")).call("bash", command=command)).value["output"] == "1\n"
    async with shells(workspace, network="allow") as allowed:
        assert "in use" in (await (await allowed.join("A")).call("bash", command=command)).value["output"]


async def test_services_of_the_machine_and_what_they_were_told_are_out_of_reach(workspace: Path) -> None:
    async with shells(workspace, view="overlay") as domain:
        a = await domain.join("A")
        found = (await a.call("bash", command="ls -A /run; find /var/run/ -type s | wc -l")).value
        assert found == {"exit_code": 0, "output": "0\n"}
        found = (
            await a.call("bash", command="tr '\\0' '\\n' < /proc/1/environ; readlink /proc/self/ns/pid")
        ).value
        told = found["output"].replace("bash: line 1: /proc/1/environ: Permission denied\n", "")
        assert told.startswith("pid:[")


@pytest.mark.parametrize(
    ("network", "cure"), [("deny", "[tools.bash]"), ("irreversible", "Use bash_network")]
)
async def test_a_try_to_reach_a_network_is_seen(workspace: Path, network: str, cure: str) -> None:
    async with shells(workspace, network=network, view="overlay") as domain:
        a = await domain.join("A")
        found = (await a.call("bash", command=_TRY.format("192.0.2.1", 80))).value
        assert "unreachable" in found["output"]
        assert cure in found["no_network"]
        quiet = (await a.call("bash", command="cat a.txt")).value
        assert "no_network" not in quiet


async def test_an_allowed_network_is_the_machines(workspace: Path, server: tuple[int, list[bytes]]) -> None:
    port, kept = server
    async with shells(workspace, network="allow") as domain:
        a = await domain.join("A")
        assert (await a.call("bash", command=_TRY.format("127.0.0.1", port))).value["output"] == ""
        assert kept == [b"hello"]


async def test_an_irreversible_network_waits_for_the_agents_before(
    workspace: Path, server: tuple[int, list[bytes]]
) -> None:
    port, kept = server
    async with shells(workspace, network="irreversible") as domain:
        a, b = await domain.join("A"), await domain.join("B")
        found: list[Any] = []

        async def late(agent: coagent.AgentSession) -> None:
            command = f"{_TRY.format('127.0.0.1', port)}; cat a.txt > copy.txt"
            found.append((await agent.call("bash_network", command=command)).value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late, b)
            await anyio.wait_all_tasks_blocked()
            await a.call("bash", command="echo early > a.txt")
            assert kept == []
            assert found == []
            await a.finish()
        assert kept == [b"hello"]
        assert found == [{"exit_code": 0, "output": ""}]
        await b.finish()
    assert (workspace / "copy.txt").read_text() == "early\n"
