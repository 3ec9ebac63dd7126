"""A log on a PostgreSQL server, for reading alone: it changes nothing, also while others write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from coagent.log.base import Absent, Lease, Reader
from coagent.log.chain import Gap, Position
from coagent.log.postgres_errors import failed
from coagent.log.postgres_leases import LONG_AGO_S, LeaseStatements, leases_in
from coagent.log.postgres_rows import Statements, from_segment, state_in, taken, unpacked
from coagent.log.postgres_schema import connected, looked_up
from coagent.log.urls import Place

_NUMBER_MAX = 2**63 - 1


class PostgresReader(Reader):
    """Reads events as they come.

    Args:
        place: Where the log lies.

    Raises:
        NothingYet: It has not been begun.
        LogError: The server refuses or is away, or the log was written by a newer version.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._statements = Statements(place.schema)
        self._connection = connected(place)
        try:
            begun = looked_up(self._connection, place)
            if begun is None:
                raise Absent(f"there is no log {place.shown!r}: nobody has joined this domain yet")
        except BaseException:
            self._connection.close()
            raise
        self._domain = begun.domain
        self.settings, self.by_itself, self.last_old = begun.settings, False, 0
        self._at = Position(0, 0)

    @property
    def head(self) -> int:
        return self._at.number

    @property
    def last(self) -> int:
        rows = self._fetched(self._statements.head, (self._domain,))
        return int(rows[0][0]) if rows else 0

    @property
    def size(self) -> int:
        rows = self._fetched(self._statements.size, (self._domain, self._domain))
        return int(rows[0][0])

    def checkpoint_text(self, tail: int | None = 0, first: int | None = None) -> tuple[int, str] | None:
        most = first - 1 if first is not None else 0 if tail is None else self.last - tail
        for statement in (self._statements.checkpoint, self._statements.old_checkpoint):
            rows = self._fetched(statement, (self._domain, max(most, 0)))
            if (found := state_in(next(iter(rows), None), self._place)) is not None:
                self._at = found[0]
                return self._at.number, found[1]
        return None

    def texts(self) -> list[tuple[int, str]]:
        rows = self._fetched(self._statements.read, (self._at.number, self._domain))
        try:
            records, self._at = taken(rows, self._at, self._place)
        except Gap:
            found = self._fetched(self._statements.segment, (self._domain, self._at.number + 1))
            records, self._at = from_segment(next(iter(found), None), self._at, self._place)
        return list(enumerate(records, self._at.number - len(records) + 1))

    def backwards(self) -> Iterator[tuple[int, str]]:
        before = _NUMBER_MAX
        while rows := self._fetched(self._statements.backwards, (self._domain, before)):
            yield from rows
            before = rows[-1][0]
        while rows := self._fetched(self._statements.segments_backwards, (self._domain, before)):
            before, segment = rows[0]
            for number, _, record in reversed(unpacked(segment, self._place)):
                yield number, record

    def leases(self) -> list[Lease]:
        return leases_in(self._fetched(LeaseStatements(self._place.schema).all, (LONG_AGO_S, self._domain)))

    def _fetched(self, statement: bytes, values: tuple[Any, ...]) -> list[Any]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except psycopg.Error as error:
            raise failed(self._place, "read", error) from None

    def close(self) -> None:
        self._connection.close()
