"""A ticket system as a live system of CoAgent: its target, its tools and its configuration."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from http.client import HTTPException
from typing import Any, Literal

import anyio

from coagent import State, TargetError, TargetUnavailable, ToolFailed, tool
from coagent.protocol.keys import Key
from coagent.protocol.values import Value, same
from coagent.systems.base import Given, Place, System, Table, TargetKind, Tools
from coagent.targets import GuardFailed, Target
from coagent.targets.base import require_wanted

_ANSWER_S_MAX = 10.0
_OUTDATED = 412


class Tickets(Target):
    """The tickets of one server: `ticket:7` holds {"title": …, "state": …}.

    Args:
        url: The server.
    """

    schemes = ("ticket",)
    asks_last = True

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._seen: dict[Key, str] = {}
        """The version of each ticket when it was read or put last, "" where there was none."""
        self._listed: dict[str, dict[Key, str]] = {}
        """The versions in each range that somebody has listed."""

    @property
    def identity(self) -> str:
        return f"tickets:{self._url}"

    async def get(self, key: Key) -> Value:
        return await anyio.to_thread.run_sync(self._read, key)

    async def list(self, prefix: str) -> Mapping[Key, Value]:
        found = await anyio.to_thread.run_sync(self._all, prefix)
        self._listed.setdefault(prefix, {key: version for key, (_, version) in found.items()})
        return {key: ticket for key, (ticket, _) in found.items()}

    async def put(self, key: Key, value: Value, *, expected: Sequence[Value]) -> None:
        await anyio.to_thread.run_sync(self._put, key, value, expected)

    async def changed(self, keys: Collection[Key], prefixes: Collection[str]) -> Collection[Key]:
        if not keys and not prefixes:
            return ()
        found = await anyio.to_thread.run_sync(self._all, "ticket:")
        versions = {key: version for key, (_, version) in found.items()}
        named = {key for key in keys if versions.get(key, "") != self._seen.get(key)}
        for prefix in prefixes:
            now = {key: version for key, version in versions.items() if key.startswith(prefix)}
            before = self._listed.get(prefix, now)
            self._listed[prefix] = now
            named.update(key for key in before.keys() | now if before.get(key) != now.get(key))
        return named

    def snapshot(self, prefix: str = "") -> dict[str, Value]:
        return {key: ticket for key, (ticket, _) in sorted(self._all(prefix).items())}

    def _read(self, key: Key) -> Value:
        ticket, version = self._ask("GET", key)
        self._seen[key] = version
        return ticket

    def _all(self, prefix: str) -> dict[Key, tuple[Value, str]]:
        tickets, _ = self._ask("GET")
        found = {Key(f"ticket:{number}"): (one["ticket"], one["version"]) for number, one in tickets.items()}
        return {key: one for key, one in found.items() if key.startswith(prefix)}

    def _put(self, key: Key, value: Value, expected: Sequence[Value]) -> None:
        while True:
            found, version = self._ask("GET", key)
            if not same(found, value):
                if not any(same(found, one) for one in expected):
                    raise GuardFailed(key, found)
                require_wanted(in_thread=True)
                method = "DELETE" if value is None else "PUT"
                version = self._ask(method, key, value, version)[1]
            if version is not None:
                break  # and not somebody else's write since: that is compared anew
        self._seen[key] = version
        for prefix, versions in self._listed.items():
            if key.startswith(prefix):
                versions.pop(key, None)
                versions.update({key: version} if version else {})

    def _ask(self, method: str, key: str = "", value: Value = None, version: str = "") -> Any:
        """Return what the server answers, and the version: "" where there is no such ticket.

        Args:
            method: Of the request.
            key: The ticket; all where there is none.
            value: What to write.
            version: The one to replace; the version returned is None where there is another by now.

        Raises:
            TargetUnavailable: The server is away, or in trouble.
            TargetError: It refuses.
        """
        number = key.partition(":")[2]
        request = urllib.request.Request(f"{self._url}/tickets/{number}", method=method)
        if method != "GET":
            request.add_header("If-Match", version)
        if value is not None:
            request.data = json.dumps(value).encode()
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_S_MAX) as answer:
                return json.load(answer), answer.headers.get("ETag", "")
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            if error.code == _OUTDATED:
                return None, None
            if error.code < 500:
                raise TargetError(f"the server refuses {key!r}: {said}", "Change the ticket.") from error
            raise TargetUnavailable(f"the server is in trouble: {said}", "Try again.") from error
        except (OSError, HTTPException) as error:
            cure = "Start it, or correct `url`; the same request is tried again."
            raise TargetUnavailable(f"{self._url} does not answer: {error}", cure) from error


@tool
async def open_tickets(state: State) -> dict[str, str]:
    """List the open tickets: number to title."""
    found = {}
    for key in await state.list("ticket:"):
        ticket = await state.get(key)
        if ticket["state"] == "open":
            found[key.partition(":")[2]] = ticket["title"]
    return found


@tool
async def report(state: State, number: int, title: str) -> str:
    """Open a ticket.

    Args:
        number: A free number.
        title: What is wrong.
    """
    key = f"ticket:{number}"
    if await state.get(key) is not None:
        raise ToolFailed(f"there is a ticket {number}", "Take another number.")
    await state.put(key, {"title": title, "state": "open"})
    return "ok"


@tool
async def set_state(state: State, number: int, to: str) -> str:
    """Set the state of a ticket.

    Args:
        number: The ticket.
        to: Its new state, such as `closed`.
    """
    key = f"ticket:{number}"
    ticket = await state.get(key)
    if ticket is None:
        raise ToolFailed(f"there is no ticket {number}", "Call open_tickets.")
    await state.put(key, {**ticket, "state": to})
    return "ok"


class TicketsTarget(Table):
    """A server of tickets."""

    kind: Literal["tickets"]
    url: str


class TicketsTable(Table):
    """What agents may do with tickets."""

    read_only: bool = False


def _target(table: TicketsTarget, place: Place) -> Target:
    if not table.url.startswith(("http://", "https://")):
        raise place.fault(f"{table.url!r} is no address", "Begin `url` with http:// or https://.")
    return Tickets(table.url)


def _tools(given: Given) -> list[Any]:
    return [open_tickets] if given.settings.read_only else [open_tickets, report, set_state]


TICKETS = System("tickets", TargetKind(TicketsTarget, _target), Tools(_tools, TicketsTable))
