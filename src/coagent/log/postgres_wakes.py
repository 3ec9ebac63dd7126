"""Word that others have appended to a log on a PostgreSQL server: it only wakes, and nothing rests on it.

LISTEN needs a connection of its own that stays the same one, which a pooler in between may not give: whether
word arrives is tried out at the start and now and then. Where none does, the log is looked at more often.
"""

from __future__ import annotations

import logging
import secrets
import zlib
from collections.abc import Callable
from typing import Any

import anyio
import psycopg

from coagent.errors import LogError
from coagent.log.postgres_errors import failed
from coagent.log.postgres_link import Link
from coagent.log.postgres_schema import connected, options_of
from coagent.log.urls import Place

_TOGETHER_S = 0.005
"""For how long, in seconds, further appends wait to be told together with the last one."""
_ARRIVES_S_MAX = 2.0
"""How long word may be on its way, in seconds, when it is tried out."""
_TRY_OUT_S = 60.0
"""How often it is tried out whether word arrives, in seconds."""
_AGAIN_S = 1.0
_SAYS = logging.getLogger("coagent.log")


class Wakes:
    """Tells others of appends, and hears of theirs.

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
        self.news = 0
        """The highest number that others have told of since it was looked last."""
        self.told = False
        """Whether word arrives."""

    def tell(self, number: int) -> None:
        """Note that this process has appended; others are told soon, once for all that come together."""
        self._last, self._untold = number, True
        self._due.set()

    async def attend(self, changed: Callable[[], None]) -> None:
        """Tell and listen, until cancelled.

        Args:
            changed: Called when others have appended.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell)
            tasks.start_soon(self._listen, changed)

    async def close(self) -> None:
        """Tell of what has not been told."""
        if self._untold:
            with anyio.move_on_after(1.0, shield=True):
                await self._send(str(self._last))

    async def _tell(self) -> None:
        while True:
            await self._due.wait()
            self._due = anyio.Event()
            await self._send(str(self._last))
            await anyio.sleep(_TOGETHER_S)

    async def _send(self, text: str) -> None:
        """Tell others, in a transaction of its own: in that of an append it would hold up other writers."""
        self._untold = False

        async def notify(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute(
                # Word that is lost in a crash needs no disk.
                "select set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)",
                (self._channel, f"{self._name} {text}"),
            )

        try:
            await self._link.once(notify)
        except (LogError, psycopg.Error, OSError):
            return  # others look by themselves

    async def _listen(self, changed: Callable[[], None]) -> None:
        while True:
            try:
                await self._listen_once(changed)
                wait_s = _TRY_OUT_S
            except (LogError, psycopg.Error, OSError):
                wait_s = _AGAIN_S  # the server is away, and whoever appends or reads is told so
            finally:
                self.told = False
            await anyio.sleep(wait_s)

    async def _listen_once(self, changed: Callable[[], None]) -> None:
        """Listen until no word arrives any more."""
        url = self._place.listen
        connection = await psycopg.AsyncConnection.connect(url, **options_of(self._place, url))
        try:
            await connection.execute(f"listen {self._channel}".encode())
            while await self._arrives(connection, changed):
                if not self.told:
                    self.told = True
                    changed()  # what came before it was told may not have been heard of
                await self._hear(connection, changed, _TRY_OUT_S, "")
            if not self._said:
                self._said = True
                _SAYS.warning(
                    "log %r: no word of what others append arrives, as through a pooler that gives a "
                    "connection to others after each transaction; it is looked at every 50 ms. Name the "
                    "server itself beside it: &listen=postgresql%%3A%%2F%%2F…",
                    self._place.shown,
                )
            await connection.execute(b"unlisten *")
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()

    async def _arrives(self, connection: psycopg.AsyncConnection[Any], changed: Callable[[], None]) -> bool:
        token = f"try-{secrets.token_hex(8)}"
        await self._send(token)
        return await self._hear(connection, changed, _ARRIVES_S_MAX, f"{self._name} {token}")

    async def _hear(
        self,
        connection: psycopg.AsyncConnection[Any],
        changed: Callable[[], None],
        limit_s: float,
        until: str,
    ) -> bool:
        """Take what is told for a while; returns whether what it waits for was among it."""
        word = connection.notifies(timeout=limit_s)
        try:
            async for one in word:
                if one.payload == until:
                    return True
                name, _, text = one.payload.partition(" ")
                if name != self._name and text.isdecimal():
                    self.news = max(self.news, int(text))
                    changed()
        finally:
            await word.aclose()
        return False


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
