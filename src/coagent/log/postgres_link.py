"""The one connection of a process to the server of its log: made anew when it has ended, and waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import psycopg

from coagent.errors import LogError, LogUnavailable
from coagent.log.postgres_errors import awaits_standby, failed
from coagent.log.postgres_leases import LONG_AGO_S
from coagent.log.postgres_schema import ANSWER_S_MAX, options_of
from coagent.log.postgres_servers import NOT_KNOWN, Standing, connected_to, servers_of
from coagent.log.urls import Place

T = TypeVar("T")
_WAIT_S_MIN, _WAIT_S_MAX = 0.05, 1.0
_AWAITS_STANDBY = (
    b"select from pg_stat_activity where wait_event = 'SyncRep' and usename = current_user limit 1"
)
_SAYS = logging.getLogger("coagent.log")
# It tells of connections that were given up, which is said here in other words.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class Link:
    """A connection to the server of a log.

    Args:
        place: Of the log.
        limit_s: How long after it went away the server is waited for, in seconds.
    """

    def __init__(self, place: Place, limit_s: float) -> None:
        self._place = place
        self._limit_s = limit_s
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._making = anyio.Lock()
        self._holder: int | None = None
        """The task that has it for itself."""
        self._turn: psycopg.AsyncConnection[Any] | None = None
        """The connection, while what that task has begun there is not ended."""
        self._users = 0
        self._changed = anyio.Event()
        self._options: dict[str, Any] = {}
        self._servers: list[str] = []
        self._newest = NOT_KNOWN  # of those that were met
        self._cause: LogUnavailable | None = None  # why the last connection was given up
        self._told_of: set[Standing] = set()
        self._away_since_s: float | None = None
        self._away_for = ""  # what could not be done: what is written may be held up, and not what is read
        self._back_s: float | None = None

    @property
    def back_for_s(self) -> float:
        """How long ago the server was back after it had been away, in seconds."""
        return time.monotonic() - self._back_s if self._back_s is not None else LONG_AGO_S

    async def do(self, act: str, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Do something, again and again while the server is away: it must do no harm twice.

        It is not cancelled half-way, only between two tries.

        Args:
            act: What it is, for messages, as in "read".
            work: Does it, over a connection on which every statement is a transaction.

        Raises:
            LogUnavailable: The server was away for longer than the limit.
            LogError: It refuses.
        """
        async with self._used():
            return await self._do(act, work)

    async def _do(self, act: str, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        tried = 0
        began_s = time.monotonic()
        while True:
            connection: psycopg.AsyncConnection[Any] | None = None
            try:
                connection = await self._connected()
                with anyio.fail_after(ANSWER_S_MAX, shield=True):
                    found = await work(connection)
            except (psycopg.Error, OSError) as error:
                failure = await self._failure(connection, act, error)
                if not isinstance(failure, LogUnavailable):
                    raise failure from None
                await self._wait(failure, tried, began_s, act)
                tried += 1
            else:
                if self._away_since_s is not None and self._away_for in ("read", act):
                    self._is_back()
                return found

    async def _failure(
        self, connection: psycopg.AsyncConnection[Any] | None, act: str, error: Exception
    ) -> LogError:
        """Give a connection up, and return what its failure means."""
        ended_here = connection is not None and connection is not self._connection
        await self._give_up(connection)
        if ended_here and self._cause is not None:
            return self._cause  # another request has given the connection up
        failure = failed(self._place, act, error)
        if isinstance(error, TimeoutError) and connection is not None and await self._awaits_standby():
            failure = awaits_standby(self._place, act)
        self._cause = failure if isinstance(failure, LogUnavailable) else None
        return failure

    async def once(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Do something that need not be done where the server is away.

        Raises:
            LogError, psycopg.Error, OSError: It was not.
        """
        async with self._used():
            connection = await self._connected()
            try:
                with anyio.fail_after(ANSWER_S_MAX, shield=True):
                    return await work(connection)
            except (psycopg.Error, OSError):
                await self._give_up(connection)
                raise

    async def hold(self, begin: bytes) -> list[Any]:
        """Have the connection for this task alone, in a transaction that lasts until `end`.

        Where the connection ends meanwhile, so does the transaction; what is done then has one of its own.

        Args:
            begin: The statements that begin it.

        Returns:
            The rows of the last one of them.

        Raises:
            LogUnavailable, LogError: As for `do`.
        """
        task = anyio.get_current_task().id
        assert self._holder in (None, task), "one task at a time appends"
        self._holder = task
        try:
            while self._users:
                await self._changed.wait()
            return await self._do("written", partial(self._begun, begin))
        except BaseException:
            await self.end()
            raise

    async def _begun(self, begin: bytes, connection: psycopg.AsyncConnection[Any]) -> list[Any]:
        cursor = await connection.execute(begin, prepare=False)
        self._turn = connection
        while cursor.nextset():
            pass
        return await cursor.fetchall()

    async def committed(
        self, connection: psycopg.AsyncConnection[Any], statement: bytes, values: tuple[Any, ...]
    ) -> int:
        """Carry out the last statement of what `hold` began, or one by itself, and commit it.

        Returns:
            How many rows it has changed.

        Raises:
            psycopg.Error, OSError: It has failed, or nothing was heard of it.
        """
        turn, self._turn = self._turn, None
        if turn is not connection:
            return (await connection.execute(statement, values)).rowcount
        async with connection.pipeline():  # both are sent at once
            cursor = await connection.execute(statement, values)
            await connection.commit()
        return cursor.rowcount

    async def end(self) -> None:
        """End what `hold` began; what was done in it and is not committed has not happened."""
        turn, self._turn = self._turn, None
        if turn is not None and turn is self._connection:
            try:
                with anyio.fail_after(ANSWER_S_MAX, shield=True):
                    await turn.rollback()
            except (psycopg.Error, OSError):  # then it has ended with its connection
                await self._give_up(turn)
        self._holder = None
        self._wake()

    @asynccontextmanager
    async def _used(self) -> AsyncIterator[None]:
        """Use the connection, once no other task has it for itself."""
        while self._holder is not None and self._holder != anyio.get_current_task().id:
            await self._changed.wait()
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def close(self) -> None:
        """End the connection."""
        await self._give_up(self._connection)

    async def look_for_newer(self) -> None:
        """Leave a server whose place another one of those that the URL names has taken.

        Raises:
            LogError, psycopg.Error, OSError: None of them can be asked.
        """
        if len(self._servers) < 2 or self._connection is None:
            return
        found = await connected_to(self._servers, self._options)
        await found.connection.close()
        self._tell_of(found.others)
        if self._newest.left_behind(found.standing):
            self._newest = found.standing
            async with self._used():  # nobody's turn is ended
                await self._give_up(self._connection)

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        async with self._making:
            made = self._connection
            if made is None or made.closed:
                if not self._servers:
                    self._options = options_of(self._place, self._place.url)
                    self._servers = servers_of(self._place.url)
                found = await connected_to(self._servers, self._options)
                if found.standing.left_behind(self._newest):
                    await found.connection.close()
                    raise psycopg.OperationalError(
                        f"server {found.standing.server} takes writes on timeline {found.standing.timeline}, "
                        f"and was left behind when {self._newest.server} was promoted to timeline "
                        f"{self._newest.timeline}, which cannot be reached: make the old one a standby of it"
                    )
                self._newest = found.standing
                self._tell_of(found.others)
                self._connection = made = found.connection
            return made

    def _tell_of(self, others: tuple[Standing, ...]) -> None:
        for other in {*others} - self._told_of:
            self._told_of.add(other)
            _SAYS.warning(
                "log %r: server %s takes writes too, on timeline %d, left behind by a failover: end it, "
                "or make it a standby, for what is written there is lost",
                self._place.shown,
                other.server,
                other.timeline,
            )

    async def _awaits_standby(self) -> bool:
        """Tell whether the server does not answer because it waits for a standby."""
        try:
            connection = await self._connected()
            with anyio.fail_after(ANSWER_S_MAX, shield=True):
                return await (await connection.execute(_AWAITS_STANDBY)).fetchone() is not None
        except (psycopg.Error, OSError):
            return False

    async def _give_up(self, connection: psycopg.AsyncConnection[Any] | None) -> None:
        if connection is not None and connection is self._connection:
            self._connection = None
            with anyio.CancelScope(shield=True):
                await connection.close()

    async def _wait(self, failure: LogUnavailable, tried: int, began_s: float, act: str) -> None:
        """Wait before the server is asked again.

        Args:
            failure: What it said.
            tried: How often it was asked for this before.
            began_s: When it was first.
            act: What is asked for.

        Raises:
            LogUnavailable: It was away for too long.
        """
        first = self._away_since_s is None
        if self._away_since_s is None:
            self._away_since_s, self._away_for = began_s, act
        elif self._away_for == "read":
            self._away_for = act
        away_s = time.monotonic() - self._away_since_s
        if away_s >= self._limit_s:
            waited = f" (away for {away_s:.0f} s)" if self._limit_s else ""
            raise LogUnavailable(f"{failure.cause}{waited}", failure.cure)
        if first:
            return  # a connection that has ended while it lay idle: a new one may do
        if tried == 1:
            _SAYS.warning("%s; calls wait for it, up to %g s", failure.cause, self._limit_s)
        await anyio.sleep(min(_WAIT_S_MIN * 2 ** min(tried, 10), _WAIT_S_MAX))

    def _is_back(self) -> None:
        assert self._away_since_s is not None, "it was away"
        away_s = time.monotonic() - self._away_since_s
        self._away_since_s = None
        if away_s > _WAIT_S_MAX:
            self._back_s = time.monotonic()
            _SAYS.warning("log %r is back after %.0f s", self._place.shown, away_s)
