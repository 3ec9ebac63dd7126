"""Sockets that somebody on the machine begins to listen on while a command runs: which of them it reaches."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from conftest_sandbox import IN_COPIES, needs_views, shells

pytestmark = [
    pytest.mark.anyio,
    needs_views,
    pytest.mark.skipif(IN_COPIES, reason="in a copy no socket can be made at all"),
]
_TRY = """
import socket, sys
open("node_modules/begun", "w").close()
open("node_modules/listening").read()
for place in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(place.replace("@", chr(0)))
        print("REACHED", place)
    except OSError as error:
        print(error.strerror)
"""
"""Says that it has begun, waits for the sockets, and tries them; by way of pipes that are left out."""


async def test_none_in_the_tree_in_temporary_folders_or_without_a_path_is_reached(workspace: Path) -> None:
    pipes = workspace / "node_modules"
    pipes.mkdir()
    for name in ("begun", "listening"):
        os.mkfifo(pipes / name)
    (workspace / "try.py").write_text(_TRY)
    number = os.getpid()
    places = [f"{workspace}/late.sock", f"/tmp/late-{number}.sock", f"/dev/shm/late-{number}.sock"]
    listening: list[socket.socket] = []

    def listen() -> None:
        (pipes / "begun").read_bytes()
        for place in [*places, f"\0late-{number}"]:
            one = socket.socket(socket.AF_UNIX)
            one.bind(place)
            one.listen(1)
            listening.append(one)
        (pipes / "listening").write_bytes(b"")

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        async with shells(workspace) as domain:
            a = await domain.join("A")
            names = " ".join([*places, f"@late-{number}"])
            value = (await a.call("bash", command=f"python3 -IS try.py {names}", timeout_s=60)).value
            await a.abort()
        assert len(listening) == len(places) + 1
        assert value["output"].count("\n") == len(places) + 1, value
        assert "REACHED" not in value["output"]
    finally:
        for one in listening:
            one.close()
        for place in places:
            Path(place).unlink(missing_ok=True)
