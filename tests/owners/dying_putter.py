"""A process that is killed in the middle of a put, in which a person saved."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import anyio
from owner_worker import opened

from coagent.systems.files import placing, swap
from coagent.systems.files.temporaries import Names

SAVED = "of a person"


def in_place(path: Path) -> None:
    path.write_text(SAVED)


def beside(path: Path) -> None:
    other = path.with_name("of-an-editor")
    other.write_text(SAVED)
    other.replace(path)


async def _die(folder: Path, saves: Callable[[Path], None]) -> None:
    exchange, name = swap._rename, placing.names

    def exchanged(new: str, path: str, flag: int) -> bool:
        done = exchange(new, path, flag)
        signal.raise_signal(signal.SIGKILL)
        return done

    def named(*arguments: str) -> Names:
        saves(folder / "files/x")
        return name(*arguments)

    async with opened(folder / "log", folder) as domain:
        a = await domain.join("A")
        await a.call("get", key="file:x")
        swap._rename, placing.names = exchanged, named
        await a.call("put", key="file:x", value="of A")


def die(folder: Path, saves: Callable[[Path], None]) -> None:
    """Put a file that a person saves at that moment, and be killed once the two files are exchanged."""
    anyio.run(_die, folder, saves)
