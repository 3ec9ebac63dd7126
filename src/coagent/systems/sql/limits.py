"""What one statement of an agent may take: time, rows, bytes; and how it is ended when it takes more."""

from __future__ import annotations

import datetime
import decimal
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from coagent.errors import TargetError, ToolFailed
from coagent.protocol.values import Value
from coagent.systems.sql.session import ConstraintFailed, SqlSession
from coagent.systems.sql.sqlite import SqliteSession

_STEPS_INLINE, _STEPS_IN_THREAD = 1_000, 100_000
"""How many instructions SQLite carries out between two looks at the clock: a look takes the interpreter."""
_MILLISECONDS_MAX = 2**31 - 1
_VALUE_BYTES_MAX = 64 * 1024**2
_MIB = 1024**2


class Limits(NamedTuple):
    """What a statement may take.

    Args:
        timeout_s: How long it may run, in seconds.
        rows: How many rows of its result are returned.
        result_bytes: How large these may be together.
        changed_rows: How many rows it may change.
        scratch_bytes: How large the tables that it works on may be.
    """

    timeout_s: float = 30.0
    rows: int = 500
    result_bytes: int = _MIB
    changed_rows: int = 100_000
    scratch_bytes: int = 512 * _MIB


class OutOfTime(ToolFailed):
    """A statement was ended because it ran too long."""


class StatementGuard:
    """Knows when a statement has to end: its time is up, or nobody waits for its result any more.

    Args:
        limits: Of the statement.
        stopped: Set when nobody waits; None where the event loop itself waits, which is never for long.
    """

    def __init__(self, limits: Limits, stopped: threading.Event | None = None) -> None:
        self.limits = limits
        self.inline = stopped is None
        self._stopped = stopped or threading.Event()
        self._deadline_s = time.monotonic() + limits.timeout_s
        self._cancel: Callable[[], None] | None = None

    @property
    def over(self) -> bool:
        """Whether the statement has to end."""
        return self._stopped.is_set() or time.monotonic() > self._deadline_s

    def begin(self, session: SqlSession) -> None:
        """Watch over what a session does from now on."""
        if isinstance(session, SqliteSession):
            connection = session.connection
            connection.set_progress_handler(
                lambda: self.over, _STEPS_INLINE if self.inline else _STEPS_IN_THREAD
            )
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES_MAX)
            page = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {self.limits.scratch_bytes // page}")
            return
        self._cancel = session.connection.cancel
        milliseconds = min(max(1, int(self.limits.timeout_s * 1000)), _MILLISECONDS_MAX)
        session.execute(f"SET LOCAL statement_timeout = {milliseconds}")
        if self._stopped.is_set():
            raise self.failure()

    def end(self) -> None:
        """Watch no longer."""
        self._cancel = None

    def interrupt(self) -> None:
        """End what the server is at; without waiting for it, as the event loop calls this."""
        if self._cancel is not None:
            threading.Thread(target=self._cancel, daemon=True).start()

    def failure(self) -> OutOfTime:
        """Return the error for a statement that was ended."""
        return OutOfTime(
            f"the statement was ended, since it ran longer than {self.limits.timeout_s:g} s",
            "Give it a condition that ends it or narrows it (WHERE, LIMIT, a bound on the recursion, ON for "
            "each JOIN); a person can allow more: `timeout_s` in [tools.sql].",
        )

    def limit_error(self, error: Exception) -> ToolFailed | None:
        """Return the error for a limit that a database has run into; None for any other error."""
        text = str(error)
        if self.over or "statement timeout" in text or "due to user request" in text:
            return self.failure()
        if "is full" in text:
            return ToolFailed(
                f"the statement needs more than {self.limits.scratch_bytes // _MIB} MiB for its tables",
                "Work on fewer rows: narrow it by WHERE, or split it.",
            )
        if "too big" in text or "invalid memory alloc request" in text:
            return ToolFailed(
                "the statement makes a value that is too large", "Work on a part of it, by substr perhaps."
            )
        return None


@contextmanager
def within_limits(session: SqlSession, guard: StatementGuard) -> Iterator[None]:
    """Keep what a session does within its limits.

    Raises:
        ToolFailed: It ran into one of them.
    """
    try:
        guard.begin(session)
        yield
    except (sqlite3.Error, TargetError) as error:
        limit = guard.limit_error(error)
        if limit is None:
            raise
        raise limit from None
    finally:
        guard.end()


class Result(NamedTuple):
    """What a statement returned: rows, what is said of those left out, and how many rows it changed."""

    rows: list[dict[str, Value]]
    note: str
    changed: int


def run_statement(
    session: SqlSession, text: str, guard: StatementGuard, *, returns: bool, changes: bool
) -> Result:
    """Run a statement.

    Args:
        session: Its connection.
        text: The statement.
        watch: Over it.
        returns: Whether it returns rows.
        changes: Whether it changes some, so that it must run to its end whatever is returned.

    Raises:
        ConstraintFailed: A constraint is violated.
        TargetError: The database refuses.
        ToolFailed: A row is larger than what is returned at most.
    """
    if not returns:
        with _errors_of(session):
            return Result([], "", _count(session, _execute(session, text), changes))
    limits = guard.limits
    found: list[dict[str, Value]] = []
    note, size, count = "", 0, 0
    with _errors_of(session), closing(_rows(session, text)) as rows:
        for names, row in rows:
            count += 1
            if note:
                continue
            size += sum(map(_size, row))
            if size > limits.result_bytes and not found:
                raise ToolFailed(
                    f"the first row of the result has {size} bytes, more than {limits.result_bytes}",
                    "Select fewer columns, or parts of them.",
                )
            if len(found) == limits.rows or size > limits.result_bytes:
                cure = "add LIMIT" if len(found) == limits.rows else "select fewer columns, or add LIMIT"
                note = f"only the first {len(found)} rows are shown; {cure}"
                if not changes:
                    break
                continue
            found.append({name: _plain(value) for name, value in zip(names, row, strict=True)})
    return Result(found, note, count)


def _execute(session: SqlSession, text: str) -> Any:
    if isinstance(session, SqliteSession):
        return session.connection.execute(text)
    # Results in binary are asked for by the extended protocol, which takes one statement and no more.
    return session.connection.execute(text.encode(), binary=True)


def _count(session: SqlSession, cursor: Any, changes: bool) -> int:
    """Return how many rows a statement has changed."""
    if changes and isinstance(session, SqliteSession):  # the driver counts none where it begins with WITH
        return int(session.connection.execute("SELECT changes()").fetchone()[0])
    return max(int(cursor.rowcount), 0)


def _rows(session: SqlSession, text: str) -> Generator[tuple[list[str], tuple[Any, ...]], None, None]:
    """Yield the names of the columns and one row after another, without having all of them in memory."""
    if isinstance(session, SqliteSession):
        cursor: Any = session.connection.execute(text)
        rows: Iterator[tuple[Any, ...]] = cursor
    else:
        cursor = session.connection.cursor()
        rows = cursor.stream(text.encode())
    for row in rows:
        yield [column[0] for column in cursor.description], row
    if not isinstance(session, SqliteSession):
        cursor.close()


@contextmanager
def _errors_of(session: SqlSession) -> Iterator[None]:
    """Raise a driver's errors as those of sessions."""
    if isinstance(session, SqliteSession):
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise ConstraintFailed(str(error)) from None
        except (sqlite3.Error, OverflowError, sqlite3.Warning) as error:
            raise TargetError(f"SQLite refuses: {error}") from None
        return
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        message = error.diag.message_primary or str(error).strip() or type(error).__name__
        if isinstance(error, psycopg.IntegrityError):
            raise ConstraintFailed(message) from None
        raise TargetError(f"PostgreSQL refuses: {message}") from None


def _size(value: Any) -> int:
    if isinstance(value, str | bytes | memoryview):
        return len(value)
    return len(str(value)) if isinstance(value, list | tuple | dict) else 8


def _plain(value: Any) -> Value:
    """Return a result's value as plain data; numbers of arbitrary precision, dates and ids as text."""
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return value if isinstance(value, str | int | float | bool | bytes | None) else str(value)
