"""A process that does one thing on a domain and says so; to be killed or stopped meanwhile.

Usage: owner_worker.py LOG FOLDER DOES [ON_DEATH]
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from coagent import CoAgentError, DeclaredTool, Probed, State, idempotency_key, open_domain, targets, tool
from coagent.runtime.domain import Domain


def sent(folder: Path) -> list[str]:
    """Return what has left the building, by the names that the runs were known by."""
    return sorted(path.name for path in (folder / "outbox").iterdir())


def said(text: str) -> None:
    print(text, flush=True)


def tools_of(folder: Path, *, hangs: str = "") -> list[Any]:
    """Return tools that work in a folder.

    Args:
        folder: Whose files `put` writes, and whose outbox the others write.
        hangs: Whether what cannot be taken back stands still "before" it acts, or "after".
    """

    async def act(name: str) -> str:
        said("begins")
        if hangs == "before":
            await anyio.sleep_forever()
        (folder / "outbox" / name).write_text("sent")
        if hangs == "after":
            said("acted")
            await anyio.sleep_forever()
        return f"sent {name}"

    @tool
    async def put(state: State, key: str, value: str) -> str:
        """Write a file."""
        await state.put(key, value)
        return "ok"

    @tool
    async def get(state: State, key: str) -> Any:
        """Read a file."""
        return await state.get(key)

    @tool(effect="irreversible", gate="wait")
    async def mail(state: State, text: str) -> str:
        """Send a mail, at once if it may."""
        return await act(text)

    @tool(effect="irreversible")
    async def letter(state: State, text: str) -> str:
        """Send a letter, at commit."""
        return await act(text)

    async def asked(intent: str, /, **arguments: Any) -> Probed:
        found = (folder / "outbox" / intent).exists()
        return Probed(found, f"sent {intent}" if found else None)

    @tool(effect="irreversible", probe=asked)
    async def parcel(state: State, text: str) -> str:
        """Send a parcel, at commit; its post office can be asked."""
        return await act(idempotency_key() or "")

    @tool(effect="irreversible", idempotent=True)
    async def transfer(state: State, text: str) -> str:
        """Pay, at commit; the bank pays once for a name."""
        return await act(idempotency_key() or "")

    async def order(item: str) -> str:
        """Order something that cannot be given back."""
        return await act(item)

    return [
        put,
        get,
        mail,
        letter,
        parcel,
        transfer,
        DeclaredTool(order, writes=["shop:{item}"], gate="wait"),
    ]


def opened(log: Path | str, folder: Path, *, hangs: str = "", on_death: Any = "abort") -> Domain:
    """Return the domain of a folder, with a log in a file or, by its URL, on a server."""
    (folder / "outbox").mkdir(exist_ok=True, parents=True)
    (folder / "files").mkdir(exist_ok=True)
    return open_domain(
        log if isinstance(log, str) and "://" in log else f"sqlite:{log}",
        targets=[targets.Files(folder / "files")],
        tools=tools_of(folder, hangs=hangs),
        on_death=on_death,
    )


async def think(domain: Domain) -> None:
    """Write something, and think about it for ever."""
    a = await domain.join("A")
    await a.call("put", key="file:x", value="half done")
    said("thinks")
    await anyio.sleep_forever()


async def finish(domain: Domain) -> None:
    """Finish, after somebody who has not, with something left to do."""
    a = await domain.join("A")
    await a.call("put", key="file:x", value="done")
    await a.call("letter", text="hello")
    await a.finish()
    said("thinks")
    await anyio.sleep_forever()


def calling(name: str) -> Callable[[Domain], Awaitable[None]]:
    """Return what calls a tool that stands still in the middle."""

    async def call(domain: Domain) -> None:
        a = await domain.join("A")
        await a.call("put", key="file:x", value="done")
        await a.call(name, **({"item": "tea"} if name == "order" else {"text": "hello"}))
        await a.finish(wait=True)

    return call


async def go_on(domain: Domain) -> None:
    """Call again and again, also after having been stopped, until that is refused."""
    a = await domain.join("A")
    number = 0
    try:
        while True:
            number += 1
            await a.call("put", key="file:x", value=f"of A {number}")
            said(f"put {number}")
    except CoAgentError as refused:
        said(f"refused {refused.code}")
    b = await domain.join("B")
    await b.call("put", key="file:y", value="of B")
    said((await b.finish(wait=True)).state)


DOES: dict[str, Callable[[Domain], Awaitable[None]]] = {
    "think": think,
    "finish": finish,
    "go_on": go_on,
    **{name: calling(name) for name in ("mail", "letter", "parcel", "transfer", "order")},
}


async def main(log: str, folder: str, does: str, on_death: str = "abort", hangs: str = "") -> None:
    async with opened(log, Path(folder), hangs=hangs, on_death=on_death) as domain:
        await DOES[does](domain)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
