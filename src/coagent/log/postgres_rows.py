"""What is read of a log on a PostgreSQL server: the statements, and the records that their rows hold."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from coagent.errors import LogError
from coagent.log.chain import Gap, Position, followed
from coagent.log.codec import checksum
from coagent.log.urls import Place

RESTORE = "Restore a copy of the database, or name another domain or schema."
READ_AT_ONCE = 2000
TURN_S_MAX = 3
"""How long a process may keep its turn without a word, in seconds; it may have been stopped."""


class Statements:
    """The statements of a schema, each for one domain.

    Args:
        schema: Its name.
    """

    def __init__(self, schema: str) -> None:
        self.append = (
            # Whoever comes second waits for the row of the head, and then finds that it has moved.
            f"with moved as (update {schema}.coagent_heads set number = %s, chain = %s "
            "where domain = %s and number = %s and chain = %s returning number) "
            f"insert into {schema}.coagent_records (domain, number, checksum, batch, record) "
            "select %s, %s + place, checksum, %s, record "
            "from unnest(%s::bigint[], %s::text[]) with ordinality as given (checksum, record, place) "
            "where exists (select from moved)"
        ).encode()
        # First come, first served among those who wait for their turn; whoever just tries meets the row.
        # It is all sent at once, which takes no parameters.
        self._hold = (
            "begin isolation level read committed; "
            f"set local idle_in_transaction_session_timeout = '{TURN_S_MAX}s'; "
            f"select pg_advisory_xact_lock({crc32(schema.encode()) - 2**31}, %d); "
            f"select from {schema}.coagent_heads where domain = %d for update; "
        )
        self.batch = f"select batch from {schema}.coagent_records where domain = %s and number = %s".encode()
        self.checksum = (
            f"select checksum from {schema}.coagent_records where domain = %s and number = %s".encode()
        )
        self._read = (
            f"select head.number, head.chain, found.* from {schema}.coagent_heads head left join lateral ("
            f"select number, checksum, record from {schema}.coagent_records "
            f"where domain = head.domain and number > %s order by number limit {READ_AT_ONCE}"
            ") found on true where head.domain = %s order by found.number"
        )
        self.read = self._read.encode()
        self.head = f"select number from {schema}.coagent_heads where domain = %s".encode()
        self.segment = (
            f"select records from {schema}.coagent_segments where domain = %s and %s between first and last"
        ).encode()
        self.checkpoint = (
            f"select number, chain, checksum, state from {schema}.coagent_checkpoints "
            "where domain = %s and number <= %s order by number desc limit 1"
        ).encode()
        self.old_checkpoint = (
            f"select first - 1, state_chain, state_checksum, state from {schema}.coagent_segments "
            "where domain = %s and first - 1 <= %s and state is not null order by first desc limit 1"
        ).encode()
        self.keep = (
            f"insert into {schema}.coagent_checkpoints (domain, number, chain, checksum, state) "
            f"select domain, %s, %s, %s, %s from {schema}.coagent_heads where domain = %s and number >= %s "
            "on conflict (domain, number) do nothing"
        ).encode()
        # The one before gives way where there is another one close behind it, for what is moved to the
        # archive ends at one.
        self.thin_out = (
            f"with before as (select number from {schema}.coagent_checkpoints "
            "where domain = %s and number < %s order by number desc limit 2) "
            f"delete from {schema}.coagent_checkpoints where domain = %s "
            "and number = (select max(number) from before) and number - case "
            "when (select count(*) from before) = 2 then (select min(number) from before) else 0 end < %s"
        ).encode()
        self.backwards = (
            f"select number, record from {schema}.coagent_records "
            f"where domain = %s and number < %s order by number desc limit {READ_AT_ONCE}"
        ).encode()
        self.segments_backwards = (
            f"select first, records from {schema}.coagent_segments "
            "where domain = %s and first < %s order by first desc limit 1"
        ).encode()
        self.size = (
            "select coalesce((select sum(octet_length(record)) "
            f"from {schema}.coagent_records where domain = %s), 0) + "
            "coalesce((select sum(octet_length(records)) "
            f"from {schema}.coagent_segments where domain = %s), 0)"
        ).encode()

    def hold(self, domain: int, number: int) -> bytes:
        """Return the statements that wait for one's turn to append, and then read on as `read` does.

        Args:
            domain: The number of the domain.
            number: After which record to read.
        """
        return (self._hold % (domain, domain) + self._read % (number, domain)).encode()


def taken(rows: Sequence[Any], at: Position, place: Place) -> tuple[list[str], Position]:
    """Return the records that the rows of `Statements.read` hold, and the place after them.

    Raises:
        Gap: The next record is not there, though later ones are.
        LogError: A record is missing or damaged; the server holds less than there was, or something else.
    """
    if not rows:
        raise LogError(f"domain {place.domain!r} is gone from log {place.shown!r}", RESTORE)
    number, chain = rows[0][:2]
    if number < at.number or (number == at.number and chain != at.chain):
        gone = f"no records {number + 1} to {at.number} any more"
        had = "other records" if number == at.number else gone
        raise gone_back(place, had)
    found = [(row[2], row[3], row[4]) for row in rows if row[2] is not None]
    if not found and number > at.number:
        raise Gap(f"log {place.shown!r} lacks record {at.number + 1}", RESTORE)
    return followed(found, at, place.shown, RESTORE)


def gone_back(place: Place, had: str) -> LogError:
    """Return the error of a process that knows of records which the server does not have.

    Args:
        place: Of the log.
        had: What it has instead.
    """
    return LogError(
        f"log {place.shown!r} holds {had}, though they were there: the server has gone back, as after a "
        "failover to a replica that had not received all",
        "Open the domain again to go on from what the server holds, and see docs/deploy.md on failover.",
    )


def state_in(row: Sequence[Any] | None, place: Place) -> tuple[Position, str] | None:
    """Return the checkpoint that a row holds: its place and its text.

    Raises:
        LogError: It is damaged.
    """
    if row is None:
        return None
    number, chain, stored, text = row
    if checksum(text) != stored:
        raise LogError(f"the checkpoint at record {number} of log {place.shown!r} is damaged", RESTORE)
    return Position(number, chain), text


def packed(rows: Sequence[tuple[int, int, str]]) -> bytes:
    """Return the records of a segment as it is archived: one a line, as `[number, checksum, record]`."""
    return gzip.compress(
        "".join(f"[{n},{c},{json.dumps(text)}]\n" for n, c, text in rows).encode(), 3, mtime=0
    )


def unpacked(segment: bytes, place: Place) -> list[tuple[int, int, str]]:
    """Return the numbers, checksums and texts of the records of a segment.

    Raises:
        LogError: It is damaged.
    """
    try:
        return [tuple(json.loads(line)) for line in gzip.decompress(segment).splitlines()]
    except (OSError, EOFError, ValueError) as error:
        raise LogError(f"an archived segment of log {place.shown!r} is damaged: {error}", RESTORE) from None


def from_segment(row: Sequence[Any] | None, at: Position, place: Place) -> tuple[list[str], Position]:
    """Return the records after a place that an archived segment holds, and the place after them.

    Raises:
        LogError: There is none, or it is damaged.
    """
    rows = [] if row is None else unpacked(row[0], place)
    if rows and any(n == at.number and stored != at.chain for n, stored, _ in rows):
        raise LogError(f"record {at.number} of log {place.shown!r} is another one in its archive", RESTORE)
    found = [row for row in rows if row[0] > at.number]
    if not found:
        raise LogError(f"log {place.shown!r} lacks record {at.number + 1}", RESTORE)
    return followed(found, at, place.shown, RESTORE)
