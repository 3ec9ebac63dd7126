"""The log on a PostgreSQL server: processes of many hosts share a domain by naming the same server.

The server is the engine: one row holds the head of the log, and an append is one statement that moves it on
from where the writer has seen it and adds the records; whoever comes second waits for that row, and finds it
moved.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.to_thread
import psycopg

from coagent.errors import LogError, LogUnavailable
from coagent.log.base import Checkpoint, HeadMoved, Lease, Log, LogSettings
from coagent.log.chain import Gap, Position
from coagent.log.codec import checksum, decode, decode_state, encode, encode_state
from coagent.log.postgres_archive import fill
from coagent.log.postgres_leases import LeaseStatements, leases_in
from coagent.log.postgres_link import Link
from coagent.log.postgres_rows import Statements, from_segment, gone_back, state_in, taken, unpacked
from coagent.log.postgres_schema import GIVE_UP_WHEN_GONE, Begun, answering, begun, connected
from coagent.log.postgres_wakes import Wakes
from coagent.log.urls import Place
from coagent.processes import Process
from coagent.protocol.events import Event

_OPEN_S_MAX = 5.0
"""How long a server that is away is waited for, in seconds, when a log is opened."""
_LOOK_S, _LOOK_TOLD_S = 0.05, 1.0
"""How often it is looked, in seconds, whether others have appended; and where the server tells of it."""
_NEWER_S = 15.0
"""How often it is looked, in seconds, whether another server has taken the place of this one."""
_CHECKPOINTS_APART = 5000
_LARGE_BYTES = 8192
_NUMBER_MAX = 2**63 - 1


class PostgresLog(Log):
    """Events in tables of a PostgreSQL database; made by `PostgresLog.open`.

    Args:
        place: Where it lies.
        begun: What is written about it.
        patience_s: How long a server that is away is waited for, in seconds.
    """

    shared = True

    def __init__(self, place: Place, begun: Begun, patience_s: float) -> None:
        self._place = place
        self._domain = begun.domain
        self._settings = begun.settings
        self._statements = Statements(place.schema)
        self._leases = LeaseStatements(place.schema)
        self._link = Link(place, patience_s)
        self._wakes = Wakes(place, begun.domain, self._link)
        self._at = Position(0, 0)
        self._at_end = False  # the last read has come to the end, and the next one need not say so
        self._checkpointed = 0
        self._bytes = 0  # of the records since
        self._contended = False
        self._read: list[Any] = []  # by the turn, and not taken yet
        self._untidy = True  # there may be something to be archived
        self._looked_s = float("-inf")

    @classmethod
    async def open(cls, place: Place, settings: LogSettings, patience_s: float) -> PostgresLog:
        """Open a log, or begin one.

        Args:
            place: Where it lies; schema and tables are made where they are missing.
            settings: For a new log; an existing one keeps its own.
            patience_s: How long calls wait for a server that is away, in seconds.

        Raises:
            LogError: The server refuses or is too old, or the log was written by a newer version.
            LogUnavailable: The server is away.
        """
        deadline_s = time.monotonic() + min(_OPEN_S_MAX, patience_s)
        while True:
            try:
                found = await anyio.to_thread.run_sync(_opened, place, settings)
                return cls(place, found, patience_s)
            except LogUnavailable:
                if time.monotonic() > deadline_s:
                    raise
            await anyio.sleep(0.2)

    @property
    def head(self) -> int:
        return self._at.number

    @property
    def settings(self) -> LogSettings:
        return self._settings

    # ---- appending -----------------------------------------------------------------------------------------

    async def append(self, events: Sequence[Event]) -> None:
        if not events:
            return
        at_ms = self.unix_ms()
        records = [encode(event, at_ms) for event in events]
        chain, checksums = self._at.chain, []
        for record in records:
            chain = checksum(record, chain)
            checksums.append(chain)
        first, last = self._at.number + 1, self._at.number + len(records)
        batch = secrets.randbits(63)
        values = (last, chain, self._domain, *self._at, self._domain, first - 1, batch, checksums, records)
        tries = 0

        async def insert(connection: psycopg.AsyncConnection[Any]) -> bool:
            nonlocal tries
            tries += 1
            try:
                done = await self._link.committed(connection, self._statements.append, values) == len(records)
            except psycopg.errors.SerializationFailure:  # so one who comes second is told by stricter servers
                done = False
            if not done and tries > 1:  # it may have been done before, and only the answer was lost
                asked = await connection.execute(self._statements.batch, (self._domain, first))
                done = await asked.fetchone() == (batch,)
            return done

        self._at_end = False
        began_s = time.monotonic()
        try:
            done = await self._link.do("written", insert)
        except LogUnavailable as away:
            if tries == 0:
                raise
            said = f"{away.cause}; what was to be appended may be there all the same"
            raise LogUnavailable(said, away.cure) from None
        if not done:
            self._contended = True
            raise HeadMoved
        self._looked_s = began_s  # the head was compared
        self._at = Position(last, chain)
        self._bytes += sum(map(len, records))
        self._wakes.tell(last)

    @property
    def contended(self) -> bool:
        return self._contended

    async def hold(self) -> None:
        self._read = await self._link.hold(self._statements.hold(self._domain, self._at.number))
        self._contended = len(self._read) > 1 or self._read[0][2] is not None

    async def let_go(self) -> None:
        self._read = []
        await self._link.end()

    # ---- reading -------------------------------------------------------------------------------------------

    async def read(self) -> Sequence[Event]:
        if self._at_end:
            self._at_end = False
            return ()
        self._looked_s = time.monotonic()
        rows, self._read = self._read, []
        rows = rows or await self._fetched(self._statements.read, (self._at.number, self._domain))
        try:
            records, at = taken(rows, self._at, self._place)
        except Gap:
            found = await self._fetched(self._statements.segment, (self._domain, self._at.number + 1))
            records, at = from_segment(next(iter(found), None), self._at, self._place)
        except LogError:
            await self._require_own_past()
            raise
        else:
            self._at_end = bool(records) and at.number == rows[0][0]
        return self._moved(records, at)

    @property
    def chain(self) -> int:
        return self._at.chain

    async def has(self, number: int, chain: int) -> bool:
        rows = await self._fetched(self._statements.checksum, (self._domain, number))
        if not rows:
            packed = await self._fetched(self._statements.segment, (self._domain, number))
            found = unpacked(packed[0][0], self._place) if packed else []
            rows = [(stored,) for at, stored, _ in found if at == number]
        return bool(rows) and rows[0][0] == chain

    async def _require_own_past(self) -> None:
        """Make sure that the server has the last record that this process knows of.

        Raises:
            LogError: It has another one: it went another way from some record on.
        """
        found = await self._fetched(self._statements.checksum, (self._domain, self._at.number))
        if found and found[0][0] != self._at.chain:
            raise gone_back(self._place, "other records")

    def _moved(self, records: list[str], at: Position) -> list[Event]:
        events = [decode(record) for record in records]
        self._at = at
        self._bytes += sum(map(len, records))
        return events

    async def _fetched(self, statement: bytes, values: tuple[Any, ...]) -> list[Any]:
        async def ask(connection: psycopg.AsyncConnection[Any]) -> list[Any]:
            return await (await connection.execute(statement, values)).fetchall()

        return await self._link.do("read", ask)

    def stale(self, *, now: bool = False) -> bool:
        if self._wakes.news() > self._at.number:
            return True
        # A process that was stopped has not heard yet what it was told meanwhile.
        told = self.is_told and not now
        return time.monotonic() - self._looked_s >= (_LOOK_TOLD_S if told else _LOOK_S)

    @property
    def is_told(self) -> bool:
        """Whether word of what others append arrives; where none does, the log is looked at more often."""
        return self._wakes.told

    async def attend(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._wakes.attend)
            tasks.start_soon(self._look_for_newer)

    async def _look_for_newer(self) -> None:
        while True:
            await anyio.sleep(_NEWER_S)
            with contextlib.suppress(LogError, psycopg.Error, OSError):  # whoever appends or reads is told so
                await self._link.look_for_newer()

    # ---- checkpoints ---------------------------------------------------------------------------------------

    async def checkpoint(self) -> Checkpoint | None:
        rows = await self._fetched(self._statements.checkpoint, (self._domain, _NUMBER_MAX))
        found = state_in(next(iter(rows), None), self._place)
        if found is None:
            return None
        self._at, text = found
        self._checkpointed = self._at.number
        return Checkpoint(self._at.number, decode_state(text))

    @property
    def since_checkpoint(self) -> int:
        return self._at.number - self._checkpointed + self._bytes // _LARGE_BYTES

    async def keep(self, checkpoint: Checkpoint) -> None:
        if checkpoint.number != self._at.number:
            return  # others have appended since it was made
        text = encode_state(checkpoint.state)
        number, chain = self._at
        # Where records are large, there may be more of them.
        apart = 0 if self._since_is_large() else _CHECKPOINTS_APART

        async def insert(connection: psycopg.AsyncConnection[Any]) -> None:
            async with connection.transaction():
                await connection.execute(GIVE_UP_WHEN_GONE)
                await connection.execute(
                    self._statements.keep, (number, chain, checksum(text), text, self._domain, number)
                )
                await connection.execute(
                    self._statements.thin_out, (self._domain, number, self._domain, apart)
                )

        await self._link.do("written", insert)
        self._checkpointed, self._bytes, self._untidy = number, 0, True

    def _since_is_large(self) -> bool:
        return self._bytes > _LARGE_BYTES * (self._at.number - self._checkpointed)

    async def tidy(self) -> int:
        if not self._untidy:
            return 0
        moved = await fill(self._place, self._domain)
        self._untidy = moved > 0
        return moved

    # ---- leases --------------------------------------------------------------------------------------------

    async def take_lease(self, owner: str, process: Process, seconds: float) -> None:
        await self._changed_rows(self._leases.take, self._domain, owner, *process, seconds, seconds)

    async def renew_lease(self, owner: str, seconds: float) -> bool:
        changed = await self._changed_rows(self._leases.renew, seconds, seconds, self._domain, owner)
        return changed > 0

    async def end_lease(self, owner: str, *, late: bool = False) -> bool:
        back_s = self._link.back_for_s
        await self._changed_rows(self._leases.end, self._domain, owner, late, back_s)
        return not await self._fetched(self._leases.one, (self._domain, owner))

    async def leases(self) -> Sequence[Lease]:
        return leases_in(await self._fetched(self._leases.all, (self._link.back_for_s, self._domain)))

    async def _changed_rows(self, statement: bytes, *values: Any) -> int:
        async def change(connection: psycopg.AsyncConnection[Any]) -> int:
            return (await connection.execute(statement, values)).rowcount

        return await self._link.do("written", change)

    async def close(self) -> None:
        await self._wakes.close()
        await self._link.close()


def _opened(place: Place, settings: LogSettings) -> Begun:
    with connected(place) as connection, answering(connection, place):
        return begun(connection, place, settings)
