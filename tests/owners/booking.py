"""A shop behind a declared tool, and processes as domains over one log, each of which may stand still."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio

from coagent import DeclaredTool, Probed, TargetUnavailable, idempotency_key, open_domain
from coagent.runtime.domain import Domain


class Shop:
    """Who has booked what; a name is taken away only from below the others."""

    def __init__(self) -> None:
        self.items: dict[str, list[list[str]]] = {"tea": [], "milk": []}
        self.acted = anyio.Event()
        self.held: anyio.Event | None = None
        """Until when the next booking is held up, after it has been made."""
        self.away = False
        self.asked_in_vain = 0
        self.cancelling: Callable[[str], Awaitable[None]] | None = None
        """Awaited with the item before a booking is cancelled."""

    def who(self, item: str) -> list[str]:
        return [who for who, _ in self.items[item]]

    def tool(self, **options: Any) -> DeclaredTool:
        async def book(who: str, item: str) -> str:
            """Book an item."""
            if self.away:
                self.asked_in_vain += 1
                raise TargetUnavailable("the shop is closed")
            entry = [who, idempotency_key() or ""]
            if not options.get("idempotent") or entry not in self.items[item]:
                self.items[item].append(entry)
            held, self.held = self.held, None
            if held is not None:
                self.acted.set()
                await held.wait()
            return "booked"

        async def look(who: str, item: str) -> list[str]:
            return self.who(item)

        async def cancel(prepared: Any, _: Any, *, who: str, item: str) -> None:
            if self.cancelling is not None:
                await self.cancelling(item)
            assert self.who(item) == [*prepared, who], "it is taken back from where it was put"
            self.items[item].pop()

        return DeclaredTool(book, writes=["shop:{item}"], prepare=look, reverse=cancel, **options)

    async def asked(self, intent: str, /, **_: Any) -> Probed:
        return Probed(any(name == intent for names in self.items.values() for _, name in names), "booked")


def process(log: Path, shop: Shop, **options: Any) -> Domain:
    """Return a process' domain, which does nothing that it is not told to."""
    on_death, more = options.pop("on_death", "keep"), options.pop("more", [])
    domain = open_domain(f"sqlite:{log}", tools=[shop.tool(**options), *more], on_death=on_death)
    domain.attends = False
    return domain


async def stop_for_long(domain: Domain, log: Path, *others: Domain) -> None:
    """Let so much time pass for a process that stands still that the others take up what is its."""
    tenure = domain._opened.parts.recorder.tenure
    with closing(sqlite3.connect(log)) as connection, connection:
        connection.execute("update coagent_leases set until_s = 0 where owner = ?", (tenure.owner,))
    tenure._until_s = 0.0
    for other in others:
        await recover(other)


async def recover(domain: Domain) -> None:
    await domain.catch_up()
    await domain._opened.recovery.recover()
