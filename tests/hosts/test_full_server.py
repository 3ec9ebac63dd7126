"""Servers that take no more: the disk is full. Nothing is lost, and all go on when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from host_process import Host, assert_one_tree, end
from throwaway_postgres import ThrowawayPostgres

pytestmark = pytest.mark.long


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system with room for a server and little more."""
    place = Path(tempfile.mkdtemp(prefix="coagent-small-"))
    place.chmod(0o755)
    room = place / "room"
    room.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may make a small file system")
    made = ["mount", "-t", "tmpfs", "-o", "size=120m,mode=0777", "tmpfs", str(room)]
    if (done := subprocess.run(made, capture_output=True, text=True, check=False)).returncode != 0:
        pytest.skip(f"no small file system can be made on this machine: {done.stderr.strip()}")
    yield room
    subprocess.run(["umount", "--lazy", str(room)], check=True)
    shutil.rmtree(place)


@pytest.fixture
def server(small: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThrowawayPostgres]:
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(small))
        server = ThrowawayPostgres()
    server.start("-c max_wal_size=32MB -c min_wal_size=32MB")
    yield server
    server.remove()


def fill(room: Path) -> Path:
    """Leave no room."""
    filling = os.open(room / "filling", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(filling, bytes(4096))
    os.close(filling)
    return room / "filling"


def work(one: Host) -> str:
    """Have a host's agents work, and return how that ended."""
    one.do("work 3")
    if one.hear("slowest", "failed").startswith("slowest"):
        return "done"
    return one.hear("because")


def test_a_full_disk_of_the_server_is_named_and_all_go_on_when_there_is_room(
    server: ThrowawayPostgres, small: Path, folders: list[Path]
) -> None:
    a, b = (Host(server.url, folder, name) for folder, name in zip(folders[:2], "AB", strict=True))
    assert work(a) == work(b) == "done"
    filling = fill(small)
    while (said := work(a)) == "done":  # what lies in pages that there are still fits
        pass
    assert "No space left on device" in said
    assert "Free some disk space on the server; what was logged is safe." in said
    while (said := work(b)) == "done":
        pass
    assert "No space left on device" in said
    filling.unlink()
    assert work(a) == work(b) == "done"
    end([a, b])
    assert_one_tree(server.url, folders[:2])


def test_a_server_that_ends_since_its_disk_is_full_is_waited_for(
    server: ThrowawayPostgres, small: Path, folders: list[Path]
) -> None:
    a, b = (Host(server.url, folder, name) for folder, name in zip(folders[:2], "AB", strict=True))
    assert work(a) == work(b) == "done"
    filling = fill(small)
    with suppress(psycopg.Error), psycopg.connect(server.url, autocommit=True) as connection:
        while True:  # each begins another file of the write-ahead log
            connection.execute("select pg_logical_emit_message(false, 'full', 'x'), pg_switch_wal()")
    assert "PANIC" in (server.folder / "out").read_text()
    a.do("work 3")
    filling.unlink()
    with suppress(AssertionError):
        server.stop()
    server.start()
    a.hear("slowest")
    assert work(b) == "done"
    end([a, b])
    assert_one_tree(server.url, folders[:2])
