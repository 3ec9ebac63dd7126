"""The log in a SQLite file: several processes of one host share a domain by naming the same file.

WAL mode with synchronous=NORMAL: a commit survives the death of the process, and a power cut loses at most
the last commits, never the file (https://www.sqlite.org/pragma.html#pragma_synchronous).

Records are chained by their checksums, and SQLite itself remembers the highest number ever given
(AUTOINCREMENT): a record that is damaged, exchanged or missing is noticed, also at the end.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from coagent.errors import LogError, NotPrivate
from coagent.log.archive import KEPT_BYTES, Archive, emptied, read_on
from coagent.log.base import Checkpoint, HeadMoved, Lease, Log, LogSettings
from coagent.log.chain import Position
from coagent.log.codec import FORMAT, checksum, decode, decode_state, encode, encode_state
from coagent.log.sqlite_leases import end_lease, leases_of, renew_lease, take_lease
from coagent.log.sqlite_schema import (
    begun,
    bytes_used,
    connected,
    failed,
    is_busy,
    latest_checkpoint,
    settings_of,
)
from coagent.private import private_beside
from coagent.processes import Process
from coagent.protocol.events import Event

T = TypeVar("T")
_BUSY_TIMEOUT_S = 10.0
_BEGUN_WITHIN_S = 1.0
"""For how long, in seconds, a file may be empty that another process begins just now."""
_LOOK_INTERVAL_S = 0.001
_READ_AT_ONCE = 2000
_CHECKPOINTS_APART = 5000
_LARGE_BYTES = 8192
_TOGETHER_MAX = 64
"""How many records one statement takes."""


@cache
def _insertion(count: int) -> str:
    """Return the statement that adds so many records, if nobody else has added any meanwhile.

    One statement is a transaction of its own, which costs less than to begin and end one.
    """
    rows = ", ".join(["(?, ?, ?)"] * count)
    return (
        f"insert into coagent_records (number, checksum, record) select * from (values {rows}) "
        # Numbers are free again behind a process that has slept while its records were archived.
        "where not exists (select 1 from coagent_records where number > ?)"
    )


class SqliteLog(Log):
    """Events in a table of a SQLite database; made by `SqliteLog.open`.

    Args:
        path: The file.
        connection: To it.
        settings: What it was begun with.
        format: The version of its records.
    """

    shared = True

    def __init__(
        self, path: Path, connection: sqlite3.Connection, settings: LogSettings, format: int
    ) -> None:
        self._path = path
        self._connection = connection
        self._beside: sqlite3.Connection | None = None
        self._lent = 0
        """How many threads wait on the connection of the records."""
        self._leasing = anyio.Lock()
        self._settings = settings
        self._at = Position(0, 0)
        self._checkpointed = 0
        self._bytes = 0  # of the records since
        self._untidy = True  # there may be something to be archived
        self._data_version = -1
        self._looked_s = 0.0
        self.by_itself = format == 1

    @classmethod
    async def open(cls, path: Path, settings: LogSettings) -> SqliteLog:
        """Open a log, or begin one.

        Args:
            path: The file; it is created where it does not exist.
            settings: For a new log; an existing one keeps its own.

        Raises:
            LogError: The file is no log, is damaged, has lost all it held, or was written by a newer version.
        """
        if not path.parent.is_dir():
            raise LogError(f"there is no directory {str(path.parent)!r} for the log", "Create it first.")
        await _refuse_emptied(path)
        deadline = time.monotonic() + _BUSY_TIMEOUT_S
        while True:
            # Two processes that make the file at once find each other in the way, and switching to WAL does
            # not wait for a lock as everything else does; so whoever comes second tries again.
            connection: sqlite3.Connection | None = None
            try:
                private_beside(path, "-wal", "-shm")
                connection = connected(path)
                meta = begun(connection, settings)
                found, version = settings_of(path, meta)
                return cls(path, connection, found, version)
            except NotPrivate as error:
                raise LogError(error.cause, error.cure) from None
            except OSError as error:
                raise LogError(
                    f"log {str(path)!r} cannot be opened: {error.strerror or error}",
                    "Make the file and its directory readable and writable.",
                ) from error
            except sqlite3.Error as error:
                if connection is not None:
                    connection.close()
                if not is_busy(error) or time.monotonic() > deadline:
                    raise failed(path, "opened", error) from error
            except BaseException:
                if connection is not None:
                    connection.close()
                raise
            await anyio.sleep(0.01)

    @property
    def head(self) -> int:
        return self._at.number

    @property
    def settings(self) -> LogSettings:
        return self._settings

    # ---- appending -----------------------------------------------------------------------------------------

    async def append(self, events: Sequence[Event]) -> None:
        rows = []
        number, chain = self._at
        size, at_ms = 0, self.unix_ms()
        for event in events:
            record = encode(event, at_ms)
            size += len(record)
            number, chain = number + 1, checksum(record, chain)
            rows.append((number, chain, record))
        try:
            await self._do("written", lambda: self._insert(rows))
        except sqlite3.IntegrityError:
            raise HeadMoved from None
        self._at = Position(number, chain)
        self._bytes += size

    def _insert(self, rows: list[tuple[int, int, str]]) -> None:
        execute = self._connection.execute
        if len(rows) <= _TOGETHER_MAX:
            if rows:
                self._insert_at_once(rows)
            return
        execute("begin immediate")
        try:
            for start in range(0, len(rows), _TOGETHER_MAX):
                self._insert_at_once(rows[start : start + _TOGETHER_MAX])
            execute("commit")
        except sqlite3.Error:
            if self._connection.in_transaction:
                execute("rollback")
            raise

    def _insert_at_once(self, rows: list[tuple[int, int, str]]) -> None:
        values = [value for row in rows for value in row]
        values.append(rows[0][0])
        if self._connection.execute(_insertion(len(rows)), values).rowcount != len(rows):
            raise sqlite3.IntegrityError("there are later records")

    async def _do(self, act: str, work: Callable[[], T], over: sqlite3.Connection | None = None) -> T:
        """Do something at once, or in a thread where another process is in the way.

        Args:
            act: What it is, for messages.
            work: Does it.
            over: Another connection than that of the records.

        Raises:
            LogError: It cannot be done.
            sqlite3.IntegrityError: A record of that number is there.
        """
        try:
            return work()
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            if not is_busy(error):
                raise failed(self._path, act, error) from error
        self._lent += over is None
        try:
            return await anyio.to_thread.run_sync(_patiently, over or self._connection, work)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise failed(self._path, act, error) from error
        finally:
            self._lent -= over is None

    # ---- reading -------------------------------------------------------------------------------------------

    async def read(self) -> Sequence[Event]:
        return await self._do("read", self._read)

    def _read(self) -> list[Event]:
        self._data_version = self._version()
        records, self._at = read_on(self._connection, self._at, self._path, _READ_AT_ONCE, self.by_itself)
        self._bytes += sum(map(len, records))
        return [decode(record) for record in records]

    def stale(self, *, now: bool = False) -> bool:
        now_s = time.monotonic()
        # A look while a thread waits would wait with it, or have SQLite refuse that thread: whoever reads
        # something on the same connection may not wait for others to write (sqlite.org/rescode.html#busy).
        if self._lent:
            return now  # whoever has to know reads when the thread has done
        if not now and now_s - self._looked_s < _LOOK_INTERVAL_S:
            return False
        self._looked_s = now_s
        return self._version() != self._data_version

    def _version(self) -> int:
        version: int = self._connection.execute("pragma data_version").fetchone()[0]
        return version

    # ---- checkpoints ---------------------------------------------------------------------------------------

    async def checkpoint(self) -> Checkpoint | None:
        found = await self._do("read", lambda: latest_checkpoint(self._connection, self._path))
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
        row = (checkpoint.number, self._at.chain, checksum(text), text)

        def insert() -> None:
            with self._connection:
                self._connection.execute("begin immediate")
                self._connection.execute(
                    "insert or replace into coagent_checkpoints (number, chain, checksum, state) "
                    "values (?, ?, ?, ?)",
                    row,
                )
                # The one before gives way where there is another one close behind it, for what is moved to
                # the archive ends at one; there may be more of them where records are large.
                apart = 0 if bytes_used(self._connection) > KEPT_BYTES // 2 else _CHECKPOINTS_APART
                last = self._connection.execute(
                    "select number from coagent_checkpoints where number < ? order by number desc limit 2",
                    (checkpoint.number,),
                ).fetchall()
                if last and last[0][0] - (last[1][0] if len(last) > 1 else 0) < apart:
                    self._connection.execute("delete from coagent_checkpoints where number = ?", last[0])
                if self.by_itself:
                    self._connection.execute(
                        "update coagent_log_meta set value = ? where name = 'format'", (str(FORMAT),)
                    )

        await self._do("written", insert)
        self._checkpointed, self._bytes, self._untidy = checkpoint.number, 0, True
        self.by_itself = False

    async def tidy(self) -> int:
        if not self._untidy:
            return 0
        moved = await anyio.to_thread.run_sync(Archive(self._path).fill)
        self._untidy = moved > 0
        return moved

    # ---- leases --------------------------------------------------------------------------------------------

    async def take_lease(self, owner: str, process: Process, seconds: float) -> None:
        await self._lease("written", lambda beside: take_lease(beside, owner, process, seconds))

    async def renew_lease(self, owner: str, seconds: float) -> bool:
        return await self._lease("written", lambda beside: renew_lease(beside, owner, seconds))

    async def end_lease(self, owner: str, *, late: bool = False) -> bool:
        return await self._lease("written", lambda beside: end_lease(beside, owner, late))

    async def leases(self) -> Sequence[Lease]:
        return await self._lease("read", leases_of)

    async def _lease(self, act: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with leases, which nobody takes turns for, over a connection of their own.

        A connection that waits for a lock in one thread stops any other that uses it, the event loop too.
        """
        async with self._leasing:
            try:
                beside = self._beside = self._beside or connected(self._path)
            except sqlite3.Error as error:
                raise failed(self._path, "opened", error) from error
            return await self._do(act, lambda: work(beside), beside)

    async def close(self) -> None:
        self._connection.close()
        if self._beside is not None:
            self._beside.close()


def _patiently(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    connection.execute(f"pragma busy_timeout = {int(_BUSY_TIMEOUT_S * 1000)}")
    try:
        return work()
    finally:
        connection.execute("pragma busy_timeout = 0")


async def _refuse_emptied(path: Path) -> None:
    """Refuse a log that has lost what it held, unless another process begins it just now.

    Raises:
        LogError: It has.
    """
    deadline = time.monotonic() + _BEGUN_WITHIN_S
    while (wrong := emptied(path)) is not None:
        if time.monotonic() > deadline:
            raise wrong
        await anyio.sleep(0.01)
