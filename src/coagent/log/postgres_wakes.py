"""Word that others have appended to a log on a PostgreSQL server: it only wakes, and nothing rests on it.

LISTEN needs a connection of its own that stays the same one, which a pooler in between may not give: whether
word arrives is tried out at the start and now and then. Where none does, the log is looked at more often.
"""

from __future__ import annotations

import logging
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import psycopg

from coagent.errors import LogError
from coagent.log.postgres_errors import failed
from coagent.log.postgres_link import Link
from coagent.log.postgres_schema import connected, options_of
from coagent.log.postgres_servers import connected_to, servers_of
from coagent.log.urls import Place

_TOGETHER_S = 0.02
"""For how long, in seconds, further appends wait to be told together with the last one."""
_ARRIVES_S_MAX = 2.0
"""How long word may be on its way, in seconds, when it is tried out."""
_TRY_OUT_S = 60.0
"""How often it is tried out whether word arrives, in seconds."""
_HEAR_S = 0.25
"""How often word is taken, in seconds, where nobody asks for it."""
_AGAIN_S = 1.0
_ASK_S = 0.01
_SAYS = logging.getLogger("coagent.log")


class Wakes:
    """Tells others of appends, and hears of theirs.

    Word is taken from its connection when somebody asks whether there is news, at next to no cost, and not as
    it comes: of fifty busy processes each would otherwise do little else.

    Args:
        place: Of the log.
        domain: The number of its domain.
        link: By which others are told.
    """

    def __init__(self, place: Place, domain: int, link: Link) -> None:
        self._place = place
        self._link = link
        self._channel = channel_of(place, domain)
        self._name = secrets.token_hex(8)
        self._last = 0  # appended by this process
        self._untold = False
        self._due = anyio.Event()
        self._said = False
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._news = 0
        self._token = ""
        self._came_back = False
        self._in_use = False
        self.told = False
        """Whether word arrives."""

    def tell(self, number: int) -> None:
        """Note that this process has appended; others are told soon, once for all that come together."""
        self._last, self._untold = number, True
        self._due.set()

    def news(self) -> int:
        """Return the highest number that others have told of."""
        self._hear()
        return self._news

    async def attend(self) -> None:
        """Tell and listen, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell)
            tasks.start_soon(self._listen)

    async def close(self) -> None:
        """Tell of what has not been told."""
        if self._untold:
            with anyio.move_on_after(1.0, shield=True):
                await self._send(str(self._last))

    async def _tell(self) -> None:
        while True:
            await self._due.wait()
            self._due = anyio.Event()
            await self._send(str(self._last), past=True)
            await anyio.sleep(_TOGETHER_S)

    async def _send(self, text: str, *, past: bool = False) -> None:
        """Tell others, in a transaction of its own: in that of an append it would hold up other writers.

        Args:
            text: What they are told.
            past: Whether to do so over the connection that listens, where that may be: an append need not
                wait for it then.
        """
        self._untold = False

        async def notify(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute(
                # Word that is lost in a crash needs no disk.
                "select set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)",
                (self._channel, f"{self._name} {text}"),
            )

        listening = self._connection if past and self.told else None
        try:
            if listening is None:
                await self._link.once(notify)
            else:
                await self._asked(listening, notify)
        except (LogError, psycopg.Error, OSError):
            return  # others look by themselves

    async def _asked(
        self,
        listening: psycopg.AsyncConnection[Any],
        ask: Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]],
    ) -> None:
        """Use the connection that listens for something else; what is told meanwhile goes to its handler."""
        self._in_use = True
        try:
            with anyio.fail_after(_ARRIVES_S_MAX, shield=True):
                await ask(listening)
        except (psycopg.Error, OSError):
            self._connection, self.told = None, False
            raise
        finally:
            self._in_use = False

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
                wait_s = _TRY_OUT_S
            except (LogError, psycopg.Error, OSError):
                wait_s = _AGAIN_S  # the server is away, and whoever appends or reads is told so
            await anyio.sleep(wait_s)

    async def _listen_once(self) -> None:
        """Listen until no word arrives any more.

        Raises:
            LogError, psycopg.Error, OSError: The connection cannot be made, or has ended.
        """
        url = self._place.listen
        connection = (await connected_to(servers_of(url), options_of(self._place, url))).connection
        try:
            connection.add_notify_handler(lambda word: self._take(word.payload))
            await connection.execute(f"listen {self._channel}".encode())
            self._connection = connection
            while await self._arrives():
                self.told = True
                until_s = time.monotonic() + _TRY_OUT_S
                while time.monotonic() < until_s:
                    await anyio.sleep(min(_HEAR_S, _TRY_OUT_S))
                    self._hear()
                    self._require_connection()
            await self._tell_that_none_arrives()
            await connection.execute(b"unlisten *")
        finally:
            self._connection, self.told = None, False
            with anyio.CancelScope(shield=True):
                await connection.close()

    async def _tell_that_none_arrives(self) -> None:
        if not self._said:
            self._said = True
            _SAYS.warning(
                "log %r: no word of what others append arrives, as through a pooler that gives a connection "
                "to others after each transaction; it is looked at every 50 ms. Name the server itself too: "
                "&listen=postgresql%%3A%%2F%%2F…",
                self._place.shown,
            )

    async def _arrives(self) -> bool:
        """Tell whether word of this process comes back to it."""
        self._token, self._came_back = f"try-{secrets.token_hex(8)}", False
        await self._send(self._token)
        until_s = time.monotonic() + _ARRIVES_S_MAX
        while not self._came_back and time.monotonic() < until_s:
            await anyio.sleep(_ASK_S)
            self._hear()
            self._require_connection()
        return self._came_back

    def _hear(self) -> None:
        """Take what has been told since the last time; it does not wait."""
        if self._connection is None or self._in_use:
            return
        pgconn = self._connection.pgconn
        try:
            pgconn.consume_input()
            while (word := pgconn.notifies()) is not None:
                self._take(word.extra.decode())
        except psycopg.Error:
            self._connection, self.told = None, False

    def _take(self, word: str) -> None:
        name, _, text = word.partition(" ")
        if name == self._name:
            self._came_back = self._came_back or text == self._token
        elif text.isdecimal():
            self._news = max(self._news, int(text))

    def _require_connection(self) -> None:
        if self._connection is None:
            raise psycopg.OperationalError("the connection has ended")


def word_arrives(place: Place) -> bool:
    """Tell whether what is told over one connection to a server is heard of over another one.

    Raises:
        LogError: The server cannot be reached.
    """
    channel = f"coagent_{secrets.token_hex(8)}"
    try:
        with connected(place._replace(url=place.listen)) as listening:
            listening.execute(f"listen {channel}".encode())
            with connected(place) as telling:
                telling.execute("select pg_notify(%s, '')", (channel,))
            arrived = any(listening.notifies(timeout=_ARRIVES_S_MAX, stop_after=1))
            listening.execute(b"unlisten *")
            return arrived
    except psycopg.Error as error:
        raise failed(place, "listened to", error) from None


def channel_of(place: Place, domain: int) -> str:
    """Return the channel on which appends to a domain are told; each database has channels of its own."""
    return f"coagent_{zlib.crc32(place.schema.encode()):08x}_{domain}"
