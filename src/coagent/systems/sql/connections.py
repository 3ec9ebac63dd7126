"""Connections to one database, opened when they are needed and kept for the next transaction.

Nothing here waits longer than a few seconds: for a lock of somebody else, for a server that does not answer.
A connection that has ended (the server was started anew, the file was replaced) is opened again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from coagent.errors import TargetError, TargetUnavailable
from coagent.systems.sql.session import SqlSession
from coagent.systems.sql.sqlite import SqliteSession, connect_sqlite

SQLITE: Final = "sqlite:///"
_LOCK_S_MAX, _STATEMENT_S_MAX = 3, 20


class Connections:
    """The connections of one target.

    Args:
        url: The database.
        space: The schema of a PostgreSQL database whose tables are meant.
    """

    def __init__(self, url: str, space: str) -> None:
        self._url = url
        self._space = space
        self.local = url.startswith(SQLITE)
        """Whether it is a file."""
        self.path = os.path.realpath(url.removeprefix(SQLITE)) if self.local else ""
        # A file that is away must not come back as an empty database.
        self._may_create = not os.path.exists(self.path)
        self._idle: list[SqlSession] = []
        self._lock = threading.Lock()
        self._closed = 0
        weakref.finalize(self, _close_all, self._idle)

    @contextmanager
    def reading(self, *, patient: bool = True) -> Iterator[SqlSession]:
        """Give a session in a transaction that is to write nothing.

        Args:
            patient: Whether to wait for a lock of somebody else.

        Raises:
            DatabaseBusy: It is locked.
            TargetUnavailable: The database cannot be reached.
        """
        with self._transaction("BEGIN", _LOCK_S_MAX if patient else 0) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[SqlSession]:
        """Give a session in a transaction that compares and writes.

        Raises:
            DatabaseBusy: It is locked.
            TargetUnavailable: The database cannot be reached.
        """
        with self._transaction("BEGIN IMMEDIATE" if self.local else "BEGIN", _LOCK_S_MAX) as session:
            yield session

    def close(self) -> None:
        """Close those that are not in use, and the others after use."""
        with self._lock:
            self._closed += 1
            _close_all(self._idle)

    @contextmanager
    def _transaction(self, begin: str, wait_s_max: float) -> Iterator[SqlSession]:
        closed = self._closed
        session = self._begin(begin, wait_s_max)
        usable = False
        try:
            yield session
            session.execute("COMMIT")
            usable = True
        except BaseException:
            with contextlib.suppress(TargetError):
                session.execute("ROLLBACK")
                usable = True
            raise
        finally:
            with self._lock:
                if usable and not session.broken and self._closed == closed:
                    self._idle.append(session)
                else:
                    session.close()

    def _begin(self, begin: str, wait_s_max: float) -> SqlSession:
        while True:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            if session is None:
                session = self._connect()
                new = True
            else:
                new = False
                if self._is_replaced(session):
                    session.close()
                    continue
            try:
                session.begin(begin, wait_s_max, _STATEMENT_S_MAX)
            except BaseException:
                ended = session.broken
                session.close()
                if ended and not new:  # the server was away meanwhile: a new connection may do
                    continue
                raise
            return session

    def _is_replaced(self, session: SqlSession) -> bool:
        """Tell whether a database file has gone or is another one since it was opened."""
        if not isinstance(session, SqliteSession):
            return False
        try:
            status = os.stat(self.path)
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != session.place

    def _connect(self) -> SqlSession:
        if self.local:
            session = SqliteSession(connect_sqlite(self.path, create=self._may_create), self.path)
            try:
                status = os.stat(self.path)
            except OSError as error:
                session.close()
                raise TargetUnavailable(
                    f"database {self.path!r} cannot be opened: {error.strerror}", "Put it back in its place."
                ) from None
            session.place = (status.st_dev, status.st_ino)
            self._may_create = False
            return session
        from coagent.systems.sql.postgres import PostgresSession, connect_postgres

        return PostgresSession(connect_postgres(self._url, self._space), self._space)


def _close_all(sessions: list[SqlSession]) -> None:
    while sessions:
        sessions.pop().close()
