"""Makes the logs of format 1 that lie in `fixtures/`, with the last version that wrote it.

    git archive f708412 src | tar -x -C OLD
    PYTHONPATH=OLD/src python tests/log/make_format_1.py tests/log/fixtures

The tests import the tools from here, so they are written for that version and for this one.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import coagent
from coagent import DeclaredTool, State, tool

INITIAL = {"kv:x": 1, "kv:text": "one\ntwo\n"}
accounts: dict[str, int] = {}
sent: list[str] = []
begun, goes_on = asyncio.Event(), asyncio.Event()
"""A slow call has begun; it may go on."""


@tool
async def get(state: State, name: str) -> Any:
    """Read an object."""
    return await state.get(f"kv:{name}")


@tool
async def put(state: State, name: str, value: Any) -> str:
    """Write an object."""
    await state.put(f"kv:{name}", value)
    return "ok"


@tool
async def add(state: State, name: str, amount: int) -> int:
    """Add to a number."""
    found = await state.get(f"kv:{name}")
    await state.put(f"kv:{name}", found + amount)
    return int(found + amount)


@tool
async def names(state: State) -> list[str]:
    """List the objects."""
    return list(await state.list("kv:"))


@tool(effect="irreversible", gate="stage")
async def mail(state: State, name: str) -> str:
    """Mail the value of an object."""
    sent.append(f"{name}: {await state.get(f'kv:{name}')}")
    begun.set()
    await goes_on.wait()
    await state.put("kv:mailed", name)
    return "sent"


@tool
async def put_slowly(state: State, name: str, value: Any) -> str:
    """Write an object, after a while."""
    begun.set()
    await goes_on.wait()
    await state.put(f"kv:{name}", value)
    return "ok"


async def before(account: str, amount: int) -> int | None:
    return accounts.get(account)


async def deposit(account: str, amount: int) -> int:
    """Put money into an account."""
    accounts[account] = accounts.get(account, 0) + amount
    return accounts[account]


async def reverse(prepared: int | None, result: int, account: str, amount: int) -> None:
    if prepared is None:
        del accounts[account]
    else:
        accounts[account] = prepared


TOOLS = [
    get,
    put,
    add,
    names,
    mail,
    put_slowly,
    DeclaredTool(deposit, writes=["bank:{account}"], prepare=before, reverse=reverse),
]


def domain_of(path: Path) -> Any:
    """Return a domain on a log, over a memory as it was when the log was begun."""
    target = coagent.targets.Memory(INITIAL, schemes=("kv",))
    return coagent.open_domain(f"sqlite:{path}", targets=[target], tools=TOOLS)


async def in_the_middle(path: Path) -> None:
    """A has committed and D aborted; B has something to read, E a call that failed; C waits for B."""
    async with domain_of(path) as domain:
        a, b, c, d, e = [await domain.join(name) for name in "ABCDE"]
        await d.call("put", name="x", value=99)
        await d.abort("its lease ran out")
        await b.call("add", name="x", amount=10)
        await b.call("names")
        await b.call("put", name="copied", value=11)
        await b.call("deposit", account="ann", amount=10)
        goes_on.set()
        await c.call("mail", name="x")
        with suppress(coagent.ToolFailed):
            await e.call("add", name="nothing", amount=1)
        await a.call("deposit", account="ann", amount=5)
        await a.call("put", name="x", value=5)
        await a.call("put", name="raw", value=b"\x00\xff")
        await a.finish()
        await c.finish()


async def reversed_and_run_again(path: Path) -> None:
    """Calls of declared tools were taken back, to make room and for good, changed, and withdrawn with C."""
    async with domain_of(path) as domain:
        a, b, c = [await domain.join(name) for name in "ABC"]
        await b.call("deposit", account="ann", amount=10)
        await b.call("deposit", account="ann", amount=20)
        await c.call("deposit", account="ann", amount=100)
        await a.call("deposit", account="ann", amount=5)
        await b.undo("B.1")
        await b.amend("B.2", amount=30)
        await c.call("deposit", account="bob", amount=1)
        await c.abort("its lease ran out")


async def aborted_twice(path: Path) -> None:
    """A was aborted while a call of its ran, which then counted, and so A was aborted again."""
    async with domain_of(path) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("put", name="x", value=2)
        await b.call("add", name="x", amount=10)
        await meanwhile(a.call("put_slowly", name="y", value=7), a.abort("its lease ran out"))
        with suppress(Exception):
            await a.abort("its lease ran out")


async def mailed_after_an_abort(path: Path) -> None:
    """A was aborted while its mail was on its way; that it had arrived could not be read."""
    async with domain_of(path) as domain:
        a, b = await domain.join("A"), await domain.join("B")
        await a.call("put", name="x", value=2)
        await a.call("mail", name="x")
        await b.call("add", name="x", amount=10)
        await meanwhile(a.finish(wait=True), a.abort("its lease ran out"))


async def meanwhile(slow: Coroutine[Any, Any, Any], act: Coroutine[Any, Any, Any]) -> None:
    """Let something begin that takes time, and end after something else was done."""
    begun.clear()
    goes_on.clear()
    first = asyncio.create_task(slow)
    await begun.wait()
    second = asyncio.create_task(act)
    await asyncio.sleep(0.05)
    goes_on.set()
    await asyncio.wait([first, second])
    for task in (first, second):
        task.exception()


LOGS = {
    "format_1": in_the_middle,
    "format_1_declared": reversed_and_run_again,
    "format_1_aborted_twice": aborted_twice,
    "format_1_mailed_after_an_abort": mailed_after_an_abort,
}


async def main(directory: Path) -> None:
    """Make the logs."""
    for name, make in LOGS.items():
        path = directory / f"{name}.sqlite"
        for stale in directory.glob(f"{name}.sqlite*"):
            stale.unlink()
        accounts.clear()
        sent.clear()
        with suppress(Exception):
            await make(path)
        connection = sqlite3.connect(path)
        connection.execute("pragma journal_mode = delete")
        for record in connection.execute("select number, record from coagent_log order by number"):
            print(name, *record)
        connection.close()
        for lock in directory.glob(f"{name}.sqlite.*"):
            lock.unlink()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
